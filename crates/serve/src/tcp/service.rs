use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use sluicegate_answer::{Question, Request, Transport, Verdict};
use sluicegate_telemetry::{Counter, Counters};
use tokio::sync::{Notify, mpsc, watch};

use super::limits::Limits;
use crate::decide::{Looked, Moment, Waited};
use crate::handoff::{Lane, TaskPort};
use crate::{ANSWER_DEADLINE, Failure, Outcome, PENDING_PER_WORKER, Pending, Settled, Shared};

/// The longest message TCP can frame.
const MAX_MESSAGE_BYTES: usize = u16::MAX as usize;

/// What `answer()` wants beyond the longest query.
const SPARE_BYTES: usize = 1024;

/// What all connections share. Everything here belongs to one thread.
pub(super) struct Service {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    lane: RefCell<Lane>,
    wake: Arc<Notify>,
    waiting: RefCell<Pending<Waiting>>,
    /// Where queries are answered, in place.
    scratch: RefCell<Vec<u8>>,
    /// How many may be connected.
    pub(super) limits: Rc<Limits>,
    /// Turns true when the server ends.
    pub(super) draining: watch::Sender<bool>,
}

/// A client of some connection that waits for the engine.
struct Waiting {
    peers: Peers,
    query: Box<[u8]>,
    connection: mpsc::Sender<Answered>,
}

/// What a connection gets for a query that waited.
pub(super) struct Answered {
    query: Box<[u8]>,
    outcome: Outcome,
}

/// A connection, as far as replies depend on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peers {
    /// The client.
    pub(super) client: SocketAddr,
    /// The address it connected to.
    pub(super) local: SocketAddr,
    /// Whether a query has asked how long the connection may stay open.
    pub(super) keepalive: bool,
}

/// What became of a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The reply was given to the sink.
    Replied,
    /// The reply comes by the connection's channel.
    Waits,
    /// Not answered; the connection is to be closed (as Unbound does).
    Close,
}

impl Service {
    /// A service without connections.
    pub(super) fn new(shared: Arc<Shared>, port: TaskPort, limits: Rc<Limits>) -> Rc<Self> {
        let counters = shared.registry.counters("tcp");
        Rc::new(Self {
            shared,
            counters,
            lane: RefCell::new(port.lane),
            wake: port.wake,
            waiting: RefCell::new(Pending::new(PENDING_PER_WORKER)),
            scratch: RefCell::new(vec![0; MAX_MESSAGE_BYTES + SPARE_BYTES]),
            limits,
            draining: watch::Sender::new(false),
        })
    }

    /// Answers one query; `sink` takes the reply if it is there at once.
    pub(super) fn query(
        &self,
        peers: &mut Peers,
        query: &[u8],
        connection: &mpsc::Sender<Answered>,
        sink: impl FnOnce(&[u8]),
    ) -> Step {
        self.counters.count(Counter::Received);
        let mut scratch = self.scratch.borrow_mut();
        scratch[..query.len()].copy_from_slice(query);
        let moment = Moment::new(&self.shared, &self.counters);
        let mut looked = Looked::NOTHING;
        moment.look(query, &mut looked);
        peers.keepalive |= looked.is_sound() && looked.prepared().asks_keepalive();
        let peers = *peers;
        match moment.decide(&looked, &request(peers), &mut scratch, query.len()) {
            Verdict::Reply(len) => {
                self.counters.count(Counter::Replied);
                sink(&scratch[..len]);
                Step::Replied
            }
            Verdict::Drop(reason) => {
                self.counters.count(reason.counter());
                Step::Close
            }
            Verdict::Miss(question) => {
                if self.park(peers, question, query, connection) {
                    return Step::Waits;
                }
                drop(scratch);
                let overloaded = Answered {
                    query: query.into(),
                    outcome: Err(Failure::Overloaded),
                };
                self.finish(peers, &overloaded, sink)
            }
        }
    }

