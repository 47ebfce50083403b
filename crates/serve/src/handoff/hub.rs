use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sluicegate_engine::{Client, EngineOptions, StartError, Summary};

use super::errands::{Errands, Ticket, Waiter};
use super::port::{Ask, Failure, HubEnd, Outcome, PortEnd};
use super::status::HubStatus;
use crate::{Shared, Waker};

/// Questions taken from one worker before the others have their turn.
const ROUND: usize = 64;

/// What the hand-off thread can be told.
enum Command {
    /// Go on with an engine on this configuration; say how it went.
    Reconfigure(String, SyncSender<Result<(), StartError>>),
    /// End the engine and the thread.
    Stop,
}

/// The running hand-off thread.
#[derive(Debug)]
pub(crate) struct HubHandle {
    commands: Mutex<std::sync::mpsc::Sender<Command>>,
    waker: Waker,
    thread: JoinHandle<()>,
    status: Arc<HubStatus>,
    summary: Summary,
}

/// Why there is no hand-off thread.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// The engine did not start.
    #[error(transparent)]
    Engine(#[from] StartError),
    /// No thread could be made, or it ended at once.
    #[error("the hand-off thread did not start")]
    Thread,
}

impl HubHandle {
    /// Starts the thread and, in it, the engine (which lives as long as that thread). Returns when the
    /// engine is ready.
    ///
    /// # Errors
    /// Nothing runs then.
    pub(crate) fn start(
        shared: &Arc<Shared>,
        end: HubEnd,
        options: EngineOptions,
    ) -> Result<Self, HubError> {
        let (commands, receiver) = channel();
        let (started, outcome) = sync_channel(1);
        let waker = end.waker.clone();
        let status = Arc::new(HubStatus::default());
        shared.registry.add_source("engine", &status);
        let parts = (Arc::clone(shared), end, receiver, Arc::clone(&status));
        let run = move || match Client::start(options) {
            Ok(client) => {
                let _ = started.send(Ok(client.summary().clone()));
                Hub::new(client, parts).run();
            }
            Err(error) => drop(started.send(Err(error))),
        };
        let spawned = Builder::new().name("handoff".to_owned()).spawn(run);
        let thread = spawned.map_err(|_| HubError::Thread)?;
        let summary = outcome.recv().map_err(|_| HubError::Thread)??;
        let commands = Mutex::new(commands);
        Ok(Self {
            commands,
            waker,
            thread,
            status,
            summary,
        })
    }

    /// What the engine said about itself when it started.
    pub(crate) const fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Starts an engine on another configuration and, once it is ready, lets it take over. What comes back
    /// says how it went; until then, and if it fails, the old engine goes on.
    pub(crate) fn reconfigure(&self, conf_text: String) -> Receiver<Result<(), StartError>> {
        let (sender, receiver) = sync_channel(1);
        self.send(Command::Reconfigure(conf_text, sender));
        receiver
    }

    /// The engine's process ID, while there is one.
    pub(crate) fn engine_pid(&self) -> Option<u32> {
        self.status.pid()
    }

    /// Whether the thread has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.thread.is_finished()
    }

    /// Ends the engine and the thread; `false` if it panicked.
    pub(crate) fn stop(self) -> bool {
        self.send(Command::Stop);
        self.thread.join().is_ok()
    }

    fn send(&self, command: Command) {
        let _ = self
            .commands
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send(command);
        self.waker.wake();
    }
}

/// The thread's own state.
struct Hub {
    errands: Errands,
    end: HubEnd,
    commands: Receiver<Command>,
    ports: BTreeMap<u64, PortEnd>,
    reconfiguring: Option<SyncSender<Result<(), StartError>>>,
    status: Arc<HubStatus>,
}

impl Hub {
    fn new(
        client: Client<Waiter>,
        (shared, end, commands, status): (Arc<Shared>, HubEnd, Receiver<Command>, Arc<HubStatus>),
    ) -> Self {
        Self {
            errands: Errands::new(client, shared),
            end,
            commands,
            ports: BTreeMap::new(),
            reconfiguring: None,
            status,
        }
    }

