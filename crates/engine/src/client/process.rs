//! One engine process, seen from its parent.

use std::io::{self, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::epoll;
use rustix::fs::MemfdFlags;
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags,
    SocketType,
};
use rustix::pipe::PipeFlags;
use rustix::process::{Pid, PidfdFlags};

use super::link::{Flushed, Link};
use super::log::LogPipe;
use super::table::Token;
use super::tunables::{TUNABLES, tunables};
use crate::spread::contexts;
use crate::wire::{KeepAnchors, MAX_PACKET_BYTES, Request, Start, Verdict};
use crate::{EngineOptions, Question, RelayCounts, Summary};

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// [`EngineOptions::threads`] is zero or above [`EngineOptions::MAX_THREADS`].
    #[error("{0} engine threads: there must be 1 to {max}", max = EngineOptions::MAX_THREADS)]
    Threads(usize),
    /// The system refused a socket, a file, or the program.
    #[error("can't start the engine process: {0}")]
    Spawn(#[from] io::Error),
    /// libunbound refuses the configuration; `line` is of [`EngineOptions::conf_text`], 0 when it does not say.
    #[error("libunbound refuses the configuration: {message}")]
    Refused {
        /// Line in the text, from 1; 0: unknown.
        line: u32,
        /// libunbound's own words.
        message: String,
    },
    /// The process ended before it was ready.
    #[error("the engine process ended while it started ({status}): {log}")]
    Ended {
        /// How it ended.
        status: String,
        /// The last lines it wrote.
        log: String,
    },
    /// It was not ready within [`EngineOptions::start_limit`].
    #[error("the engine was not ready in time")]
    TimedOut,
}

/// What a descriptor of a process is for; the low half of its epoll data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Link(usize),
    Control,
    Exit,
    Log,
}

/// One engine process, and our ends of everything that leads to it.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) id: u32,
    pub(super) log: LogPipe,
    /// What its relay had counted when it last said so.
    pub(super) relay: RelayCounts,
    body: Body,
    control: OwnedFd,
    links: Vec<Link>,
    blocked: Vec<bool>,
    phase: Phase,
}

/// The process alone: to be killed if need be, and waited for.
#[derive(Debug)]
pub(super) struct Body {
    pub(super) id: u32,
    child: Child,
    exit: OwnedFd,
    /// When it is killed if it has not ended by itself.
    pub(super) kill_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting { since: Instant },
    Ready { since: Instant },
}

impl Process {
    /// Starts a process. It is ready when its [`Verdict`] says so. Its descriptors are in `epoll` until it is
    /// dropped.
    pub(super) fn spawn(
        options: &EngineOptions,
        (conf_text, keep_anchors): (&str, KeepAnchors),
        id: u32,
        epoll: &OwnedFd,
    ) -> io::Result<Self> {
        let (control, control_theirs) = socket_pair()?;
        let (log, log_theirs) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let now = Instant::now();
        let contexts = contexts(options.threads);
        let mut links = Vec::with_capacity(contexts);
        let mut theirs = vec![file_with(conf_text)?];
        for _ in 0..contexts {
            let (socket, socket_theirs) = socket_pair()?;
            links.push(Link::new(socket, now));
            theirs.push(socket_theirs);
        }
        // Before the process is there: one that ends at once could not take it any more.
        let start = Start {
            questions_per_thread: u32::try_from(options.questions_per_thread).unwrap_or(u32::MAX),
            threads: options.threads as u32, // MAX_THREADS at most
            probe_interval_ms: u32::try_from(options.anchor_interval.as_millis())
                .unwrap_or(u32::MAX),
            keep_anchors,
        };
        send_start(&control, start, &theirs)?;
        let child = Command::new(&options.program)
            .args(&options.arguments)
            .env(TUNABLES, tunables(std::env::var(TUNABLES).ok()))
            .stdin(Stdio::from(control_theirs))
            .stdout(Stdio::null())
            .stderr(Stdio::from(log_theirs))
            .spawn()?;
        let pid = Pid::from_child(&child);
        let mut body = Unattended(Some(child));
        let exit = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;

        let add = |fd: BorrowedFd<'_>, part: Part| {
            epoll::add(epoll, fd, epoll_data(id, part), epoll::EventFlags::IN)
        };
        add(control.as_fd(), Part::Control)?;
        add(exit.as_fd(), Part::Exit)?;
        add(log.as_fd(), Part::Log)?;
        for (number, link) in links.iter().enumerate() {
            add(link.as_fd(), Part::Link(number))?;
        }
        let child = body.0.take().expect("nobody else takes it");
        Ok(Self {
            id,
            log: LogPipe::new(log),
            relay: RelayCounts::default(),
            body: Body {
                id,
                child,
                exit,
                kill_at: None,
            },
            control,
            blocked: vec![false; links.len()],
            links,
            phase: Phase::Starting { since: now },
        })
    }

    pub(super) fn pid(&self) -> u32 {
        self.body.child.id()
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    /// Since when it has been starting; `None` once it is ready.
    pub(super) fn starting_since(&self) -> Option<Instant> {
        match self.phase {
            Phase::Starting { since } => Some(since),
            Phase::Ready { .. } => None,
        }
    }

    /// How long it has been ready; `None` if it isn't yet.
    pub(super) fn lived(&self, now: Instant) -> Option<Duration> {
        match self.phase {
            Phase::Starting { .. } => None,
            Phase::Ready { since } => Some(now.saturating_duration_since(since)),
        }
    }

    /// Reads the control socket. `None`: nothing new, or closed (its end is reported by [`Part::Exit`]).
    pub(super) fn read_verdict(&mut self, now: Instant) -> Option<Result<Summary, StartError>> {
        let mut buffer = vec![0; MAX_PACKET_BYTES];
        let (length, _) =
            rustix::net::recv(&self.control, &mut buffer[..], RecvFlags::DONTWAIT).ok()?;
        match Verdict::read(&buffer[..length]).ok()? {
            Verdict::Ready(summary) => {
                self.phase = Phase::Ready { since: now };
                Some(Ok(summary))
            }
            Verdict::Refused { line, message } => Some(Err(StartError::Refused { line, message })),
        }
    }

    /// Takes a closed descriptor out of the poll set, where it would be ready for ever.
    pub(super) fn stop_polling(&self, epoll: &OwnedFd, part: Part) {
        let fd = match part {
            Part::Control => self.control.as_fd(),
            Part::Log => self.log.as_fd(),
            Part::Exit => self.body.exit(),
            Part::Link(number) => match self.links.get(number) {
                Some(link) => link.as_fd(),
                None => return,
            },
        };
        let _ = epoll::delete(epoll, fd);
    }

    /// Puts a question on its thread's link; it leaves with the next [`Process::flush`].
    pub(super) fn ask(&mut self, token: Token, question: &Question, thread: usize) {
        self.links[thread].push(&Request::Question {
            token: token.0,
            qtype: question.qtype(),
            qclass: question.qclass(),
            name: question.name(),
        });
    }

    /// Sends what waits; the poll set tells when a full socket has room again.
    ///
    /// Errors are not looked at: the process has closed its socket, so its exit is about to be reported; if
    /// it is not, the heartbeat finds out.
    pub(super) fn flush(&mut self, epoll: &OwnedFd) {
        for (number, link) in self.links.iter_mut().enumerate() {
            if !link.is_waiting() {
                continue;
            }
            let blocked = matches!(link.flush(), Ok(Flushed::Blocked));
            if blocked != self.blocked[number] {
                let mut flags = epoll::EventFlags::IN;
                flags.set(epoll::EventFlags::OUT, blocked);
                let data = epoll_data(self.id, Part::Link(number));
                if epoll::modify(epoll, link.as_fd(), data, flags).is_ok() {
                    self.blocked[number] = blocked;
                }
            }
        }
    }

    pub(super) fn threads(&self) -> usize {
        self.links.len()
    }

    pub(super) fn link(&mut self, number: usize) -> Option<&mut Link> {
        self.links.get_mut(number)
    }

    pub(super) fn links(&mut self) -> impl Iterator<Item = &mut Link> {
        self.links.iter_mut()
    }

    /// Kills it. What is left must be waited for.
    pub(super) fn kill(self) -> Body {
        let mut body = self.body;
        body.kill();
        body
    }

    /// Closes everything that leads to it, upon which it ends; it is killed if it has not by `kill_at`.
    pub(super) fn retire(self, kill_at: Instant) -> Body {
        Body {
            kill_at: Some(kill_at),
            ..self.body
        }
    }

    /// How it ended, if it has.
    pub(super) fn exit_status(&mut self) -> Option<ExitStatus> {
        self.body.reap()
    }
}