    /// Writes the reply to a client that has waited.
    pub(super) fn finish(
        &self,
        peers: Peers,
        answered: &Answered,
        sink: impl FnOnce(&[u8]),
    ) -> Step {
        let mut scratch = self.scratch.borrow_mut();
        let moment = Moment::new(&self.shared, &self.counters);
        let waited = Waited {
            query: &answered.query,
            outcome: &answered.outcome,
        };
        let Some(len) = moment.settle(&request(peers), waited, &mut scratch) else {
            return Step::Close;
        };
        self.counters.count(Counter::Replied);
        sink(&scratch[..len]);
        Step::Replied
    }

    /// Counts queries whose client has gone before they were answered.
    pub(super) fn lost(&self, count: usize) {
        self.counters.add(Counter::DropSend, count as u64);
    }

    /// Brings the engine's answers to their connections, and ends the waiting of those it fails, for ever.
    pub(super) async fn pump(self: Rc<Self>) {
        loop {
            let deadline = self.waiting.borrow().next_deadline();
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep_until(deadline) => {}
            }
            self.deliver();
        }
    }

    fn deliver(&self) {
        let mut waiting = self.waiting.borrow_mut();
        let mut lane = self.lane.borrow_mut();
        while let Some(settled) = lane.settled() {
            let Settled { token, outcome } = settled;
            if let Some(question) = self.further(waiting.get(token), &outcome)
                && lane.ask(question, token).is_ok()
            {
                self.counters.count(Counter::HandedOff);
                continue;
            }
            if !self.goes_on_waiting(waiting.get(token), &outcome)
                && let Some(client) = waiting.take(token)
            {
                client.send(outcome);
            }
        }
        let now = Instant::now();
        while let Some(client) = waiting.expire(now) {
            client.send(Err(Failure::Engine));
        }
    }

    /// What a client still has to wait for.
    fn further(&self, client: Option<&Waiting>, outcome: &Outcome) -> Option<Question> {
        let client = client.filter(|_| outcome.is_ok())?;
        let query = &client.query;
        Moment::new(&self.shared, &self.counters)
            .further(&request(client.peers), Waited { query, outcome })
    }

    fn goes_on_waiting(&self, client: Option<&Waiting>, outcome: &Outcome) -> bool {
        let goes_on = |client: &Waiting| {
            let query = &client.query;
            Moment::new(&self.shared, &self.counters)
                .goes_on_waiting(&request(client.peers), Waited { query, outcome })
        };
        outcome.is_err() && client.is_some_and(goes_on)
    }

    /// Sends a question to the engine; `false` if there is no room.
    fn park(
        &self,
        peers: Peers,
        question: Question,
        query: &[u8],
        connection: &mpsc::Sender<Answered>,
    ) -> bool {
        let mut waiting = self.waiting.borrow_mut();
        let client = Waiting {
            peers,
            query: query.into(),
            connection: connection.clone(),
        };
        let nobody_waited = waiting.is_empty();
        let Ok(token) = waiting.insert(Instant::now() + ANSWER_DEADLINE, client) else {
            return false;
        };
        if nobody_waited {
            // The pump sleeps without a deadline while nobody waits.
            self.wake.notify_one();
        }
        if self.lane.borrow_mut().ask(question, token).is_err() {
            waiting.take(token);
            return false;
        }
        self.counters.count(Counter::HandedOff);
        true
    }
}

impl Waiting {
    fn send(self, outcome: Outcome) {
        // The channel holds as many as one connection may have in flight: it is never full. It is closed
        // when the client has gone; the connection has counted what it did not wait for.
        let _ = self.connection.try_send(Answered {
            query: self.query,
            outcome,
        });
    }
}

async fn sleep_until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline.into()).await,
        None => std::future::pending().await,
    }
}

const fn request(peers: Peers) -> Request {
    let Peers {
        client,
        local,
        keepalive,
    } = peers;
    Request {
        client,
        local,
        transport: Transport::Tcp { keepalive },
        path_limit_bytes: MAX_MESSAGE_BYTES,
    }
}
