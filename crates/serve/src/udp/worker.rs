use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver as Commands;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use sluicegate_telemetry::Counters;

use super::ready::{MARKS, Mark, Readiness};
use super::receive::{BATCH, Buffers, Receiver};
use super::send::Sender;
use super::{Command, Endpoint, LocalAddress};
use crate::outlook::Outlook;
use crate::{DRAIN_LIMIT, Failure, HandoffPort, PENDING_PER_WORKER, Pending, Shared};

/// Batches taken from one socket before the others have their turn.
const ROUNDS: usize = 4;

/// Batches taken from a socket that is about to be closed: more than its receive buffer holds.
const LAST_ROUNDS: usize = 512;

/// One UDP worker: its sockets, its buffers, its waiting clients. Lives in its thread.
pub(super) struct UdpWorker {
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
    pub(super) port: HandoffPort,
    commands: Commands<Command>,
    readiness: Readiness,
    sockets: Vec<Option<Listening>>,
    pub(super) io: Io,
    pub(super) waiting: Pending<Waiting>,
    drain_until: Option<Instant>,
}

/// A socket that is read.
struct Listening {
    endpoint: Rc<Endpoint>,
    receiver: Receiver,
}

/// Buffers and sender.
pub(super) struct Io {
    pub(super) buffers: Buffers,
    /// What is known of the queries in the buffers.
    pub(super) outlook: Outlook<BATCH>,
    pub(super) sender: Sender,
    /// Where the reply to a client that waited is written.
    pub(super) scratch: Vec<u8>,
}

/// A client that waits for the engine: all that its reply needs.
pub(super) struct Waiting {
    pub(super) endpoint: Rc<Endpoint>,
    pub(super) client: SocketAddr,
    pub(super) local: Option<LocalAddress>,
    pub(super) query: Box<[u8]>,
}

impl UdpWorker {
    /// A worker without sockets yet. `slot_bytes` bounds queries and replies.
    ///
    /// # Errors
    /// No epoll could be made (the process's limit of open files).
    pub(super) fn new(
        shared: Arc<Shared>,
        counters: Arc<Counters>,
        port: HandoffPort,
        commands: Commands<Command>,
        slot_bytes: usize,
    ) -> std::io::Result<Self> {
        let readiness = Readiness::new(&port)?;
        let io = Io {
            buffers: Buffers::new(slot_bytes),
            outlook: Outlook::new(),
            sender: Sender::new(),
            scratch: vec![0; slot_bytes],
        };
        Ok(Self {
            shared,
            counters,
            port,
            commands,
            readiness,
            sockets: Vec::new(),
            io,
            waiting: Pending::new(PENDING_PER_WORKER),
            drain_until: None,
        })
    }

    /// Works until the server drains and nobody waits any more.
    pub(super) fn run(mut self) {
        let mut marks = [Mark::Waker; MARKS];
        while !self.is_done() {
            let count = match self.wait(&mut marks) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!("UDP worker: waiting for queries: {error}");
                    return;
                }
            };
            for mark in &marks[..count] {
                match *mark {
                    Mark::Waker => self.woken(),
                    Mark::Socket(slot) => self.serve(slot, ROUNDS),
                }
            }
            self.expire();
        }
        while let Some(waiting) = self.waiting.pop() {
            self.reply(&waiting, &Err(Failure::Stopping));
        }
    }

    fn is_done(&self) -> bool {
        self.drain_until
            .is_some_and(|until| self.waiting.is_empty() || Instant::now() >= until)
    }

    fn wait(&self, marks: &mut [Mark; MARKS]) -> nix::Result<usize> {
        let sockets = each(&self.sockets);
        self.readiness
            .wait(self.port.as_fd(), sockets, self.time_left(), marks)
    }

    /// Until the oldest client's patience or the drain ends; for ever when nobody waits.
    fn time_left(&self) -> Option<Duration> {
        let deadlines = [self.waiting.next_deadline(), self.drain_until];
        let first = deadlines.into_iter().flatten().min()?;
        Some(first.saturating_duration_since(Instant::now()))
    }

    fn woken(&mut self) {
        self.port.clear_wake();
        while let Ok(command) = self.commands.try_recv() {
            match command {
                Command::Open(endpoint) => self.open(endpoint),
                Command::Close(address) => self.close(address),
            }
        }
        while let Some(settled) = self.port.settled() {
            self.settle(&settled);
        }
        if self.shared.is_draining() && self.drain_until.is_none() {
            self.start_draining();
        }
    }

    pub(super) fn open(&mut self, endpoint: Endpoint) {
        let slot = self
            .sockets
            .iter()
            .position(Option::is_none)
            .unwrap_or(self.sockets.len());
        let new = (slot, endpoint.as_fd());
        if let Err(error) = self.readiness.add(each(&self.sockets), new) {
            tracing::error!(
                "UDP {}: epoll_ctl: {error}; this address is not served",
                endpoint.address()
            );
            return;
        }
        self.io.sender.prepare(&endpoint);
        let receiver = Receiver::new(&endpoint);
        let listening = Some(Listening {
            endpoint: Rc::new(endpoint),
            receiver,
        });
        match self.sockets.get_mut(slot) {
            Some(free) => *free = listening,
            None => self.sockets.push(listening),
        }
    }

    /// Answers what the socket still holds, then stops reading it. It is closed when the last client that
    /// came by it has been answered.
    fn close(&mut self, address: SocketAddr) {
        let matches = |socket: &Option<Listening>| {
            socket
                .as_ref()
                .is_some_and(|s| s.endpoint.address() == address)
        };
        while let Some(slot) = self.sockets.iter().position(matches) {
            self.serve(slot, LAST_ROUNDS);
            if let Some(listening) = self.sockets[slot].take() {
                self.readiness.remove(listening.endpoint.as_fd());
            }
        }
    }

    fn start_draining(&mut self) {
        self.drain_until = Some(Instant::now() + DRAIN_LIMIT);
        let addresses: Vec<_> = self
            .sockets
            .iter()
            .flatten()
            .map(|s| s.endpoint.address())
            .collect();
        for address in addresses {
            self.close(address);
        }
    }

    /// Answers what the socket holds, at most so many batches of it.
    pub(super) fn serve(&mut self, slot: usize, rounds: usize) {
        for _ in 0..rounds {
            let Some(Some(listening)) = self.sockets.get_mut(slot) else {
                return;
            };
            // EAGAIN: nothing more. Any other error has been taken off the socket by reading it.
            let Ok(count) = listening
                .receiver
                .receive(&listening.endpoint, &mut self.io.buffers)
            else {
                return;
            };
            let endpoint = Rc::clone(&listening.endpoint);
            self.answer_batch(&endpoint, count);
            if count < BATCH {
                return;
            }
        }
    }
}

/// The sockets with their slots.
fn each(sockets: &[Option<Listening>]) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> + Clone {
    let slots = sockets.iter().enumerate();
    slots.filter_map(|(slot, socket)| Some((slot, socket.as_ref()?.endpoint.as_fd())))
}
