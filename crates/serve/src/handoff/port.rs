use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use rtrb::{Consumer, Producer, RingBuffer};
use sluicegate_answer::{Question, Resolution, Unresolved};
use tokio::sync::Notify;

use super::refresh::{RefreshEnd, Refresher};
use crate::{Token, Waker};

/// Why there is no answer for a waiting client. It gets SERVFAIL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Failure {
    /// The engine gave no answer in time, or could not make one.
    Engine,
    /// The engine has not answered yet, and the client has waited as long as it is to wait when there is an
    /// expired answer.
    Late,
    /// The engine's table of questions in flight is full.
    Overloaded,
    /// The server is ending.
    Stopping,
}

impl Failure {
    /// The same as the brain knows it.
    pub(crate) const fn unresolved(self) -> Unresolved {
        match self {
            Self::Engine => Unresolved::NoAnswer,
            Self::Late => Unresolved::Late,
            Self::Overloaded => Unresolved::Overloaded,
            Self::Stopping => Unresolved::Stopping,
        }
    }
}

/// What became of a question.
pub type Outcome = Result<Arc<Resolution>, Failure>;

/// The end of one client's waiting.
#[derive(Debug)]
pub struct Settled {
    /// Which client, as given to [`HandoffPort::ask`].
    pub token: Token,
    /// The answer, already in the cache, or why there is none.
    pub outcome: Outcome,
}

/// The ring to the hand-off thread is full; the caller drops or refuses the query and counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoffFull;

/// A worker's end of the hand-off. Dropping it makes the hand-off thread forget the worker.
#[derive(Debug)]
pub struct HandoffPort {
    lane: Lane,
    wake: Waker,
}

impl HandoffPort {
    /// Sends a question on its way.
    ///
    /// # Errors
    /// [`HandoffFull`]: nothing was sent.
    pub fn ask(&mut self, question: Question, token: Token) -> Result<(), HandoffFull> {
        self.lane.ask(question, token)
    }

    /// The next answer that has come back. Poll [`as_fd`](AsFd::as_fd), call
    /// [`clear_wake`](Self::clear_wake), then take until `None`.
    pub fn settled(&mut self) -> Option<Settled> {
        self.lane.settled()
    }

    /// Makes the port's file descriptor unreadable again; call it before taking what has come.
    pub fn clear_wake(&self) {
        self.wake.clear();
    }

    /// The waker of the worker that owns this port: whoever has something for that worker (a command, the
    /// order to stop) publishes it and wakes the worker through this.
    pub fn waker(&self) -> Waker {
        self.wake.clone()
    }
}

impl AsFd for HandoffPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }
}

/// The same for a worker that is a task of an async runtime: woken through a [`Notify`].
#[derive(Debug)]
pub(crate) struct TaskPort {
    /// To ask and to take answers.
    pub(crate) lane: Lane,
    /// Notified when there are answers.
    pub(crate) wake: Arc<Notify>,
}

/// The two rings of one worker.
#[derive(Debug)]
pub(crate) struct Lane {
    asks: Producer<Ask>,
    settled: Consumer<Settled>,
    hub: Waker,
}

impl Lane {
    /// See [`HandoffPort::ask`].
    pub(crate) fn ask(&mut self, question: Question, token: Token) -> Result<(), HandoffFull> {
        self.asks
            .push(Ask { question, token })
            .map_err(|_| HandoffFull)?;
        self.hub.wake();
        Ok(())
    }

    /// See [`HandoffPort::settled`].
    pub(crate) fn settled(&mut self) -> Option<Settled> {
        self.settled.pop().ok()
    }
}

/// Makes ports; shared by all who start workers.
#[derive(Debug)]
pub(crate) struct PortFactory {
    new_ports: Mutex<Sender<PortEnd>>,
    hub: Waker,
    next_id: AtomicU64,
    refresher: Refresher,
}

impl PortFactory {
    /// The factory and what the hand-off thread needs of it.
    pub(crate) fn new() -> std::io::Result<(Self, HubEnd)> {
        let (sender, receiver) = channel();
        let hub = Waker::new()?;
        let (refresher, refreshes) = Refresher::new(hub.clone());
        let end = HubEnd {
            new_ports: receiver,
            waker: hub.clone(),
            refreshes,
        };
        Ok((
            Self {
                new_ports: Mutex::new(sender),
                hub,
                next_id: AtomicU64::new(0),
                refresher,
            },
            end,
        ))
    }

    /// Where workers leave the questions that are to be refreshed.
    pub(crate) const fn refresher(&self) -> &Refresher {
        &self.refresher
    }

    /// A new port for a thread. `capacity` bounds the questions on their way to the hand-off thread, and the
    /// answers on their way back; give it the capacity of the worker's [`Pending`](crate::Pending) table.
    ///
    /// # Errors
    /// No eventfd could be made (the process's limit of open files).
    pub(crate) fn port(&self, capacity: usize) -> std::io::Result<HandoffPort> {
        let wake = Waker::new()?;
        Ok(HandoffPort {
            lane: self.lane(capacity, Wake::Thread(wake.clone())),
            wake,
        })
    }

    /// A new port for a task.
    pub(crate) fn task_port(&self, capacity: usize) -> TaskPort {
        let wake = Arc::new(Notify::new());
        TaskPort {
            lane: self.lane(capacity, Wake::Task(Arc::clone(&wake))),
            wake,
        }
    }

    fn lane(&self, capacity: usize, wake: Wake) -> Lane {
        let (asks, asked) = RingBuffer::new(capacity);
        let (settle, settled) = RingBuffer::new(capacity);
        let id = self.next_id.fetch_add(1, Relaxed);
        let sender = self
            .new_ports
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // With the hand-off thread gone the server is ending: the questions stay unanswered, as they must.
        let _ = sender.send(PortEnd {
            id,
            asked,
            settle,
            wake,
        });
        self.hub.wake();
        Lane {
            asks,
            settled,
            hub: self.hub.clone(),
        }
    }
}

/// How a worker is woken.
#[derive(Debug)]
enum Wake {
    Thread(Waker),
    Task(Arc<Notify>),
}

/// A question on its way.
#[derive(Debug)]
pub(crate) struct Ask {
    pub(crate) question: Question,
    pub(crate) token: Token,
}

/// The hand-off thread's end of one port.
#[derive(Debug)]
pub(crate) struct PortEnd {
    pub(crate) id: u64,
    pub(crate) asked: Consumer<Ask>,
    settle: Producer<Settled>,
    wake: Wake,
}

impl PortEnd {
    /// Sends an answer back; `false` if the ring back is full. That client gets SERVFAIL at its deadline.
    pub(crate) fn settle(&mut self, token: Token, outcome: Outcome) -> bool {
        let sent = self.settle.push(Settled { token, outcome }).is_ok();
        match &self.wake {
            Wake::Thread(waker) => waker.wake(),
            Wake::Task(notify) => notify.notify_one(),
        }
        sent
    }

    /// Whether the worker has dropped its port.
    pub(crate) fn is_abandoned(&self) -> bool {
        self.asked.is_abandoned()
    }
}

/// What the hand-off thread holds of the factory.
#[derive(Debug)]
pub(crate) struct HubEnd {
    pub(crate) new_ports: Receiver<PortEnd>,
    pub(crate) waker: Waker,
    pub(crate) refreshes: RefreshEnd,
}
