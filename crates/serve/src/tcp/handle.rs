use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use socket2::Socket;
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{AbortHandle, LocalSet, spawn_local};
use tokio::time::{Instant, sleep};

use super::limits::Limits;
use super::listener::accept;
use super::service::Service;
use crate::handoff::TaskPort;
use crate::process::wall_in_worker;
use crate::{DRAIN_LIMIT, PENDING_PER_WORKER, Shared};

/// What can be changed by a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TcpSettings {
    /// Connections in all.
    pub(crate) connections: usize,
    /// How long one may be idle.
    pub(crate) idle: Duration,
}

/// What the TCP thread can be told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Accept on this listener too.
    Open(SocketAddr, Socket),
    /// Accept no more on this address. Its connections live on.
    Close(SocketAddr),
    /// New limits.
    Set(TcpSettings),
    /// Read no more, answer what has been asked, end.
    Drain,
}

/// The running TCP thread.
#[derive(Debug)]
pub(crate) struct TcpHandle {
    commands: UnboundedSender<Command>,
    thread: JoinHandle<()>,
}

impl TcpHandle {
    /// Starts the thread; its counters are `tcp`.
    ///
    /// # Errors
    /// Too many open files or threads.
    pub(crate) fn start(shared: &Arc<Shared>, settings: TcpSettings) -> io::Result<Self> {
        let port = shared.task_port(PENDING_PER_WORKER as usize);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (commands, receiver) = unbounded_channel();
        let shared = Arc::clone(shared);
        let run = move || {
            wall_in_worker();
            LocalSet::new().block_on(&runtime, serve(shared, port, settings, receiver));
        };
        let thread = Builder::new().name("tcp".to_owned()).spawn(run)?;
        Ok(Self { commands, thread })
    }

    /// Tells the thread something.
    pub(crate) fn send(&self, command: Command) {
        // A thread that has ended has told why in the log; supervision sees it.
        let _ = self.commands.send(command);
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

async fn serve(
    shared: Arc<Shared>,
    port: TaskPort,
    settings: TcpSettings,
    mut commands: UnboundedReceiver<Command>,
) {
    let limits = Limits::new(settings.connections, settings.idle);
    let service = Service::new(shared, port, limits);
    let mut listeners = Listeners {
        service: Rc::clone(&service),
        tasks: BTreeMap::new(),
    };
    let mut pump = spawn_local(Rc::clone(&service).pump());
    loop {
        let command = tokio::select! {
            command = commands.recv() => command,
            _ = &mut pump => {
                tracing::error!("TCP: the engine's answers can no longer be taken");
                return;
            }
        };
        match command {
            Some(Command::Open(address, socket)) => listeners.open(address, socket),
            Some(Command::Close(address)) => listeners.close(address),
            Some(Command::Set(settings)) => {
                service.limits.set(settings.connections, settings.idle);
            }
            Some(Command::Drain) | None => break,
        }
    }
    listeners.tasks.values().for_each(AbortHandle::abort);
    service.draining.send_replace(true);
    let end = Instant::now() + DRAIN_LIMIT;
    while service.limits.open() > 0 && Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
    }
}

/// One accepting task for each address.
struct Listeners {
    service: Rc<Service>,
    tasks: BTreeMap<SocketAddr, AbortHandle>,
}

impl Listeners {
    fn open(&mut self, address: SocketAddr, socket: Socket) {
        match TcpListener::from_std(socket.into()) {
            Ok(listener) => {
                let task = spawn_local(accept(Rc::clone(&self.service), listener, address));
                self.tasks.insert(address, task.abort_handle());
            }
            Err(error) => {
                tracing::error!("TCP {address}: {error}; this address is not served over TCP");
            }
        }
    }

    fn close(&mut self, address: SocketAddr) {
        if let Some(task) = self.tasks.remove(&address) {
            task.abort();
        }
    }
}
