use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendFlags,
    Shutdown, SocketFlags, SocketType,
};
use rustix::process::{Pid, PidfdFlags};

use super::opener::Given;
use super::protocol::{MAX_NAMES, MAX_REPLY_BYTES, MAX_SOCKETS, Refusal, Reply, Request};
use crate::server::{ServerOptions, UseXdp};

/// The server's end of the privileged process.
#[derive(Debug)]
pub(crate) struct Broker {
    socket: OwnedFd,
    /// Held while one asks: requests are answered in their order.
    child: Mutex<Child>,
    pid: u32,
    /// Not asked any more.
    gone: AtomicBool,
    /// Its end has been told.
    told: AtomicBool,
}

/// Why the privileged process opened nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// It has ended, or doesn't answer.
    #[error("the privileged process has ended; a restart of the server brings it back")]
    Gone,
    /// It sent what is no answer.
    #[error("the privileged process sent what is no answer")]
    Garbled,
    /// What it opened could not be taken over.
    #[error("too many open files: raise the limit (LimitNOFILE=, ulimit -n)")]
    TooManyFiles,
    /// It said no.
    #[error("refused: {0:?}")]
    Refused(Refusal),
}

/// The longest it may take to open something: attaching a program resets some NICs.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How long it may take to end once its socket is closed.
const END_LIMIT: Duration = Duration::from_secs(2);
/// Descriptors of the largest reply.
pub(super) const MAX_FILES: usize = {
    let (sockets, maps) = (MAX_SOCKETS as usize, MAX_NAMES + 2);
    if sockets > maps { sockets } else { maps }
};

impl Broker {
    /// Starts the process. It inherits this thread's ambient capabilities, or all if this is root.
    ///
    /// # Errors
    /// The system's.
    pub(crate) fn start(options: &ServerOptions, user: &str) -> io::Result<Self> {
        let (socket, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let xdp = match options.xdp {
            UseXdp::Configured => "xdp",
            UseXdp::Never => "no-xdp",
        };
        let child = Command::new(&options.privileges_program)
            .args(&options.privileges_arguments)
            .args([user, xdp])
            .arg(std::path::absolute(&options.config_file)?)
            .env_clear()
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()?;
        Ok(Self {
            socket,
            pid: child.id(),
            child: Mutex::new(child),
            gone: AtomicBool::new(false),
            told: AtomicBool::new(false),
        })
    }

    /// Its process ID.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks for something and waits for it, [`ANSWER_LIMIT`] at most.
    ///
    /// # Errors
    /// [`BrokerError`]. A process that is late or talks nonsense is not asked again.
    pub(super) fn ask(&self, request: &Request) -> Result<Given, BrokerError> {
        let _turn = self.lock();
        if self.gone.load(Relaxed) {
            return Err(BrokerError::Gone);
        }
        let answer = rustix::net::send(&self.socket, &request.to_bytes(), SendFlags::NOSIGNAL)
            .map_err(|_| BrokerError::Gone)
            .and_then(|_| self.receive());
        if matches!(answer, Err(BrokerError::Gone | BrokerError::Garbled)) {
            self.gone.store(true, Relaxed);
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        }
        answer
    }

    /// Hangs up when the process ends; `None` once that is known.
    pub(crate) fn end(&self) -> Option<BorrowedFd<'_>> {
        (!self.told.load(Relaxed)).then(|| self.socket.as_fd())
    }

    /// Whether the process has ended since it was last asked this.
    pub(crate) fn has_just_ended(&self) -> bool {
        let Some(end) = self.end() else {
            return false;
        };
        // Hanging up is told whether asked for or not.
        let mut fds = [PollFd::new(end, PollFlags::empty())];
        if !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1)) {
            return false;
        }
        self.gone.store(true, Relaxed);
        self.told.store(true, Relaxed);
        // No zombie is left.
        let _ = self.lock().try_wait();
        true
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn receive(&self) -> Result<Given, BrokerError> {
        wait_for(self.socket.as_fd(), PollFlags::POLLIN, ANSWER_LIMIT)?;
        let mut bytes = [0; MAX_REPLY_BYTES];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FILES))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::net::recvmsg(
            &self.socket,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut ancillary,
            RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
        );
        let received = received.map_err(|_| BrokerError::Gone)?;
        let len = received.bytes;
        let files: Vec<OwnedFd> = ancillary
            .drain()
            .filter_map(|message| match message {
                RecvAncillaryMessage::ScmRights(files) => Some(files),
                _ => None,
            })
            .flatten()
            .collect();
        if len == 0 {
            return Err(BrokerError::Gone);
        }
        // The kernel drops descriptors for which there is no room.
        if received.flags.contains(ReturnFlags::CTRUNC) {
            return Err(BrokerError::TooManyFiles);
        }
        match Reply::read(&bytes[..len]).map_err(|_| BrokerError::Garbled)? {
            Reply::Done { names } => Ok((files, names)),
            Reply::Refused(refusal) => Err(BrokerError::Refused(refusal)),
        }
    }
}

impl Drop for Broker {
    /// Closes its socket, upon which it ends, and waits for that.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        // Its number may be another's by now, once it was waited for.
        if self.told.load(Relaxed) {
            return;
        }
        let pid = Pid::from_child(&self.lock());
        let Ok(exit) = rustix::process::pidfd_open(pid, PidfdFlags::empty()) else {
            return;
        };
        if wait_for(exit.as_fd(), PollFlags::POLLIN, END_LIMIT).is_ok() {
            let _ = self.lock().try_wait();
        }
    }
}

/// Waits for an event, whatever signals come meanwhile.
fn wait_for(fd: BorrowedFd<'_>, event: PollFlags, limit: Duration) -> Result<(), BrokerError> {
    let until = Instant::now() + limit;
    loop {
        let left = until.saturating_duration_since(Instant::now());
        let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(fd, event)], left) {
            Ok(0) => return Err(BrokerError::Gone),
            Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(_) => return Err(BrokerError::Gone),
        }
    }
}