impl Body {
    pub(super) fn kill(&mut self) {
        // It fails only for a process that was waited for already.
        let _ = self.child.kill();
        self.kill_at = None;
    }

    /// Takes the exit status, if there is one; the process is gone for good then.
    pub(super) fn reap(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it has ended.
    pub(super) fn wait(&mut self) {
        let _ = self.child.wait();
    }

    /// Readable when the process has ended.
    pub(super) fn exit(&self) -> BorrowedFd<'_> {
        self.exit.as_fd()
    }
}

/// A child whose parent gave up half-way: killed and waited for.
struct Unattended(Option<Child>);

impl Drop for Unattended {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Which part of which process epoll speaks of.
pub(super) fn epoll_data(id: u32, part: Part) -> epoll::EventData {
    let low = match part {
        Part::Link(number) => number as u32, // MAX_THREADS at most
        Part::Control => CONTROL,
        Part::Exit => EXIT,
        Part::Log => LOG,
    };
    epoll::EventData::new_u64(u64::from(id) << 32 | u64::from(low))
}

/// See [`epoll_data`].
pub(super) fn epoll_source(data: u64) -> (u32, Part) {
    let part = match data as u32 {
        CONTROL => Part::Control,
        EXIT => Part::Exit,
        LOG => Part::Log,
        number => Part::Link(number as usize),
    };
    ((data >> 32) as u32, part)
}

const CONTROL: u32 = u32::MAX;
const EXIT: u32 = u32::MAX - 1;
const LOG: u32 = u32::MAX - 2;

/// The engine blocks on its control socket, so only single calls are made non-blocking.
fn socket_pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = SocketFlags::CLOEXEC;
    Ok(rustix::net::socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        flags,
        None,
    )?)
}

fn file_with(text: &str) -> io::Result<OwnedFd> {
    let mut file = std::fs::File::from(rustix::fs::memfd_create(
        c"engine.conf",
        MemfdFlags::CLOEXEC,
    )?);
    file.write_all(text.as_bytes())?;
    Ok(file.into())
}

fn send_start(control: &OwnedFd, start: Start, files: &[OwnedFd]) -> io::Result<()> {
    let files: Vec<BorrowedFd<'_>> = files.iter().map(|file| file.as_fd()).collect();
    let mut space =
        [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1 + EngineOptions::MAX_THREADS))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !ancillary.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(Errno::MSGSIZE.into());
    }
    let bytes = start.to_bytes();
    rustix::net::sendmsg(
        control,
        &[IoSlice::new(&bytes)],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}
