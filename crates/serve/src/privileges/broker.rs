use std::io::{self, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
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
use super::protocol::{MAX_NAMES, MAX_REPLY_BYTES, MAX_SOCKETS, Refusal, Reply, Request, Subject};
use crate::server::{ServerOptions, UseXdp};

/// The server's end of the privileged process.
///
/// It is asked by two lines that don't wait for each other: attaching a program may take seconds, and the server's main
/// thread, which gives the service manager its signs of life, asks for sockets.
#[derive(Debug)]
pub(crate) struct Broker {
    sockets: Line,
    programs: Line,
    child: Mutex<Child>,
    pid: u32,
    /// Its end has been told.
    told: AtomicBool,
}

/// One of the two: a socket, and a thread of the privileged process at its other end.
#[derive(Debug)]
struct Line {
    socket: OwnedFd,
    /// How long an answer may take.
    limit: Duration,
    /// Held while one asks: requests are answered in their order.
    turn: Mutex<Turn>,
    /// Not asked any more.
    gone: AtomicBool,
}

#[derive(Debug, Default)]
struct Turn {
    /// Answers that are late, and still to come.
    owed: u32,
    /// Whether it has ever answered: the first answer may be as late as the process's start.
    met: bool,
}

/// Why the privileged process opened nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BrokerError {
    /// It has ended.
    #[error("the privileged process has ended; a restart of the server brings it back")]
    Gone,
    /// It doesn't answer for now.
    #[error("the privileged process has not answered yet; it is asked again later")]
    Late,
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

/// The longest it may take to open sockets: who asks gives signs of life to a service manager, every 15 s by our unit.
const SOCKETS_LIMIT: Duration = Duration::from_secs(5);
/// The longest until the first answer. The service manager expects no signs of life yet.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The longest it may take to attach a program, which resets some NICs. The gate waits for it, and nobody else.
const PROGRAMS_LIMIT: Duration = Duration::from_secs(30);
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
        let (sockets, their_sockets) = Line::pair(SOCKETS_LIMIT)?;
        let (programs, their_programs) = Line::pair(PROGRAMS_LIMIT)?;
        let xdp = match options.xdp {
            UseXdp::Configured => "xdp",
            UseXdp::Never => "no-xdp",
        };
        let child = Command::new(&options.privileges_program)
            .args(&options.privileges_arguments)
            .args([user, xdp])
            .arg(std::path::absolute(&options.config_file)?)
            .env_clear()
            .stdin(Stdio::from(their_sockets))
            .stdout(Stdio::from(their_programs))
            .spawn()?;
        Ok(Self {
            sockets,
            programs,
            pid: child.id(),
            child: Mutex::new(child),
            told: AtomicBool::new(false),
        })
    }

    /// Its process ID.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Asks for something and waits for it, [`SOCKETS_LIMIT`] or [`PROGRAMS_LIMIT`] at most.
    ///
    /// # Errors
    /// [`BrokerError`]. A process that talks nonsense is not asked again; one that is late is, once it has answered.
    pub(super) fn ask(&self, request: &Request) -> Result<Given, BrokerError> {
        match request.subject() {
            Subject::Sockets => self.sockets.ask(request),
            Subject::Programs => self.programs.ask(request),
        }
    }

    /// Takes what came late, if something did, and closes it. Does not wait.
    ///
    /// Unread, a program that was attached too late for who had asked would stay on the interface until somebody asks for
    /// another.
    pub(super) fn collect(&self) {
        self.programs.collect();
    }

    /// Hangs up when the process ends; `None` once that is known.
    pub(crate) fn end(&self) -> Option<BorrowedFd<'_>> {
        (!self.told.load(Relaxed)).then(|| self.sockets.socket.as_fd())
    }

    /// How the process has ended, if it has since it was last asked this.
    pub(crate) fn has_just_ended(&self) -> Option<String> {
        // Hanging up is told whether asked for or not.
        let mut fds = [PollFd::new(self.end()?, PollFlags::empty())];
        if !matches!(poll(&mut fds, PollTimeout::ZERO), Ok(1)) {
            return None;
        }
        self.sockets.gone.store(true, Relaxed);
        self.programs.gone.store(true, Relaxed);
        self.told.store(true, Relaxed);
        let status = self.wait();
        Some(status.map_or_else(|| "it is still ending".to_owned(), |how| how.to_string()))
    }

    /// How it has ended, so that no zombie is left; `None` if it takes more than [`END_LIMIT`], and its sockets are closed.
    fn wait(&self) -> Option<ExitStatus> {
        let mut child = self.lock();
        let exit = rustix::process::pidfd_open(Pid::from_child(&child), PidfdFlags::empty());
        if let Ok(exit) = exit {
            let _ = wait_for(exit.as_fd(), PollFlags::POLLIN, END_LIMIT);
        }
        child.try_wait().ok().flatten()
    }

    fn lock(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// The line, and the other end for the privileged process.
    fn pair(limit: Duration) -> io::Result<(Self, OwnedFd)> {
        let (socket, theirs) = rustix::net::socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )?;
        let line = Self {
            socket,
            limit,
            turn: Mutex::default(),
            gone: AtomicBool::new(false),
        };
        Ok((line, theirs))
    }

    fn ask(&self, request: &Request) -> Result<Given, BrokerError> {
        let mut turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let answer = self.converse(&mut turn, request);
        if matches!(answer, Err(BrokerError::Gone | BrokerError::Garbled)) {
            self.gone.store(true, Relaxed);
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        }
        answer
    }

    fn collect(&self) {
        // Who asks just now collects first itself.
        if let Ok(mut turn) = self.turn.try_lock()
            && !self.gone.load(Relaxed)
        {
            // What else it is will be told to who asks next.
            let _ = self.settle(&mut turn);
        }
    }

    /// Takes the answers that nobody waits for any more, and closes what was opened.
    ///
    /// # Errors
    /// They aren't all there.
    fn settle(&self, turn: &mut Turn) -> Result<(), BrokerError> {
        while turn.owed > 0 {
            match self.receive(Duration::ZERO) {
                Err(error @ (BrokerError::Late | BrokerError::Gone | BrokerError::Garbled)) => {
                    return Err(error);
                }
                _ => turn.owed -= 1,
            }
        }
        Ok(())
    }

    fn converse(&self, turn: &mut Turn, request: &Request) -> Result<Given, BrokerError> {
        if self.gone.load(Relaxed) {
            return Err(BrokerError::Gone);
        }
        // Who is late once makes nobody wait again before that answer is there.
        self.settle(turn)?;
        rustix::net::send(&self.socket, &request.to_bytes(), SendFlags::NOSIGNAL)
            .map_err(|_| BrokerError::Gone)?;
        let limit = if turn.met {
            self.limit
        } else {
            self.limit.max(START_LIMIT)
        };
        let answer = self.receive(limit);
        if matches!(answer, Err(BrokerError::Late)) {
            turn.owed += 1;
        } else {
            turn.met = true;
        }
        answer
    }

    fn receive(&self, limit: Duration) -> Result<Given, BrokerError> {
        wait_for(self.socket.as_fd(), PollFlags::POLLIN, limit)?;
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
    /// Closes its sockets, upon which it ends, and waits for that.
    fn drop(&mut self) {
        for line in [&self.sockets, &self.programs] {
            let _ = rustix::net::shutdown(&line.socket, Shutdown::Both);
        }
        // Its number may be another's by now, once it was waited for.
        if !self.told.load(Relaxed) {
            let _ = self.wait();
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
            Ok(0) => return Err(BrokerError::Late),
            Err(nix::errno::Errno::EINTR) => {}
            Ok(_) => return Ok(()),
            Err(_) => return Err(BrokerError::Gone),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::IoSlice;
    use std::thread;

    use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage};
    use rustix::process::{WaitId, WaitIdOptions};

    use super::*;

    /// Longer than a test may take on the slowest machine.
    const LONG: Duration = Duration::from_mins(5);

    fn broker(sockets: Duration, programs: Duration) -> (Broker, OwnedFd, OwnedFd) {
        let (sockets, their_sockets) = Line::pair(sockets).unwrap();
        let (programs, their_programs) = Line::pair(programs).unwrap();
        let mut child = Command::new("true").spawn().unwrap();
        child.wait().unwrap();
        let broker = Broker {
            sockets,
            programs,
            pid: child.id(),
            child: Mutex::new(child),
            told: AtomicBool::new(true),
        };
        (broker, their_sockets, their_programs)
    }

    fn take(socket: &OwnedFd) -> Request {
        let mut bytes = [0; 64];
        let (len, _) = rustix::net::recv(socket, &mut bytes[..], RecvFlags::empty()).unwrap();
        Request::read(&bytes[..len]).unwrap()
    }

    fn answer(socket: &OwnedFd, names: &[&str]) {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let bytes = Reply::Done { names }.to_bytes();
        rustix::net::send(socket, &bytes, SendFlags::NOSIGNAL).unwrap();
    }

    fn refusal(broker: &Broker) -> BrokerError {
        broker.ask(&Request::Configuration).unwrap_err()
    }

    const PROGRAM: Request = Request::Program {
        ifindex: 7,
        hook: super::super::protocol::Hook::Native,
    };

    /// A NIC that takes its time to be attached to holds up nobody who asks for sockets.
    #[test]
    fn a_slow_attach_keeps_no_socket_waiting() {
        let (broker, sockets, programs) = broker(LONG, LONG);
        thread::scope(|scope| {
            let slow = scope.spawn(|| broker.ask(&PROGRAM));
            assert_eq!(take(&programs), PROGRAM);
            let other = scope.spawn(|| broker.ask(&Request::Configuration));
            assert_eq!(take(&sockets), Request::Configuration);
            answer(&sockets, &[]);
            // The attach is still under way.
            assert!(other.join().unwrap().is_ok());
            assert!(!slow.is_finished());
            answer(&programs, &["xsks"]);
            let (_, names) = slow.join().unwrap().unwrap();
            assert_eq!(names, ["xsks"]);
        });
    }

    #[test]
    fn how_the_process_ended_is_told_once() {
        let (mut broker, sockets, programs) = broker(LONG, LONG);
        let child = Command::new("false").spawn().unwrap();
        let ended = WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        let id = WaitId::Pid(Pid::from_child(&child));
        *broker.child.get_mut().unwrap() = child;
        *broker.told.get_mut() = false;
        assert_eq!(broker.has_just_ended(), None);
        rustix::process::waitid(id, ended).unwrap();
        drop((sockets, programs));
        assert_eq!(broker.has_just_ended().unwrap(), "exit status: 1");
        assert_eq!(broker.has_just_ended(), None);
        assert_eq!(refusal(&broker), BrokerError::Gone);
    }

    #[test]
    fn who_is_late_is_asked_again_once_it_has_answered() {
        let (broker, sockets, _programs) = broker(Duration::from_millis(1), LONG);
        broker.sockets.turn.lock().unwrap().met = true;
        assert_eq!(refusal(&broker), BrokerError::Late);
        // Nothing more is sent before that answer is there.
        assert_eq!(refusal(&broker), BrokerError::Late);
        take(&sockets);
        answer(&sockets, &["late"]);
        assert_eq!(refusal(&broker), BrokerError::Late);
        take(&sockets);
        answer(&sockets, &["late again"]);
        thread::scope(|scope| {
            let mut patient = broker;
            patient.sockets.limit = LONG;
            let asked = scope.spawn(move || patient.ask(&Request::Configuration));
            take(&sockets);
            answer(&sockets, &["in time"]);
            let (_, names) = asked.join().unwrap().unwrap();
            assert_eq!(names, ["in time"], "not the answer to an earlier request");
        });
    }

    /// The descriptor of a link that nobody reads keeps its program on the interface.
    #[test]
    fn what_comes_late_is_closed_without_another_request() {
        let (broker, _sockets, programs) = broker(LONG, Duration::from_millis(1));
        broker.programs.turn.lock().unwrap().met = true;
        assert_eq!(broker.ask(&PROGRAM).unwrap_err(), BrokerError::Late);
        take(&programs);
        // One end of a pipe stands for the link.
        let (read, write) = rustix::pipe::pipe().unwrap();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        let link = [write.as_fd()];
        assert!(ancillary.push(SendAncillaryMessage::ScmRights(&link)));
        let bytes = Reply::Done { names: Vec::new() }.to_bytes();
        let bytes = [IoSlice::new(&bytes)];
        rustix::net::sendmsg(&programs, &bytes, &mut ancillary, SendFlags::NOSIGNAL).unwrap();
        drop(write);
        let open = wait_for(read.as_fd(), PollFlags::empty(), Duration::ZERO);
        assert_eq!(open, Err(BrokerError::Late));
        broker.collect();
        let closed = wait_for(read.as_fd(), PollFlags::empty(), LONG);
        assert_eq!(
            closed,
            Ok(()),
            "it hangs up once nobody holds the other end"
        );
        assert_eq!(broker.programs.turn.lock().unwrap().owed, 0);
    }

    #[test]
    fn one_that_talks_nonsense_is_not_asked_again() {
        let (broker, sockets, _programs) = broker(LONG, LONG);
        rustix::net::send(&sockets, &[9, 9], SendFlags::NOSIGNAL).unwrap();
        assert_eq!(refusal(&broker), BrokerError::Garbled);
        assert_eq!(refusal(&broker), BrokerError::Gone);
    }
}
