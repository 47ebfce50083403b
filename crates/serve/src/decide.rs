use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use arc_swap::Guard;
use sluicegate_answer::{Cache, Now, Policy, Request, Verdict};
use sluicegate_telemetry::{Counter, Counters, DropReason};

use crate::{Outcome, Shared};

/// What one batch of queries is answered from: the policy and the time, looked up once.
pub(crate) struct Moment<'a> {
    policy: Guard<Arc<Policy>>,
    cache: &'a Cache,
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

impl<'a> Moment<'a> {
    /// This moment; what happens is counted in the worker's `counters`.
    pub(crate) fn new(shared: &'a Shared, counters: &'a Counters) -> Self {
        Self {
            policy: shared.brain.policy.load(),
            cache: &shared.brain.cache,
            now: shared.now(),
            counters,
        }
    }

    /// Asks the brain about the query in `buf[..query_len]`. Should it panic, this query alone is dropped.
    pub(crate) fn decide(&self, request: &Request, buf: &mut [u8], query_len: usize) -> Verdict {
        let Self {
            policy,
            cache,
            now,
            counters,
        } = self;
        let answer =
            || sluicegate_answer::answer(policy, cache, request, buf, query_len, *now, counters);
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
        let Self {
            policy,
            now,
            counters,
            ..
        } = self;
        let Waited { query, outcome } = waited;
        buf[..query.len()].copy_from_slice(query);
        let write = || match outcome {
            Ok(resolution) => sluicegate_answer::finish(
                policy,
                resolution,
                request,
                buf,
                query.len(),
                *now,
                counters,
            ),
            Err(_) => sluicegate_answer::fail(policy, request, buf, query.len(), counters),
        };
        let written = catch_unwind(AssertUnwindSafe(write)).ok();
        counters.count(match (&written, outcome) {
            (None, _) => Counter::DropPanic,
            (_, Ok(_)) => Counter::Resolved,
            (_, Err(_)) => Counter::Failed,
        });
        written
    }
}
