use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Receiver as Commands;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use sluicegate_telemetry::Counters;

use super::receive::{BATCH, Buffers, Receiver};
use super::send::Sender;
use super::{Command, Endpoint, LocalAddress};
use crate::outlook::Outlook;
use crate::{DRAIN_LIMIT, Failure, HandoffPort, PENDING_PER_WORKER, Pending, Shared};

/// Batches taken from one socket before the others have their turn.
const ROUNDS: usize = 4;

/// Batches taken from a socket that is about to be closed: more than its receive buffer holds.
const LAST_ROUNDS: usize = 512;

/// Sockets reported by one wait.
const EVENTS: usize = 16;

/// The epoll mark of the waker; sockets are marked with their slots.
const WAKER: u64 = u64::MAX;

/// One UDP worker: its sockets, its buffers, its waiting clients. Lives in its thread.
pub(super) struct UdpWorker {
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
    pub(super) port: HandoffPort,
    commands: Commands<Command>,
    epoll: Epoll,
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
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&port, EpollEvent::new(EpollFlags::EPOLLIN, WAKER))?;
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
            epoll,
            sockets: Vec::new(),
            io,
            waiting: Pending::new(PENDING_PER_WORKER),
            drain_until: None,
        })
    }

    /// Works until the server drains and nobody waits any more.
    pub(super) fn run(mut self) {
        let mut events = [EpollEvent::empty(); EVENTS];
        while !self.is_done() {
            let count = match self.epoll.wait(&mut events, self.timeout()) {
                Ok(count) => count,
                Err(Errno::EINTR) => 0,
                Err(error) => {
                    tracing::error!("UDP worker: epoll_wait: {error}");
                    return;
                }
            };
            for event in &events[..count] {
                match event.data() {
                    WAKER => self.woken(),
                    slot => self.serve(slot as usize, ROUNDS),
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

    /// Until the oldest client's patience or the drain ends; for ever when nobody waits.
    fn timeout(&self) -> EpollTimeout {
        let deadline = match (self.waiting.next_deadline(), self.drain_until) {
            (Some(a), Some(b)) => a.min(b),
            (Some(one), None) | (None, Some(one)) => one,
            (None, None) => return EpollTimeout::NONE,
        };
        // Rounded up: a wait that ends a little early would be followed by a spin.
        let millis = deadline
            .saturating_duration_since(Instant::now())
            .as_millis()
            + 1;
        EpollTimeout::try_from(millis).unwrap_or(EpollTimeout::MAX)
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
        if let Err(error) = self
            .epoll
            .add(&endpoint, EpollEvent::new(EpollFlags::EPOLLIN, slot as u64))
        {
            tracing::error!(
                "UDP {}: epoll_ctl: {error}; this address is not served",
                endpoint.address()
            );
            return;
        }
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
                let _ = self.epoll.delete(listening.endpoint.as_fd());
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
