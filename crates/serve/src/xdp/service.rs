use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use sluicegate_answer::{Question, Request, Transport, Verdict};
use sluicegate_packet::{Datagram, Headers, Reject, reply_in_place};
use sluicegate_telemetry::{Counter, Counters, DropReason};
use sluicegate_xsk::{Queue, QueueError, RxPacket};

use crate::decide::{Moment, Waited};
use crate::{ANSWER_DEADLINE, Failure, HandoffPort, Outcome, PENDING_PER_WORKER, Pending, Settled};

/// What one worker answers with; the queue it answers on is kept beside it.
pub(super) struct Service {
    counters: Arc<Counters>,
    pub(super) port: HandoffPort,
    waiting: Pending<Waiting>,
    /// Longest IP packet a reply may be.
    mtu_bytes: usize,
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
        }
    }

    /// Answers one packet in its own frame, or lets its client wait, or counts why not. Should that panic,
    /// this packet alone is dropped.
    pub(super) fn take(&mut self, moment: &Moment<'_>, packet: RxPacket<'_>) {
        if catch_unwind(AssertUnwindSafe(|| self.answer(moment, packet))).is_err() {
            self.lose(DropReason::Panic);
        }
    }

    fn answer(&mut self, moment: &Moment<'_>, mut packet: RxPacket<'_>) {
        self.counters.count(Counter::Received);
        let datagram = match Datagram::parse(packet.bytes()) {
            Ok(datagram) => datagram,
            Err(reject) => return self.lose(drop_reason(reject)),
        };
        let query_len = datagram.payload().len();
        let window = packet.window();
        let request = self.request(datagram, window);
        let buf = &mut window[datagram.payload().start..];
        let looked = moment.look(&buf[..query_len]);
        match moment.decide(&looked, &request, buf, query_len) {
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
            if let Some(waiting) = self.waiting.take(token) {
                self.reply(moment, queue, &waiting, &outcome)?;
            }
        }
        Ok(SETTLED_PER_TURN)
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

fn drop_reason(reject: Reject) -> DropReason {
    match reject {
        Reject::Checksum => DropReason::Checksum,
        _ => DropReason::Malformed,
    }
}
