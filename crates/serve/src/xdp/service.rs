use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use sluicegate_answer::{Question, Request, Transport, Verdict};
use sluicegate_packet::{Datagram, Headers, Reject, reply_in_place};
use sluicegate_telemetry::{Counter, Counters, DropReason};
use sluicegate_xsk::{Handler, Queue, QueueError, RxPacket};

use crate::decide::{Moment, Waited};
use crate::outlook::Outlook;
use crate::{
    ANSWER_DEADLINE, Failure, HandoffPort, Outcome, PENDING_PER_WORKER, Pending, Settled, Token,
};

/// What one worker answers with; the queue it answers on is kept beside it.
pub(super) struct Service {
    counters: Arc<Counters>,
    pub(super) port: HandoffPort,
    waiting: Pending<Waiting>,
    /// Longest IP packet a reply may be.
    mtu_bytes: usize,
    ahead: Box<Ahead>,
}

/// What is known of the packets that are answered next, by their numbers.
struct Ahead {
    /// What they are; `None` for one that was taken, or at which to look panicked.
    datagrams: [Option<Result<Datagram, Reject>>; Queue::LOOK_AHEAD],
    queries: Outlook<{ Queue::LOOK_AHEAD }>,
}

/// A service at one moment: what received packets are handed to.
pub(super) struct Attendance<'a> {
    pub(super) service: &'a mut Service,
    pub(super) moment: &'a Moment<'a>,
}

/// A client that waits for the engine: all that the reply needs, the query included.
struct Waiting {
    headers: Headers,
    query: Box<[u8]>,
}

/// How far the reply to a waiting client got.
#[derive(Clone, Copy, PartialEq)]
enum Tried {
    NoFrame,
    Unwritten,
    Written,
}

/// Answers sent to waiting clients in one turn, so that a burst of them does not keep the RX ring waiting.
const SETTLED_PER_TURN: usize = 128;

impl Service {
    /// A service that counts in `counters` and asks the engine through `port`.
    pub(super) fn new(counters: Arc<Counters>, port: HandoffPort, mtu_bytes: usize) -> Self {
        Self {
            counters,
            port,
            waiting: Pending::new(PENDING_PER_WORKER),
            mtu_bytes,
            ahead: Box::new(Ahead {
                datagrams: [None; Queue::LOOK_AHEAD],
                queries: Outlook::new(),
            }),
        }
    }

    /// Finds out what a packet is and where its answer would be.
    fn look(&mut self, moment: &Moment<'_>, number: usize, packet: &[u8]) {
        let Ahead { datagrams, queries } = &mut *self.ahead;
        datagrams[number] = None;
        let datagram = Datagram::parse(packet);
        if let Ok(datagram) = datagram {
            queries.look(moment, number, &packet[datagram.payload()]);
        }
        datagrams[number] = Some(datagram);
    }

    /// Answers a packet that was looked at in its own frame, or lets its client wait, or counts why not.
    fn answer(&mut self, moment: &Moment<'_>, number: usize, mut packet: RxPacket<'_>) {
        let datagram = match self.ahead.datagrams[number].take() {
            Some(Ok(datagram)) => datagram,
            Some(Err(reject)) => return self.lose(drop_reason(reject)),
            None => return self.lose(DropReason::Panic),
        };
        let query_len = datagram.payload().len();
        let window = packet.window();
        let request = self.request(datagram, window);
        let buf = &mut window[datagram.payload().start..];
        let queries = &mut self.ahead.queries;
        match queries.decide(moment, number, &request, (buf, query_len)) {
            Verdict::Reply(len) => {
                let frame_len = reply_in_place(window, &datagram, len);
                let sent = packet.transmit(frame_len);
                self.counters.count(if sent {
                    Counter::Replied
                } else {
                    Counter::DropTxFull
                });
            }
            Verdict::Drop(reason) => self.lose(reason),
            Verdict::Miss(question) => self.park(question, datagram, packet.bytes()),
        }
    }

    /// Replies to clients whose answers have come from the engine; how many came.
    ///
    /// # Errors
    /// The queue's: it is of no further use.
    pub(super) fn settle(
        &mut self,
        moment: &Moment<'_>,
        queue: &mut Queue,
    ) -> Result<usize, QueueError> {
        for settled in 0..SETTLED_PER_TURN {
            let Some(Settled { token, outcome }) = self.port.settled() else {
                return Ok(settled);
            };
            if let Some(question) = self.further(moment, token, &outcome)
                && self.port.ask(question, token).is_ok()
            {
                self.counters.count(Counter::HandedOff);
                continue;
            }
            if !self.goes_on_waiting(moment, token, &outcome)
                && let Some(waiting) = self.waiting.take(token)
            {
                self.reply(moment, queue, &waiting, &outcome)?;
            }
        }
        Ok(SETTLED_PER_TURN)
    }

    /// What a client still has to wait for.
    fn further(&self, moment: &Moment<'_>, token: Token, outcome: &Outcome) -> Option<Question> {
        let waiting = self.waiting.get(token).filter(|_| outcome.is_ok())?;
        let headers = &waiting.headers;
        let request = self.request(*headers.datagram(), headers.as_bytes());
        let query = &waiting.query;
        moment.further(&request, Waited { query, outcome })
    }

