use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::Guard;
use sluicegate_answer::{
    Context, Now, Packets, Policy, Prepared, Question, Request, Sighting, Verdict, answer_prepared,
    fetch, gather, prepare,
};
use sluicegate_telemetry::{Counter, Counters, DropReason};

use crate::{Failure, Outcome, Shared};

/// What one batch of queries is answered from: the policy and the time, looked up once.
pub(crate) struct Moment<'a> {
    shared: &'a Shared,
    policy: Guard<Arc<Policy>>,
    now: Now,
    counters: &'a Counters,
}

/// A query that has waited, and what became of its question.
#[derive(Clone, Copy)]
pub(crate) struct Waited<'a> {
    /// The query, as it came.
    pub(crate) query: &'a [u8],
    /// The engine's answer, or why there is none.
    pub(crate) outcome: &'a Outcome,
}

/// What is known of a query that was looked at and may be decided. Kept by the worker and used again for
/// each batch: it is too large to be handed around.
pub(crate) struct Looked {
    prepared: Prepared,
    /// Whether looking at it came to an end.
    sound: bool,
}

impl Looked {
    /// Of no query yet.
    pub(crate) const NOTHING: Self = Self {
        prepared: Prepared::empty(),
        sound: false,
    };

    /// Whether looking at it came to an end.
    pub(crate) const fn is_sound(&self) -> bool {
        self.sound
    }

    /// What was found.
    pub(crate) const fn prepared(&self) -> &Prepared {
        &self.prepared
    }
}

impl<'a> Moment<'a> {
    /// This moment; what happens is counted in the worker's `counters`.
    pub(crate) fn new(shared: &'a Shared, counters: &'a Counters) -> Self {
        Self {
            shared,
            policy: shared.brain.policy.load(),
            now: shared.now(),
            counters,
        }
    }

    /// Looks at a query; what it finds is written over `looked`.
    pub(crate) fn look(&self, query: &[u8], looked: &mut Looked) {
        looked.sound = false;
        let prepared = &mut looked.prepared;
        let context = self.context();
        let look = || prepare(prepared, &context, query);
        looked.sound = catch_unwind(AssertUnwindSafe(look)).is_ok();
    }

    /// Looks for a query among the replies that a worker remembers. Should that panic, it is not known.
    pub(crate) fn sight(&self, packets: &mut Packets, query: &[u8]) -> Sighting {
        let context = self.context();
        catch_unwind(AssertUnwindSafe(|| packets.look(&context, query))).unwrap_or(Sighting::New)
    }

    /// Fetches from memory what says where the answers to these queries stand, before the first of them is decided.
    pub(crate) fn gather<'l>(&self, batch: impl Iterator<Item = &'l Looked>) {
        gather(batch.map(|looked| &looked.prepared), &self.context());
    }

    /// Asks memory for the answer to a query that is decided soon.
    pub(crate) fn fetch(&self, looked: &Looked) {
        fetch(&looked.prepared, &self.context());
    }

    /// Asks the brain about the query in `buf[..query_len]`, which has not changed since it was looked at.
    /// Should it panic, this query alone is dropped.
    pub(crate) fn decide(
        &self,
        looked: &Looked,
        request: &Request,
        buf: &mut [u8],
        query_len: usize,
    ) -> Verdict {
        if !looked.sound {
            return Verdict::Drop(DropReason::Panic);
        }
        self.ask(|context| answer_prepared(context, &looked.prepared, request, buf, query_len))
    }

    /// Asks the brain. Should it panic, this query alone is dropped.
    pub(crate) fn ask(&self, answer: impl FnOnce(&Context<'_>) -> Verdict) -> Verdict {
        let context = self.context();
        catch_unwind(AssertUnwindSafe(|| answer(&context)))
            .unwrap_or(Verdict::Drop(DropReason::Panic))
    }

    /// Whether a client had better go on waiting: it was to be told an expired answer by now, and that is gone. The
    /// fresh one may still come.
    pub(crate) fn goes_on_waiting(&self, request: &Request, waited: Waited<'_>) -> bool {
        let Waited { query, outcome } = waited;
        let context = self.context();
        let is_gone = || !sluicegate_answer::has_expired(&context, request, query);
        matches!(outcome, Err(Failure::Late))
            && catch_unwind(AssertUnwindSafe(is_gone)).unwrap_or(false)
    }

    /// What a client that has waited must wait for in its turn, before it can be told anything.
    pub(crate) fn further(&self, request: &Request, waited: Waited<'_>) -> Option<Question> {
        let Waited { query, outcome } = waited;
        let resolution = outcome.as_ref().ok()?;
        let context = self.context();
        let further = || sluicegate_answer::further(&context, resolution, request, query);
        catch_unwind(AssertUnwindSafe(further)).ok().flatten()
    }

    /// Writes the reply to a client that has waited into `buf`; its length, or `None` if it gets none: that panicked, or
    /// a rule forbids it (and it was counted).
    pub(crate) fn settle(
        &self,
        request: &Request,
        waited: Waited<'_>,
        buf: &mut [u8],
    ) -> Option<usize> {
        let Waited { query, outcome } = waited;
        buf[..query.len()].copy_from_slice(query);
        let context = self.context();
        let write = || match outcome {
            Ok(resolution) => {
                sluicegate_answer::finish(&context, resolution, request, buf, query.len())
            }
            Err(failure) => {
                let why = failure.unresolved();
                let fallback = sluicegate_answer::fail(&context, request, buf, query.len(), why);
                if !fallback.stale {
                    self.counters.count(Counter::Failed);
                }
                fallback.len
            }
        };
        let written = catch_unwind(AssertUnwindSafe(write)).ok();
        match (&written, outcome) {
            (None, _) => self.counters.count(Counter::DropPanic),
            (_, Ok(_)) => self.counters.count(Counter::Resolved),
            // Counted as the failure or the expired answer that it became.
            (_, Err(_)) => {}
        }
        if written == Some(0) {
            self.counters.count(Counter::DropLocalDeny);
            return None;
        }
        written
    }

    fn context(&self) -> Context<'_> {
        let Self {
            shared,
            policy,
            now,
            counters,
        } = self;
        Context {
            policy,
            cache: &shared.brain.cache,
            now: *now,
            counters,
            refresh: shared.refresher(),
        }
    }
}
