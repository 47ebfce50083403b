use std::ops::ControlFlow;

use sluicegate_dns::{Name, Query, Stored, StoredBuilder};
use sluicegate_telemetry::{Counter, DropReason};

use super::judge::{Case, Judgement, finish};
use super::rules::Responses;
use crate::alias::Alias;
use crate::cache::{Key, Sought};
use crate::exchange::{Decision, Exchange, Found};
use crate::local::Rrset;
use crate::pipeline::{VIEW, variant, with_scratch};
use crate::resolution::Told;
use crate::stale::Asked;
use crate::{Question, Resolution};

/// The length of a reply that isn't sent.
pub(crate) const NO_REPLY: usize = 0;

/// For how many seconds after its end an answer can be gone on with: longer than any client waits for what it leads to.
const GRACE_SECS: u32 = 30;

impl<'a> Exchange<'a> {
    /// The rules for answers to this query, where there are some.
    #[inline]
    pub(crate) fn responses(&self, query: &Query) -> Option<&'a Responses> {
        let responses = self.context.policy.responses.as_ref();
        responses.filter(|_| Responses::concern(query.qtype))
    }

    /// What becomes of a query whose answer is in the cache, and subject to rules.
    #[cold]
    #[inline(never)]
    pub(crate) fn tell_from_cache(
        &self,
        responses: &'a Responses,
        asked: &Asked<'_>,
        buf: &mut [u8],
    ) -> Option<Decision<'a>> {
        let context = self.context;
        let found = with_scratch(|scratch| {
            let sought = self.sought(asked.name, asked.query)?;
            let hit = context.cache.lookup(&sought, context.now.secs, scratch)?;
            let (age_secs, left_secs) = (hit.age_secs, hit.left_secs);
            let stored = Stored::new(hit.stored)?;
            self.count(Counter::CacheHits);
            let told = self.judge(responses, Found { stored, age_secs }, asked, buf);
            if context.policy.limits.is_due(age_secs, left_secs) {
                self.refresh(asked.query, asked.name.as_bytes(), sought.place);
            }
            Some(told)
        })?;
        Some(match found {
            ControlFlow::Break(len) => Decision::Reply(len),
            ControlFlow::Continue(judgement) => self.tell(responses, judgement, asked, buf),
        })
    }

    /// Judges an answer, and writes it if it is to be told as it is.
    pub(crate) fn judge(
        &self,
        responses: &'a Responses,
        found: Found<'_>,
        asked: &Asked<'_>,
        buf: &mut [u8],
    ) -> ControlFlow<usize, Judgement<'a>> {
        match responses.judge(&case(found, asked), self.client()) {
            Judgement::Itself => {
                ControlFlow::Break(self.write(found, asked.query, asked.alias, buf))
            }
            judgement => ControlFlow::Continue(judgement),
        }
    }

    /// What becomes of a query by what its answer was judged.
    pub(crate) fn tell(
        &self,
        responses: &'a Responses,
        judgement: Judgement<'a>,
        asked: &Asked<'_>,
        buf: &mut [u8],
    ) -> Decision<'a> {
        let query = asked.query;
        match judgement {
            Judgement::Silence => Decision::Drop(DropReason::LocalDeny),
            Judgement::Refusal => self.refuse(query, buf),
            Judgement::Itself | Judgement::Failure => Decision::Reply(self.fail(query, buf)),
            Judgement::Other(stored) => Decision::Reply(self.write_other(&stored, asked, buf)),
            Judgement::Alias(beginning, data) => {
                let alias = alias_to(data);
                let Some(target) = alias.target(&query.name) else {
                    return Decision::Reply(self.fail(query, buf));
                };
                if let Some(stored) = self.join_from_cache(responses, *beginning, &target, query) {
                    return Decision::Reply(self.write_other(&stored, asked, buf));
                }
                if self.has_failed(&target, query) {
                    return Decision::Reply(self.fail(query, buf));
                }
                if !query.rd {
                    return self.refuse(query, buf);
                }
                self.count(Counter::CacheMisses);
                Decision::Resolve {
                    alias: Some(alias),
                    stale: false,
                }
            }
        }
    }

    /// What must be found before a client can be told this answer that it has waited for.
    pub(crate) fn further(&self, resolution: &Resolution, asked: &Asked<'_>) -> Option<Question> {
        let query = asked.query;
        let responses = self.responses(query)?;
        let Told::Answer(stored) = resolution.told(variant(query)) else {
            return None;
        };
        if *asked.name != resolution.question().name {
            return None;
        }
        let fresh = Found {
            stored,
            age_secs: 0,
        };
        match responses.judge(&case(fresh, asked), self.client()) {
            Judgement::Alias(beginning, data) => {
                let name = alias_to(data).target(&query.name)?;
                let known = self.join_from_cache(responses, *beginning, &name, query);
                (known.is_none() && !self.has_failed(&name, query)).then(|| Question {
                    name,
                    ..resolution.question().clone()
                })
            }
            _ => None,
        }
    }

    /// Writes the reply to a client that has waited; its length.
    pub(crate) fn finish_judged(
        &self,
        responses: &'a Responses,
        resolution: &Resolution,
        asked: &Asked<'_>,
        buf: &mut [u8],
    ) -> usize {
        let query = asked.query;
        let leads_on = *asked.name != resolution.question().name;
        let stored = match resolution.told(variant(query)) {
            Told::Answer(stored) => stored,
            Told::Bogus(failure) => return self.explain(failure.rcode, failure.ede, query, buf),
            Told::Failed(failure) => {
                let expired = (!leads_on).then(|| self.stale(asked, buf)).flatten();
                return expired
                    .unwrap_or_else(|| self.explain(failure.rcode, failure.ede, query, buf));
            }
        };
        let fresh = Found {
            stored,
            age_secs: 0,
        };
        if leads_on {
            let joined = self.beginning(responses, asked, &resolution.question().name);
            let joined = joined.and_then(|beginning| {
                self.join(responses, beginning, fresh, &resolution.question().name)
            });
            return match joined {
                Some(stored) => self.write_other(&stored, asked, buf),
                // The rules have changed under the waiting client.
                None => self.fail(query, buf),
            };
        }
        match self.judge(responses, fresh, asked, buf) {
            ControlFlow::Break(len) => len,
            ControlFlow::Continue(judgement) => {
                let decision = self.tell(responses, judgement, asked, buf);
                self.end(&decision, query, buf)
            }
        }
    }

    /// The reply of a decision for a client that waits no longer.
    fn end(&self, decision: &Decision<'_>, query: &Query, buf: &mut [u8]) -> usize {
        match decision {
            Decision::Reply(len) => *len,
            Decision::Drop(_) => NO_REPLY,
            Decision::Resolve { .. } => self.fail(query, buf),
        }
    }

    /// The beginning of the answer that leads to `target`, if the answer to what is asked does so.
    fn beginning(
        &self,
        responses: &'a Responses,
        asked: &Asked<'_>,
        target: &Name,
    ) -> Option<StoredBuilder> {
        let context = self.context;
        with_scratch(|scratch| {
            let sought = self.sought(asked.name, asked.query)?;
            let now = context.now.secs;
            let lives = context.cache.lookup(&sought, now, scratch).is_some();
            let at = if lives {
                now
            } else {
                now.saturating_sub(GRACE_SECS)
            };
            let hit = context.cache.lookup(&sought, at, scratch)?;
            let found = Found {
                stored: Stored::new(hit.stored)?,
                // What has ended is not told for another second.
                age_secs: if lives { hit.age_secs } else { u32::MAX },
            };
            match responses.judge(&case(found, asked), self.client()) {
                Judgement::Alias(beginning, data) => {
                    let same = alias_to(data).target(&asked.query.name).as_ref() == Some(target);
                    same.then_some(*beginning)
                }
                _ => None,
            }
        })
    }

    fn join_from_cache(
        &self,
        responses: &Responses,
        beginning: StoredBuilder,
        target: &Name,
        query: &Query,
    ) -> Option<Vec<u8>> {
        let context = self.context;
        with_scratch(|scratch| {
            let sought = self.sought(target, query)?;
            let hit = context.cache.lookup(&sought, context.now.secs, scratch)?;
            let found = Found {
                stored: Stored::new(hit.stored)?,
                age_secs: hit.age_secs,
            };
            self.join(responses, beginning, found, target)
        })
    }

    /// A beginning and what it leads to, in one answer; the beginning alone, where that is subject to a rule in its turn.
    fn join(
        &self,
        responses: &Responses,
        mut beginning: StoredBuilder,
        found: Found<'_>,
        target: &Name,
    ) -> Option<Vec<u8>> {
        let Found { stored, age_secs } = found;
        if !responses.touch(stored, self.client()) {
            let all = 0..usize::from(stored.counts()[0]);
            beginning.push_answers(stored, target, all, age_secs).ok()?;
            beginning.set_rcode(stored.rcode());
        }
        Some(finish(beginning))
    }

    fn write_other(&self, stored: &[u8], asked: &Asked<'_>, buf: &mut [u8]) -> usize {
        match Stored::new(stored) {
            Some(stored) => {
                let found = Found {
                    stored,
                    age_secs: 0,
                };
                self.write(found, asked.query, asked.alias, buf)
            }
            None => self.fail(asked.query, buf),
        }
    }

    fn sought<'n>(&self, name: &'n Name, query: &Query) -> Option<Sought<'n>> {
        let key = Key::new(name.as_bytes(), query.qtype, query.qclass, VIEW)?;
        Some(Sought {
            key,
            place: self.context.cache.place(&key),
            variant: variant(query),
        })
    }
}

pub(crate) fn case<'c>(found: Found<'c>, asked: &Asked<'c>) -> Case<'c> {
    Case {
        stored: found.stored,
        age_secs: found.age_secs,
        name: asked.name,
        qtype: asked.query.qtype,
    }
}

/// Where a CNAME leads.
fn alias_to(data: &Rrset) -> Alias<'_> {
    let (ttl_secs, target) = data
        .records
        .first()
        .map_or((0, &[0][..]), |(ttl, target)| (*ttl, target));
    Alias {
        ttl_secs,
        target,
        literal: true,
    }
}