    fn goes_on_waiting(&self, moment: &Moment<'_>, token: Token, outcome: &Outcome) -> bool {
        if outcome.is_ok() {
            return false;
        }
        self.waiting.get(token).is_some_and(|waiting| {
            let headers = &waiting.headers;
            let request = self.request(*headers.datagram(), headers.as_bytes());
            let query = &waiting.query;
            moment.goes_on_waiting(&request, Waited { query, outcome })
        })
    }

    /// SERVFAIL for those whose patience has ended; how many they were.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub(super) fn expire(
        &mut self,
        moment: &Moment<'_>,
        queue: &mut Queue,
    ) -> Result<usize, QueueError> {
        if self.waiting.is_empty() {
            return Ok(0);
        }
        let now = Instant::now();
        for expired in 0..SETTLED_PER_TURN {
            let Some(waiting) = self.waiting.expire(now) else {
                return Ok(expired);
            };
            self.reply(moment, queue, &waiting, &Err(Failure::Engine))?;
        }
        Ok(SETTLED_PER_TURN)
    }

    /// SERVFAIL for all who still wait: the worker ends.
    ///
    /// # Errors
    /// As [`settle`](Self::settle).
    pub(super) fn dismiss(
        &mut self,
        moment: &Moment<'_>,
        queue: &mut Queue,
    ) -> Result<(), QueueError> {
        while let Some(waiting) = self.waiting.pop() {
            self.reply(moment, queue, &waiting, &Err(Failure::Stopping))?;
        }
        Ok(())
    }

    /// Whether nobody waits for the engine.
    pub(super) const fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the oldest client's patience ends.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.waiting.next_deadline()
    }

    /// Counts those who still wait: the queue can no longer carry their answers.
    pub(super) fn abandon(&mut self) {
        while self.waiting.pop().is_some() {
            self.lose(DropReason::Send);
        }
    }

    fn lose(&self, reason: DropReason) {
        self.counters.count(reason.counter());
    }

    fn request(&self, datagram: Datagram, frame: &[u8]) -> Request {
        let room = frame.len() - datagram.payload().start;
        Request {
            client: datagram.source(frame),
            local: datagram.destination(frame),
            transport: Transport::Udp,
            path_limit_bytes: room.min(self.mtu_bytes.saturating_sub(datagram.ip_overhead())),
        }
    }

    fn park(&mut self, question: Question, datagram: Datagram, frame: &[u8]) {
        let query = frame[datagram.payload()].into();
        let waiting = Waiting {
            headers: Headers::save(frame, &datagram),
            query,
        };
        let Ok(token) = self
            .waiting
            .insert(Instant::now() + ANSWER_DEADLINE, waiting)
        else {
            return self.lose(DropReason::PendingFull);
        };
        if self.port.ask(question, token).is_err() {
            self.waiting.take(token);
            return self.lose(DropReason::HandoffFull);
        }
        self.counters.count(Counter::HandedOff);
    }

    fn reply(
        &mut self,
        moment: &Moment<'_>,
        queue: &mut Queue,
        waiting: &Waiting,
        outcome: &Outcome,
    ) -> Result<(), QueueError> {
        let tried = Cell::new(Tried::NoFrame);
        let write = |frame: &mut [u8]| {
            let len = self.write(moment, waiting, outcome, frame);
            tried.set(if len.is_some() {
                Tried::Written
            } else {
                Tried::Unwritten
            });
            len
        };
        let mut sent = queue.transmit_with(write)?;
        if tried.get() == Tried::NoFrame {
            // The frames of those before may only wait to be sent off.
            queue.flush()?;
            sent = queue.transmit_with(write)?;
        }
        match tried.get() {
            Tried::Written if sent => self.counters.count(Counter::Replied),
            // What made it panic has been counted.
            Tried::Unwritten => {}
            Tried::Written | Tried::NoFrame => self.lose(DropReason::TxFull),
        }
        Ok(())
    }

    /// Writes the reply to a waiting client into an empty frame; its length.
    fn write(
        &self,
        moment: &Moment<'_>,
        waiting: &Waiting,
        outcome: &Outcome,
        frame: &mut [u8],
    ) -> Option<usize> {
        let datagram = waiting.headers.restore(frame);
        let request = self.request(datagram, frame);
        let buf = &mut frame[datagram.payload().start..];
        let len = moment.settle(
            &request,
            Waited {
                query: &waiting.query,
                outcome,
            },
            buf,
        )?;
        Some(reply_in_place(frame, &datagram, len))
    }
}

impl Handler for Attendance<'_> {
    fn look(&mut self, number: usize, packet: &[u8]) {
        let Self { service, moment } = self;
        // Should it panic, the packet is dropped when its turn comes, and no other.
        let _ = catch_unwind(AssertUnwindSafe(|| service.look(moment, number, packet)));
    }

    fn gather(&mut self, count: usize) {
        self.service.ahead.queries.fetch(self.moment, count);
    }

    fn take(&mut self, number: usize, packet: RxPacket<'_>) {
        let Self { service, moment } = self;
        service.counters.count(Counter::Received);
        if catch_unwind(AssertUnwindSafe(|| service.answer(moment, number, packet))).is_err() {
            service.lose(DropReason::Panic);
        }
    }
}

fn drop_reason(reject: Reject) -> DropReason {
    match reject {
        Reject::Checksum => DropReason::Checksum,
        _ => DropReason::Malformed,
    }
}