    fn run(mut self) {
        let mut has_news = true;
        loop {
            if !self.commands() {
                return self.stop();
            }
            self.adopt();
            let busy = self.take_questions() | self.take_refreshes();
            self.turn(has_news);
            has_news = match self.wait(busy) {
                Ok(has_news) => has_news,
                Err(error) => {
                    tracing::error!("hand-off: poll: {error}; misses can no longer be answered");
                    return;
                }
            };
        }
    }

    /// Ends the engine; whoever still waits is told.
    fn stop(mut self) {
        for ticket in self.errands.stop() {
            deliver(&mut self.ports, ticket, Err(Failure::Stopping));
        }
    }

    /// Waits for a worker, the engine, a command or the end of a client's patience; does not wait if there is
    /// more to take. Says whether there is something from the engine.
    fn wait(&mut self, busy: bool) -> nix::Result<bool> {
        let deadline = self.errands.next_deadline();
        let mut fds = [
            PollFd::new(self.end.waker.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.errands.client.as_fd(), PollFlags::POLLIN),
        ];
        let timeout = match deadline {
            _ if busy => PollTimeout::ZERO,
            None => PollTimeout::NONE,
            // Rounded up: a wait that ends a little early would be followed by a spin.
            Some(until) => {
                let left = until.saturating_duration_since(Instant::now());
                PollTimeout::try_from(left.as_millis() + 1).unwrap_or(PollTimeout::MAX)
            }
        };
        match poll(&mut fds, timeout) {
            Ok(_) => {}
            Err(Errno::EINTR) => return Ok(true),
            Err(error) => return Err(error),
        }
        let [woken, has_news] = fds.map(|fd| fd.any().unwrap_or(true));
        if woken {
            self.end.waker.clear();
        }
        Ok(has_news)
    }

    /// Carries out commands; `false`: end.
    fn commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Reconfigure(text, answer)) => {
                    // A second one before the first has ended takes its place.
                    match self.errands.client.begin_reconfigure(text) {
                        Ok(()) => self.reconfiguring = Some(answer),
                        Err(error) => drop(answer.send(Err(error))),
                    }
                }
                Ok(Command::Stop) | Err(TryRecvError::Disconnected) => return false,
                Err(TryRecvError::Empty) => return true,
            }
        }
    }

    /// Takes in new ports, and forgets those whose workers have gone.
    fn adopt(&mut self) {
        self.ports
            .extend(self.end.new_ports.try_iter().map(|port| (port.id, port)));
        self.ports.retain(|_, port| !port.is_abandoned());
    }

    /// Takes questions from every worker in turn; `true` if there may be more.
    fn take_questions(&mut self) -> bool {
        let mut busy = false;
        for (id, port) in &mut self.ports {
            for round in 0..ROUND {
                let Ok(Ask { question, token }) = port.asked.pop() else {
                    break;
                };
                busy |= round + 1 == ROUND;
                let ticket = Ticket { port: *id, token };
                if let Err(failure) = self.errands.ask(question, ticket) {
                    port.settle(token, Err(failure));
                }
            }
        }
        busy
    }

    /// Takes questions that are to be asked anew; `true` if there may be more.
    fn take_refreshes(&mut self) -> bool {
        for _ in 0..ROUND {
            let Some(question) = self.end.refreshes.next() else {
                return false;
            };
            self.errands.refresh(&question);
        }
        true
    }

    /// Sends what has been asked, takes what has come, and returns it to the workers.
    fn turn(&mut self, has_news: bool) {
        let ports = &mut self.ports;
        self.errands.turn(has_news, &mut |ticket, outcome| {
            deliver(ports, ticket, outcome)
        });
        if let Some(result) = self.errands.client.reconfigured()
            && let Some(answer) = self.reconfiguring.take()
        {
            let _ = answer.send(result);
        }
        let client = &self.errands.client;
        let counts = self.errands.counts(&self.end.refreshes);
        self.status.publish(client.pid(), client.stats(), counts);
    }
}

/// Sends an outcome to the worker that asked; `false`: it is gone, or its ring is full.
fn deliver(ports: &mut BTreeMap<u64, PortEnd>, ticket: Ticket, outcome: Outcome) -> bool {
    let Ticket { port, token } = ticket;
    let port = ports.get_mut(&port);
    port.is_some_and(|port| port.settle(token, outcome))
}
