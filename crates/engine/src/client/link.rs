//! The parent's end of one engine thread's socket.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags};

use crate::options::Heartbeat;
use crate::wire::{FULL_PACKET_BYTES, Request};

/// The parent's end of one engine thread's socket. What waits here is bounded by the questions that may be
/// in flight.
#[derive(Debug)]
pub(super) struct Link {
    socket: OwnedFd,
    full: VecDeque<Vec<u8>>,
    packet: Vec<u8>,
    pinged: Option<Instant>,
    next_ping: Instant,
}

/// Whether everything has been handed to the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flushed {
    All,
    /// The socket is full: to be tried again when it is writable.
    Blocked,
}

impl Link {
    pub(super) fn new(socket: OwnedFd, now: Instant) -> Self {
        Self {
            socket,
            full: VecDeque::new(),
            packet: Vec::new(),
            pinged: None,
            next_ping: now,
        }
    }

    /// Adds a record to the packet being filled.
    pub(super) fn push(&mut self, request: &Request<'_>) {
        request.write(&mut self.packet);
        if self.packet.len() >= FULL_PACKET_BYTES {
            self.full.push_back(std::mem::take(&mut self.packet));
        }
    }

    /// Whether there is something to send.
    pub(super) fn is_waiting(&self) -> bool {
        !self.packet.is_empty() || !self.full.is_empty()
    }

    /// Sends what the socket takes.
    pub(super) fn flush(&mut self) -> io::Result<Flushed> {
        while let Some(packet) = self.full.front() {
            if !send(&self.socket, packet)? {
                return Ok(Flushed::Blocked);
            }
            self.full.pop_front();
        }
        if !self.packet.is_empty() {
            if !send(&self.socket, &self.packet)? {
                return Ok(Flushed::Blocked);
            }
            self.packet.clear();
        }
        Ok(Flushed::All)
    }

    /// The next packet, in `buffer`; `None` when there is none now.
    ///
    /// # Errors
    /// `UnexpectedEof` when the other end is closed.
    pub(super) fn receive<'b>(&mut self, buffer: &'b mut [u8]) -> io::Result<Option<&'b [u8]>> {
        loop {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => {
                    // Whatever it says, the thread is alive.
                    self.pinged = None;
                    return Ok(Some(&buffer[..length]));
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Pings when it is time. False when the last ping has been without an answer for too long.
    pub(super) fn beat(&mut self, now: Instant, heartbeat: Heartbeat) -> bool {
        if let Some(pinged) = self.pinged {
            return now.saturating_duration_since(pinged) <= heartbeat.limit;
        }
        if now >= self.next_ping {
            self.push(&Request::Ping { nonce: 0 });
            self.pinged = Some(now);
            self.next_ping = now + heartbeat.interval;
        }
        true
    }
}

impl AsFd for Link {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Sends a packet whole; false when the socket is full.
fn send(socket: &OwnedFd, packet: &[u8]) -> io::Result<bool> {
    loop {
        match rustix::net::send(socket, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
            Ok(_) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
}
