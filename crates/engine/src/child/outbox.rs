//! Answers on their way to the parent.

use std::collections::VecDeque;
use std::os::fd::OwnedFd;

use rustix::io::Errno;
use rustix::net::SendFlags;

use crate::wire::{FULL_PACKET_BYTES, Reply};

/// Answers on their way to the parent, packed into packets. Bounded by the questions in flight; while more
/// than [`Outbox::MAX_BYTES`] wait, the worker takes no new questions.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    /// Full packets, oldest first.
    full: VecDeque<Vec<u8>>,
    /// The packet being filled.
    packet: Vec<u8>,
    /// Bytes in `full`.
    full_bytes: usize,
    /// Answers since [`Outbox::take_answered`].
    answered: usize,
}

impl Outbox {
    /// Waiting bytes beyond which no new questions are read.
    pub(crate) const MAX_BYTES: usize = 4 << 20;

    /// Adds the answer of a question that was in flight.
    pub(crate) fn answer(&mut self, reply: &Reply<'_>) {
        self.answered += 1;
        self.push(reply);
    }

    /// Adds any other record.
    pub(crate) fn push(&mut self, reply: &Reply<'_>) {
        reply.write(&mut self.packet);
        if self.packet.len() >= FULL_PACKET_BYTES {
            self.full_bytes += self.packet.len();
            self.full.push_back(std::mem::take(&mut self.packet));
        }
    }

    /// How many questions have been answered since the last call.
    pub(crate) fn take_answered(&mut self) -> usize {
        std::mem::take(&mut self.answered)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether so much waits that no new questions should be read.
    pub(crate) fn is_full(&self) -> bool {
        self.full_bytes > Self::MAX_BYTES
    }

    /// Sends what the socket takes; true when all of it went.
    pub(crate) fn flush(&mut self, socket: &OwnedFd) -> rustix::io::Result<bool> {
        while let Some(packet) = self.full.front() {
            if !send(socket, packet)? {
                return Ok(false);
            }
            self.full_bytes -= packet.len();
            self.full.pop_front();
        }
        if self.packet.is_empty() {
            return Ok(true);
        }
        if !send(socket, &self.packet)? {
            return Ok(false);
        }
        self.packet.clear();
        Ok(true)
    }
}

/// Sends a packet whole; false when the socket is full.
fn send(socket: &OwnedFd, packet: &[u8]) -> rustix::io::Result<bool> {
    match rustix::net::send(socket, packet, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
        Ok(_) => Ok(true),
        Err(Errno::AGAIN | Errno::INTR) => Ok(false),
        Err(errno) => Err(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::ShedReason;
    use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, socketpair};

    fn pair() -> (OwnedFd, OwnedFd) {
        socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::NONBLOCK,
            None,
        )
        .unwrap()
    }

    fn shed(token: u64) -> Reply<'static> {
        let reason = ShedReason::Full;
        Reply::Shed { token, reason }
    }

    #[test]
    fn a_burst_goes_in_few_packets_in_order() {
        let (ours, theirs) = pair();
        let mut outbox = Outbox::default();
        for token in 0..5000 {
            outbox.push(&shed(token));
        }
        let mut buffer = vec![0; 128 * 1024];
        let (mut packets, mut expected) = (0, 0);
        let mut done = false;
        while expected < 5000 {
            if !done {
                done = outbox.flush(&ours).unwrap();
            }
            let (length, _) = rustix::net::recv(&theirs, &mut buffer, RecvFlags::empty()).unwrap();
            packets += 1;
            let mut rest = &buffer[..length];
            while let Some(reply) = Reply::read(&mut rest).unwrap() {
                assert_eq!(reply, shed(expected));
                expected += 1;
            }
        }
        assert_eq!(packets, 2, "50,000 bytes in packets of 32 KiB");
    }

    #[test]
    fn what_the_socket_refuses_waits_and_marks_it_full() {
        let (ours, theirs) = pair();
        let mut outbox = Outbox::default();
        let wire = vec![0; 60_000];
        let reply = Reply::Answer {
            token: 0,
            rcode: 0,
            security: crate::Security::Insecure,
            ratelimited: false,
            why: &[],
            wire: &wire,
        };
        for _ in 0..100 {
            outbox.answer(&reply);
        }
        assert_eq!(outbox.take_answered(), 100);
        assert!(!outbox.flush(&ours).unwrap());
        assert!(outbox.is_full());
        let mut buffer = vec![0; 128 * 1024];
        let mut received = 0;
        while received < 100 {
            while rustix::net::recv(&theirs, &mut buffer, RecvFlags::empty()).is_ok() {
                received += 1;
            }
            outbox.flush(&ours).unwrap();
        }
        assert!(outbox.flush(&ours).unwrap() && !outbox.is_full());
    }
}
