//! One thread of the engine: its socket, its context.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::RecvFlags;

use crate::RelayCounts;
use crate::ffi::Context;
use crate::question::write_name_text;
use crate::wire::{Garbled, MAX_PACKET_BYTES, Reply, Request, ShedReason};

/// Packets of questions read in one turn, so that answers from upstreams get theirs.
const PACKETS_PER_TURN: usize = 32;

/// One thread of the engine.
pub(super) struct Worker {
    context: Context,
    socket: OwnedFd,
    /// Questions that libunbound may have at once; beyond it they are shed.
    limit: usize,
    in_flight: usize,
    watched: Watched,
    buffer: Vec<u8>,
    name_text: Vec<u8>,
    kept: Option<Kept>,
}

/// The trust anchors that this thread's context keeps.
struct Kept {
    owners: Vec<CString>,
    interval: Duration,
    next: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Watched {
    read: bool,
    write: bool,
}

const DNSKEY: u16 = 48;
const IN: u16 = 1;
/// A token that the parent never gave: it passes the answer over.
const NOBODY: u64 = u64::MAX;

/// Why a thread ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum WorkerError {
    #[error(transparent)]
    Garbled(#[from] Garbled),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Errno(#[from] Errno),
}

impl Worker {
    pub(super) fn new(context: Context, socket: OwnedFd, limit: u32) -> io::Result<Self> {
        let watched = Watched {
            read: true,
            write: false,
        };
        context.watch(socket.as_fd(), watched.read, watched.write)?;
        let buffer = vec![0; MAX_PACKET_BYTES];
        Ok(Self {
            context,
            socket,
            limit: limit as usize,
            in_flight: 0,
            watched,
            buffer,
            name_text: Vec::new(),
            kept: None,
        })
    }

    /// Has this thread ask for the keys of trust anchors that its context keeps, now and then: libunbound looks
    /// at them again when what it knew has expired.
    pub(super) fn keep(&mut self, owners: Vec<CString>, interval: Duration) {
        if !owners.is_empty() {
            let next = Instant::now();
            self.kept = Some(Kept {
                owners,
                interval,
                next,
            });
        }
    }

    /// Serves until the socket closes.
    pub(super) fn run(mut self) -> Result<(), WorkerError> {
        loop {
            self.context.run_due();
            self.send_answers()?;
            let limit = self.ask_for_anchors();
            self.send_answers()?;
            let turn = self.context.wait(limit)?;
            if turn.readable && self.watched.read && !self.read_questions()? {
                return Ok(());
            }
        }
    }

    /// Asks for the kept anchors' keys if it is time; returns how long until the next time.
    fn ask_for_anchors(&mut self) -> Option<Duration> {
        let kept = self.kept.as_mut()?;
        let now = Instant::now();
        if now >= kept.next {
            kept.next = now + kept.interval;
            for owner in &kept.owners {
                // Nobody waits for it; the next time is soon enough if it can't be asked now.
                if self.context.resolve(owner, DNSKEY, IN, NOBODY).is_ok() {
                    self.in_flight += 1;
                }
            }
        }
        Some(kept.next.saturating_duration_since(now))
    }

    fn send_answers(&mut self) -> Result<(), WorkerError> {
        let mut outbox = self.context.outbox().borrow_mut();
        self.in_flight = self.in_flight.saturating_sub(outbox.take_answered());
        let all_sent = outbox.flush(&self.socket)?;
        let wanted = Watched {
            read: !outbox.is_full(),
            write: !all_sent,
        };
        drop(outbox);
        if wanted != self.watched {
            self.context
                .watch(self.socket.as_fd(), wanted.read, wanted.write)?;
            self.watched = wanted;
        }
        Ok(())
    }

    /// False when the socket is closed.
    fn read_questions(&mut self) -> Result<bool, WorkerError> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut open = true;
        for _ in 0..PACKETS_PER_TURN {
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => {
                    open = false;
                    break;
                }
                Ok((length, _)) => self.take_packet(&buffer[..length])?,
                Err(Errno::AGAIN) => break,
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.buffer = buffer;
        Ok(open)
    }

    fn take_packet(&mut self, mut packet: &[u8]) -> Result<(), Garbled> {
        while let Some(request) = Request::read(&mut packet)? {
            match request {
                Request::Question {
                    token,
                    qtype,
                    qclass,
                    name,
                } => {
                    if let Err(reason) = self.start(token, name, qtype, qclass) {
                        self.context
                            .outbox()
                            .borrow_mut()
                            .push(&Reply::Shed { token, reason });
                    }
                }
                Request::Ping { nonce } => self.context.outbox().borrow_mut().push(&Reply::Pong {
                    nonce,
                    relay: RelayCounts::of_process(),
                }),
            }
        }
        Ok(())
    }

    fn start(
        &mut self,
        token: u64,
        name: &[u8],
        qtype: u16,
        qclass: u16,
    ) -> Result<(), ShedReason> {
        if self.in_flight >= self.limit {
            return Err(ShedReason::Full);
        }
        self.name_text.clear();
        write_name_text(name, &mut self.name_text);
        self.name_text.push(0);
        let text = CStr::from_bytes_with_nul(&self.name_text).map_err(|_| ShedReason::Refused)?;
        self.context
            .resolve(text, qtype, qclass, token)
            .map_err(|_| ShedReason::Refused)?;
        self.in_flight += 1;
        Ok(())
    }
}
