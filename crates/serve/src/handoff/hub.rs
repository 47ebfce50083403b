use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Instant;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use sluicegate_engine::{Client, EngineOptions, StartError, Summary};

use super::port::{Ask, Failure, HubEnd, PortEnd};
use super::resolve;
use super::status::HubStatus;
use crate::{Shared, Token, Waker};

/// Questions taken from one worker before the others have their turn.
const ROUND: usize = 64;

/// Who asked: which worker, and which of its clients.
#[derive(Clone, Copy, Debug)]
struct Ticket {
    port: u64,
    token: Token,
}

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
    shared: Arc<Shared>,
    client: Client<Ticket>,
    end: HubEnd,
    commands: Receiver<Command>,
    ports: BTreeMap<u64, PortEnd>,
    reconfiguring: Option<SyncSender<Result<(), StartError>>>,
    status: Arc<HubStatus>,
    /// Answers that found their worker gone, or its ring full.
    lost: u64,
}

impl Hub {
    fn new(
        client: Client<Ticket>,
        (shared, end, commands, status): (Arc<Shared>, HubEnd, Receiver<Command>, Arc<HubStatus>),
    ) -> Self {
        let (ports, reconfiguring, lost) = (BTreeMap::new(), None, 0);
        Self {
            shared,
            client,
            end,
            commands,
            ports,
            reconfiguring,
            status,
            lost,
        }
    }

    fn run(mut self) {
        loop {
            if !self.commands() {
                return self.stop();
            }
            self.adopt();
            let busy = self.take_questions();
            self.turn();
            if let Err(error) = self.wait(busy) {
                tracing::error!("hand-off: poll: {error}; misses can no longer be answered");
                return;
            }
        }
    }

    /// Ends the engine; whoever still waits is told.
    fn stop(mut self) {
        for Ticket { port, token } in self.client.stop() {
            if let Some(port) = self.ports.get_mut(&port) {
                port.settle(token, Err(Failure::Stopping));
            }
        }
    }

    /// Waits for a worker, the engine or a command; does not wait if there is more to take.
    fn wait(&self, busy: bool) -> nix::Result<()> {
        let mut fds = [
            PollFd::new(self.end.waker.as_fd(), PollFlags::POLLIN),
            PollFd::new(self.client.as_fd(), PollFlags::POLLIN),
        ];
        match poll(
            &mut fds,
            if busy {
                PollTimeout::ZERO
            } else {
                PollTimeout::NONE
            },
        ) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
        self.end.waker.clear();
        Ok(())
    }

    /// Carries out commands; `false`: end.
    fn commands(&mut self) -> bool {
        loop {
            match self.commands.try_recv() {
                Ok(Command::Reconfigure(text, answer)) => {
                    // A second one before the first has ended takes its place.
                    match self.client.begin_reconfigure(text) {
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
                let Ok(question) = resolve::engine_question(&question) else {
                    port.settle(token, Err(Failure::Engine));
                    continue;
                };
                if self.client.ask(question, ticket).is_err() {
                    port.settle(token, Err(Failure::Overloaded));
                }
            }
        }
        busy
    }

    /// Sends what has been asked, takes what has come, and returns it to the workers.
    fn turn(&mut self) {
        let Self {
            shared,
            client,
            ports,
            lost,
            ..
        } = self;
        client.turn(Instant::now(), &mut |outcome, waiters| {
            // What came from outside must not end the thread that everybody waits for.
            let compile = AssertUnwindSafe(|| resolve::cache(shared, outcome));
            let settled = catch_unwind(compile).unwrap_or(Err(Failure::Engine));
            for Ticket { port, token } in waiters {
                let delivered = ports
                    .get_mut(&port)
                    .is_some_and(|port| port.settle(token, settled.clone()));
                *lost += u64::from(!delivered);
            }
        });
        if let Some(result) = client.reconfigured()
            && let Some(answer) = self.reconfiguring.take()
        {
            let _ = answer.send(result);
        }
        self.status
            .publish(self.client.pid(), self.client.stats(), self.lost);
    }
}
