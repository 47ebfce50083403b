use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Instant;

use sluicegate_answer::Question;
use sluicegate_answer::cache::Variants;
use sluicegate_engine::{Client, Overloaded};

use super::patience::Patience;
use super::port::{Failure, Outcome};
use super::refresh::{RefreshEnd, Refreshes};
use super::resolve;
use super::status::OwnCounts;
use crate::{Shared, Token};

/// Who asked: which worker, and which of its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket {
    pub(super) port: u64,
    pub(super) token: Token,
}

/// Who waits for an answer of the engine's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiter {
    /// Nobody: the answer is for the cache.
    client: Option<Ticket>,
    /// What of it.
    wanted: Variants,
}

/// What the engine is asked, and for whom.
pub(super) struct Errands {
    pub(super) client: Client<Waiter>,
    shared: Arc<Shared>,
    patience: Patience<Ticket>,
    refreshes: Refreshes,
    own: OwnCounts,
}

impl Errands {
    pub(super) fn new(client: Client<Waiter>, shared: Arc<Shared>) -> Self {
        Self {
            client,
            shared,
            patience: Patience::new(),
            refreshes: Refreshes::new(),
            own: OwnCounts::default(),
        }
    }

    /// Asks for a client.
    ///
    /// # Errors
    /// [`Failure::Overloaded`]: there is no room. [`Failure::Engine`]: nobody can be asked this.
    pub(super) fn ask(&mut self, question: Question, ticket: Ticket) -> Result<(), Failure> {
        let asked = resolve::engine_question(&question).map_err(|_| Failure::Engine)?;
        // libunbound repeats a failure for a while. A context that has not seen it finds out at once whether
        // the servers are back.
        let cache = &self.shared.brain.cache;
        let failures = cache.failures(&question, self.shared.now());
        let waiter = Waiter {
            client: Some(ticket),
            wanted: Variants::with_dnssec_ok(question.dnssec_ok),
        };
        let refused = match failures {
            0 => Some(waiter),
            failures => {
                let sent = self.client.refresh(asked.clone(), failures, waiter);
                sent.err().map(|Overloaded(waiter)| waiter)
            }
        };
        if let Some(waiter) = refused {
            self.refreshes.asked_plainly(&asked);
            let sent = self.client.ask(asked, waiter);
            sent.map_err(|_| Failure::Overloaded)?;
        }
        if question.stale {
            let policy = self.shared.brain.policy.load();
            let until = Instant::now() + policy.limits().client_timeout();
            self.patience.insert(ticket, question, until);
        }
        Ok(())
    }

    /// Asks for nobody but the cache, unless there is a reason not to.
    pub(super) fn refresh(&mut self, question: &Question) {
        let Ok(asked) = resolve::engine_question(question) else {
            return;
        };
        let cache = &self.shared.brain.cache;
        if cache.is_failing(question, self.shared.now()) {
            self.refreshes.spare();
        } else if let Some(generation) = self.refreshes.begin(&asked) {
            let waiter = Waiter {
                client: None,
                wanted: Variants::with_dnssec_ok(question.dnssec_ok),
            };
            let sent = self.client.refresh(asked.clone(), generation, waiter);
            if sent.is_err() {
                self.refreshes.shed(&asked);
            }
        }
    }

    /// Sends what has been asked, takes what the engine `has_news` of, and returns it by `deliver`, which says whether it
    /// could. Also tells the clients that have waited long enough to take their expired answers.
    pub(super) fn turn(
        &mut self,
        has_news: bool,
        deliver: &mut impl FnMut(Ticket, Outcome) -> bool,
    ) {
        if has_news {
            self.take_answers(deliver);
            if let Some(lines) = self.client.renewed_anchors() {
                let policy = self.shared.brain.policy.load();
                policy.tell_trust_anchors(&lines);
            }
        } else {
            self.client.send(Instant::now());
        }
        self.end_patience(deliver);
    }

    fn take_answers(&mut self, deliver: &mut impl FnMut(Ticket, Outcome) -> bool) {
        let Self {
            client,
            shared,
            patience,
            refreshes,
            own,
        } = self;
        client.turn(Instant::now(), &mut |outcome, waiters| {
            let wanted = waiters.iter().map(|waiter| waiter.wanted);
            let wanted = wanted.reduce(Variants::or);
            let wanted = wanted.unwrap_or(Variants::WITHOUT_DNSSEC);
            let settled = guarded(|| resolve::cache(shared, outcome, wanted));
            for waiter in waiters {
                if let Some(ticket) = waiter.client {
                    patience.settle(ticket);
                    own.lost += u64::from(!deliver(ticket, settled.clone()));
                } else {
                    let is_good = settled.as_ref().is_ok_and(|answer| answer.is_good());
                    refreshes.end(&outcome.question, is_good);
                }
            }
        });
    }

    fn end_patience(&mut self, deliver: &mut impl FnMut(Ticket, Outcome) -> bool) {
        let now = Instant::now();
        while let Some((ticket, question)) = self.patience.expire(now) {
            // Those who ask next need not wait as long.
            resolve::remember(&self.shared, &question, Failure::Late);
            self.own.late += 1;
            self.own.lost += u64::from(!deliver(ticket, Err(Failure::Late)));
        }
    }

    /// When the next client is to be told an expired answer.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        self.patience.next_deadline()
    }

    /// What was counted here.
    pub(super) fn counts(&self, refreshes: &RefreshEnd) -> OwnCounts {
        OwnCounts {
            refresh: self.refreshes.counts(refreshes),
            ..self.own
        }
    }

    /// Ends the engine; those who still wait for an answer.
    pub(super) fn stop(self) -> Vec<Ticket> {
        let waiting = self.client.stop().into_iter();
        waiting.filter_map(|waiter| waiter.client).collect()
    }
}

/// What came from outside must not end the thread that everybody waits for: should it make `compile` panic, there is no
/// answer.
fn guarded(compile: impl FnOnce() -> Outcome) -> Outcome {
    catch_unwind(AssertUnwindSafe(compile)).unwrap_or(Err(Failure::Engine))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_costs_one_answer_only() {
        let outcome = guarded(|| panic!("a message that nobody has thought of"));
        assert_eq!(outcome.err(), Some(Failure::Engine));
        let next = guarded(|| Err(Failure::Overloaded));
        assert_eq!(next.err(), Some(Failure::Overloaded));
    }
}
