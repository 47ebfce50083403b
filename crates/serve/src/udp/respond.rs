use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use sluicegate_answer::{Question, Request, Transport, Verdict};
use sluicegate_telemetry::{Counter, DropReason};

use super::receive::{BATCH, Datagram};
use super::send::Reply;
use super::worker::{Io, UdpWorker, Waiting};
use super::{Endpoint, LocalAddress};
use crate::decide::{Moment, Waited};
use crate::{ANSWER_DEADLINE, Failure, Outcome, Settled, Token};

/// What UDP can carry; the limit that matters is the policy's.
const PATH_LIMIT_BYTES: usize = 65_507;

impl UdpWorker {
    /// Answers the batch that lies in the buffers.
    pub(super) fn answer_batch(&mut self, endpoint: &Rc<Endpoint>, count: usize) {
        let (shared, counters) = (Arc::clone(&self.shared), Arc::clone(&self.counters));
        let moment = Moment::new(&shared, &counters);
        let mut replies = [Reply { slot: 0, len: 0 }; BATCH];
        let mut filled = 0;
        self.counters.add(Counter::Received, count as u64);
        for slot in 0..count {
            if let Some(len) = self.io.buffers.datagrams[slot].len {
                let query = &self.io.buffers.slot(slot)[..len];
                self.io.outlook.look(&moment, slot, query);
            }
        }
        self.io.outlook.fetch(&moment, count);
        for slot in 0..count {
            if let Some(len) = self.answer_one(&moment, endpoint, slot) {
                replies[filled] = Reply { slot, len };
                filled += 1;
            }
        }
        let failed = self
            .io
            .sender
            .send_batch(endpoint, &self.io.buffers, &replies[..filled]);
        self.counters.add(Counter::Replied, filled as u64 - failed);
        self.counters.add(Counter::DropSend, failed);
    }

    /// Answers one slot: the reply's length, or `None` when the query was dropped (and counted) or waits.
    fn answer_one(
        &mut self,
        moment: &Moment<'_>,
        endpoint: &Rc<Endpoint>,
        slot: usize,
    ) -> Option<usize> {
        let Datagram { len, client, local } = self.io.buffers.datagrams[slot];
        let Some(query_len) = len else {
            self.counters.count(DropReason::Malformed.counter());
            return None;
        };
        let request = request(endpoint, client, local);
        let Io {
            buffers, outlook, ..
        } = &mut self.io;
        let buf = buffers.slot_mut(slot);
        match outlook.decide(moment, slot, &request, (buf, query_len)) {
            Verdict::Reply(len) => Some(len),
            Verdict::Drop(reason) => {
                self.counters.count(reason.counter());
                None
            }
            Verdict::Miss(question) => {
                let query = self.io.buffers.slot(slot)[..query_len].into();
                self.park(
                    question,
                    Waiting {
                        endpoint: Rc::clone(endpoint),
                        client,
                        local,
                        query,
                    },
                );
                None
            }
        }
    }

    /// Lets a client wait for the engine.
    fn park(&mut self, question: Question, waiting: Waiting) {
        let Ok(token) = self
            .waiting
            .insert(Instant::now() + ANSWER_DEADLINE, waiting)
        else {
            return self.counters.count(DropReason::PendingFull.counter());
        };
        if self.port.ask(question, token).is_err() {
            self.waiting.take(token);
            return self.counters.count(DropReason::HandoffFull.counter());
        }
        self.counters.count(Counter::HandedOff);
    }

    /// Replies to a client whose waiting has come to its end.
    pub(super) fn settle(&mut self, settled: &Settled) {
        let Settled { token, outcome } = settled;
        let goes_on = |waiting: &Waiting| {
            let request = request(&waiting.endpoint, waiting.client, waiting.local);
            let query = &waiting.query;
            Moment::new(&self.shared, &self.counters)
                .goes_on_waiting(&request, Waited { query, outcome })
        };
        let goes_on = outcome.is_err() && self.waiting.get(*token).is_some_and(goes_on);
        if let Some(question) = self.further(*token, outcome)
            && self.port.ask(question, *token).is_ok()
        {
            return self.counters.count(Counter::HandedOff);
        }
        if !goes_on && let Some(waiting) = self.waiting.take(*token) {
            self.reply(&waiting, outcome);
        }
    }

    /// What a client still has to wait for.
    fn further(&self, token: Token, outcome: &Outcome) -> Option<Question> {
        let waiting = self.waiting.get(token).filter(|_| outcome.is_ok())?;
        let request = request(&waiting.endpoint, waiting.client, waiting.local);
        let query = &waiting.query;
        Moment::new(&self.shared, &self.counters).further(&request, Waited { query, outcome })
    }

    /// Replies to a client that has waited.
    pub(super) fn reply(&mut self, waiting: &Waiting, outcome: &Outcome) {
        let Waiting {
            endpoint,
            client,
            local,
            query,
        } = waiting;
        let request = request(endpoint, *client, *local);
        let moment = Moment::new(&self.shared, &self.counters);
        let Some(len) = moment.settle(&request, Waited { query, outcome }, &mut self.io.scratch)
        else {
            return;
        };
        if self
            .io
            .sender
            .send_one(endpoint, *client, *local, &self.io.scratch[..len])
        {
            self.counters.count(Counter::Replied);
        } else {
            self.counters.count(DropReason::Send.counter());
        }
    }

    /// SERVFAIL for those whose patience has ended.
    pub(super) fn expire(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let now = Instant::now();
        while let Some(waiting) = self.waiting.expire(now) {
            self.reply(&waiting, &Err(Failure::Engine));
        }
    }
}

fn request(endpoint: &Endpoint, client: SocketAddr, local: Option<LocalAddress>) -> Request {
    let local = local.map_or(endpoint.address(), |local| {
        SocketAddr::new(local.ip, endpoint.address().port())
    });
    Request {
        client,
        local,
        transport: Transport::Udp,
        path_limit_bytes: PATH_LIMIT_BYTES,
    }
}
