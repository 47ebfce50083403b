//! The short way of a query: what nearly every one is, answered from the cache in one go.

use sluicegate_conf::AccessAction;
use sluicegate_dns::{Brief, BriefName, BriefOptions, Stored, class};
use sluicegate_telemetry::Counter;

use crate::cache::{Place, Variant, WordKey};
use crate::exchange::{is_data, rotate};
use crate::pipeline::{VIEW, with_scratch};
use crate::{Context, Request, Transport};

/// A query in which only the cache has a say, if its client may ask for everything: one for data of class IN, under a
/// name that is not local, with RD and without options.
///
/// Where this way ends, nothing was written or counted, and that says nothing: the [rules](crate::answer) of all queries
/// have the same answer to this one, and take longer to find it.
///
/// Only for those whom it [serves](Plain::serves).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plain {
    brief: Brief,
    /// Where its answer would be.
    pub(crate) place: Place,
}

impl Plain {
    /// Whether this is a client that may ask for everything, over UDP.
    #[expect(clippy::inline_always, reason = "called twice")]
    #[inline(always)]
    pub(crate) fn serves(context: &Context<'_>, request: &Request) -> bool {
        context.policy.acl.action(request.client.ip()) == AccessAction::Allow
            && request.client.port() != 0
            && request.transport == Transport::Udp
    }

    /// What was read of a message, if it is such a query.
    #[expect(
        clippy::inline_always,
        reason = "called twice, where its parts can stay in registers"
    )]
    #[inline(always)]
    pub(crate) fn of(context: &Context<'_>, brief: Brief, name: &BriefName) -> Option<Self> {
        let local = &context.policy.local;
        if !is_data(brief.qtype) || !local.is_elsewhere(brief.name(name), brief.last_labels_at) {
            return None;
        }
        let place = context.cache.place_of(&key(brief, name));
        Some(Self { brief, place })
    }

    /// Writes its reply over it and counts a cache hit, if the answer is in the cache, may be told as it is, and need not
    /// be refreshed; the reply's length.
    #[expect(clippy::inline_always, reason = "called once for each query")]
    #[inline(always)]
    pub(crate) fn reply(
        self,
        context: &Context<'_>,
        request: &Request,
        name: &BriefName,
        buf: &mut [u8],
    ) -> Option<usize> {
        let Self { brief, place } = self;
        let Context {
            policy, cache, now, ..
        } = context;
        let limits = &policy.limits;
        let variant = Variant {
            dnssec_ok: brief.dnssec_ok,
            checking_disabled: brief.checking_disabled(),
        };
        with_scratch(|scratch| {
            let hit = cache.find(key(brief, name), (place, variant), now.secs, scratch)?;
            if limits.is_due(hit.age_secs, hit.left_secs) {
                return None;
            }
            let stored = Stored::new(hit.stored)?;
            let options = BriefOptions {
                age_secs: hit.age_secs,
                limit_bytes: limits.udp_limit(request.path_limit_bytes),
                udp_size: limits.udp_size(),
            };
            let len = brief.reply(stored, &options, buf)?;
            if limits.rotates && stored.counts()[0] > 1 {
                turn(hit.stored, brief.body_at(), buf);
            }
            context.counters.count(Counter::CacheHits);
            Some(len)
        })
    }
}

/// What its answer is stored under.
#[inline]
fn key(brief: Brief, name: &BriefName) -> WordKey<'_> {
    let question = [brief.qtype, class::IN, VIEW];
    WordKey::new(brief.name_words(name), brief.name_len(), question)
}

/// As [`rotate`], from what is stored: so that its parts need not be at hand where that is seldom called.
#[cold]
#[inline(never)]
fn turn(stored: &[u8], body_at: usize, buf: &mut [u8]) {
    if let Some(stored) = Stored::new(stored) {
        rotate(stored, body_at, buf);
    }
}
