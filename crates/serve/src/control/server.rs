use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Waker;

/// The longest command line, in bytes.
const MAX_COMMAND_BYTES: u64 = 256;

/// How long one client may take to ask and to read.
const CLIENT_LIMIT: Duration = Duration::from_secs(2);

/// What answers a command; `Err` is told to the client after `error`.
pub(crate) type Answer = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// A bound control socket, not yet answered.
#[derive(Debug)]
pub(crate) struct ControlSocket {
    path: PathBuf,
    listener: UnixListener,
}

impl ControlSocket {
    /// Makes the socket, for its owner only (mode 0600). One left over by a server that was killed is
    /// replaced; one that somebody answers on is not.
    ///
    /// # Errors
    /// The system's, or `AddrInUse` when another server has it.
    pub(crate) fn bind(path: &Path) -> io::Result<Self> {
        if UnixStream::connect(path).is_ok() {
            return Err(io::Error::new(
                io::ErrorKind::AddrInUse,
                "another server answers on it",
            ));
        }
        match fs::symlink_metadata(path) {
            Ok(metadata) if std::os::unix::fs::FileTypeExt::is_socket(&metadata.file_type()) => {
                fs::remove_file(path)?;
            }
            _ => {} // anything else that is in the way makes `bind` say so
        }
        let listener = UnixListener::bind(path)?;
        fs::set_permissions(path, Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        Ok(Self {
            path: path.to_owned(),
            listener,
        })
    }
}

impl Drop for ControlSocket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// The thread that answers on the control socket, one client at a time.
#[derive(Debug)]
pub(crate) struct ControlHandle {
    stop: Arc<AtomicBool>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
}

impl ControlHandle {
    /// Starts answering.
    ///
    /// # Errors
    /// Too many open files or threads.
    pub(crate) fn start(socket: ControlSocket, answer: Box<Answer>) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let waker = Waker::new()?;
        let (stopped, woken) = (Arc::clone(&stop), waker.clone());
        let run = move || {
            while !stopped.load(Relaxed) {
                if wait(&socket.listener, &woken).is_err() {
                    return;
                }
                if let Ok((stream, _)) = socket.listener.accept() {
                    let _ = serve(&stream, &*answer); // a client that breaks off is its own affair
                }
            }
        };
        let thread = Some(Builder::new().name("control".to_owned()).spawn(run)?);
        Ok(Self {
            stop,
            waker,
            thread,
        })
    }
}

impl Drop for ControlHandle {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        self.waker.wake();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn wait(listener: &UnixListener, waker: &Waker) -> nix::Result<()> {
    let mut fds = [
        PollFd::new(listener.as_fd(), PollFlags::POLLIN),
        PollFd::new(waker.as_fd(), PollFlags::POLLIN),
    ];
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(nix::errno::Errno::EINTR) => Ok(()),
        Err(error) => Err(error),
    }
}

fn serve(mut stream: &UnixStream, answer: &Answer) -> io::Result<()> {
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(CLIENT_LIMIT))?;
    stream.set_write_timeout(Some(CLIENT_LIMIT))?;
    let mut line = String::new();
    BufReader::new(stream.take(MAX_COMMAND_BYTES)).read_line(&mut line)?;
    let reply = answer(line.trim()).unwrap_or_else(|reason| format!("error {reason}\n"));
    stream.write_all(reply.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::{ControlError, request};
    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("sluicegate-ctl-{name}-{}", std::process::id()))
    }

    fn start(path: &Path) -> ControlHandle {
        let answer = |command: &str| match command {
            "stats" => Ok("total.num.queries=1\n".to_owned()),
            other => Err(format!("unknown command '{other}'")),
        };
        ControlHandle::start(ControlSocket::bind(path).unwrap(), Box::new(answer)).unwrap()
    }

    #[test]
    fn answers_refuses_and_goes() {
        let path = path("answers");
        let handle = start(&path);
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(request(&path, "stats").unwrap(), "total.num.queries=1\n");
        assert!(
            matches!(request(&path, "nonsense"), Err(ControlError::Refused(reason)) if reason.contains("nonsense"))
        );
        let long = "x".repeat(10_000);
        assert!(request(&path, &long).is_err());
        assert_eq!(request(&path, "stats").unwrap(), "total.num.queries=1\n");
        drop(handle);
        assert!(!path.exists());
        assert!(matches!(
            request(&path, "stats"),
            Err(ControlError::NotRunning { .. })
        ));
    }

    #[test]
    fn a_left_over_socket_is_replaced_and_a_living_one_is_not() {
        let path = path("left");
        drop(UnixListener::bind(&path).unwrap());
        let _handle = start(&path);
        assert_eq!(
            ControlSocket::bind(&path).unwrap_err().kind(),
            io::ErrorKind::AddrInUse
        );
        assert!(request(&path, "stats").is_ok());
    }

    #[test]
    fn a_file_in_the_way_is_not_removed() {
        let path = path("file");
        fs::write(&path, "mine").unwrap();
        assert!(ControlSocket::bind(&path).is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "mine");
        fs::remove_file(&path).unwrap();
    }
}
