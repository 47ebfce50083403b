use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::Guard;
use sluicegate_answer::{
    Context, Now, Policy, Prepared, Request, Verdict, answer_prepared, prepare,
};
use sluicegate_telemetry::{Counter, Counters, DropReason};

use crate::{Outcome, Shared};

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

/// A query that was looked at and may be decided; `None`: looking at it panicked.
pub(crate) struct Looked(Option<Prepared>);

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

    /// Looks at a query, so that what its answer needs is on its way from memory when it is decided.
    pub(crate) fn look(&self, query: &[u8]) -> Looked {
        Looked(
            catch_unwind(AssertUnwindSafe(|| {
                prepare(&self.shared.brain.cache, query)
            }))
            .ok(),
        )
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
        let Some(prepared) = &looked.0 else {
            return Verdict::Drop(DropReason::Panic);
        };
        let context = self.context();
        let answer = || answer_prepared(&context, prepared, request, buf, query_len);
        catch_unwind(AssertUnwindSafe(answer)).unwrap_or(Verdict::Drop(DropReason::Panic))
    }

    /// Writes the reply to a client that has waited into `buf`; its length, or `None` if that panicked (and
    /// was counted).
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
            Err(_) => sluicegate_answer::fail(&context, request, buf, query.len()),
        };
        let written = catch_unwind(AssertUnwindSafe(write)).ok();
        self.counters.count(match (&written, outcome) {
            (None, _) => Counter::DropPanic,
            (_, Ok(_)) => Counter::Resolved,
            (_, Err(_)) => Counter::Failed,
        });
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
        }
    }
}
