use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread::{Builder, JoinHandle};

use super::Endpoint;
use super::worker::UdpWorker;
use crate::process::wall_in_worker;
use crate::{PENDING_PER_WORKER, Shared, Waker};

/// What a worker can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Read this socket too.
    Open(Endpoint),
    /// Answer what the sockets of this address still hold, then close them.
    Close(SocketAddr),
}

/// A running worker. To end it, start the server's drain, [`wake`](Self::wake) it, [`join`](Self::join) it.
#[derive(Debug)]
pub(crate) struct WorkerHandle {
    commands: Sender<Command>,
    waker: Waker,
    thread: JoinHandle<()>,
}

/// Smallest slot: longer queries than this are not answered over UDP. Not a power of two, so that the
/// slots of a batch do not all fall on the same lines of the first-level cache.
const SLOT_BYTES: usize = 4096 + 128;

impl WorkerHandle {
    /// Starts worker number `index`; its counters are `udp.<index>`.
    ///
    /// # Errors
    /// Too many open files or threads.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        index: usize,
        max_reply_bytes: usize,
    ) -> std::io::Result<Self> {
        let name = format!("udp.{index}");
        let counters = shared.registry.counters(&name);
        let port = shared.handoff_port(PENDING_PER_WORKER as usize)?;
        let waker = port.waker();
        let (commands, receiver) = channel();
        let slot_bytes = SLOT_BYTES.max(max_reply_bytes.next_multiple_of(64) + 64);
        let shared = Arc::clone(shared);
        let run = move || {
            wall_in_worker();
            match UdpWorker::new(shared, counters, port, receiver, slot_bytes) {
                Ok(worker) => worker.run(),
                Err(error) => tracing::error!("UDP worker {index}: epoll_create: {error}"),
            }
        };
        let thread = Builder::new().name(name).spawn(run)?;
        Ok(Self {
            commands,
            waker,
            thread,
        })
    }

    /// Tells the worker something.
    pub(crate) fn send(&self, command: Command) {
        // A worker that has ended has told why in the log; supervision sees it.
        let _ = self.commands.send(command);
        self.waker.wake();
    }

    /// Makes the worker look whether the server drains.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    /// Whether the thread has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Waits for its end; `false` if it panicked.
    pub(crate) fn join(self) -> bool {
        self.thread.join().is_ok()
    }
}
