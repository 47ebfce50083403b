use std::ops::ControlFlow;

use sluicegate_dns::{Ede, Name, Query, RenderOptions, Rendered, Stored, rcode, render, set_ttls};
use sluicegate_telemetry::Counter;

use crate::alias::Alias;
use crate::cache::{Place, Sought};
use crate::exchange::{Decision, Exchange, Found};
use crate::failure::{BOGUS_VIEW, FailureKind, STALE_ANSWER, STALE_NXDOMAIN, Subject};
use crate::pipeline::{VIEW, variant, with_scratch};
use crate::response::{Judgement, NO_REPLY, case};

/// What is asked, once the local rules have been applied.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) query: &'a Query,
    /// The name to be resolved: the query's own, or where the alias leads.
    pub(crate) name: &'a Name,
    pub(crate) alias: Option<&'a Alias<'a>>,
}

/// What becomes of a query whose answer is not in the cache, or no longer good.
pub(crate) enum Remains {
    /// There is something to be told all the same; so many bytes.
    Reply(usize),
    /// It must be asked for. `stale`: there is an expired answer, should that take too long.
    Ask { stale: bool },
}

/// A question's failure, as far as it is still of interest.
enum Recalled {
    /// It was bogus, and the reply is written.
    Told(usize),
    /// It was bogus, and the client wants the data all the same.
    Unchecked,
    Failed {
        rcode: u16,
        ede_code: u16,
        holds: bool,
    },
    Late {
        holds: bool,
    },
}

impl Asked<'_> {
    fn subject(&self) -> Subject<'_> {
        Subject {
            name: self.name,
            qtype: self.query.qtype,
            qclass: self.query.qclass,
        }
    }
}

impl<'a> Exchange<'a> {
    /// Looks for what else there is when there is no good answer: a failure that is remembered, an expired
    /// answer.
    #[cold]
    #[inline(never)]
    pub(crate) fn remains(&self, asked: &Asked<'_>, buf: &mut [u8]) -> Remains {
        let reply = match self.recall(asked, buf) {
            Some(Recalled::Told(len)) => Some(len),
            Some(Recalled::Unchecked) => self.bogus(asked, buf),
            Some(Recalled::Failed {
                rcode,
                ede_code,
                holds: true,
            }) => Some(self.stale(asked, buf).unwrap_or_else(|| {
                let ede = Ede {
                    code: ede_code,
                    text: "",
                };
                self.count(Counter::FailureHits);
                self.explain(rcode, ede, asked.query, buf)
            })),
            Some(Recalled::Late { holds: true }) => self.stale(asked, buf),
            // After a failure nobody waits for the next one: what has expired is told, and asked for anew.
            Some(_) => self.stale_for_now(asked, buf),
            None if self.context.policy.limits.tells_expired_at_once() => {
                self.stale_for_now(asked, buf)
            }
            None => {
                return Remains::Ask {
                    stale: self.has_stale(asked),
                };
            }
        };
        reply.map_or(Remains::Ask { stale: false }, Remains::Reply)
    }

    /// Writes the expired answer, if there is one and it may be told; its length. An answer that has come meanwhile is
    /// told as what it is.
    pub(crate) fn stale(&self, asked: &Asked<'_>, buf: &mut [u8]) -> Option<usize> {
        let limits = &self.context.policy.limits;
        let reply_ttl_secs = limits.expired_reply_ttl_secs()?;
        let len = self.with_expired(asked, |scratch, len, is_alive| {
            if is_alive {
                return None;
            }
            set_ttls(scratch.get_mut(..len)?, reply_ttl_secs);
            let stored = Stored::new(&scratch[..len])?;
            let code = if stored.rcode() == rcode::NXDOMAIN {
                STALE_NXDOMAIN
            } else {
                STALE_ANSWER
            };
            let ede = limits.explains_expired().then_some(Ede { code, text: "" });
            let told = match self.judge_expired(stored, asked) {
                None => Ok(self.write_explained(stored, ede, asked, buf)),
                Some(Judgement::Other(other)) => {
                    Ok(self.write_explained(Stored::new(&other)?, ede, asked, buf))
                }
                Some(judgement) => Err(judgement),
            };
            Some(told)
        })?;
        match len {
            Some(Err(judgement)) => self.tell_at_once(judgement, asked, buf),
            Some(Ok(len)) => {
                self.count(Counter::Expired);
                Some(len)
            }
            None => self.alive(asked, VIEW, buf),
        }
    }

    /// As [`Exchange::stale`], and the question is asked anew.
    fn stale_for_now(&self, asked: &Asked<'_>, buf: &mut [u8]) -> Option<usize> {
        let len = self.stale(asked, buf)?;
        if let Some(place) = self.place(asked) {
            self.refresh(asked.query, asked.name.as_bytes(), place);
        }
        Some(len)
    }

    /// Whether this question is known to fail.
    pub(crate) fn has_failed(&self, name: &Name, query: &Query) -> bool {
        let subject = Subject {
            name,
            qtype: query.qtype,
            qclass: query.qclass,
        };
        with_scratch(|scratch| {
            let cache = self.context.cache;
            let failure = cache.failure(&subject, self.context.now, scratch, |_, holds| holds);
            failure.unwrap_or(false)
        })
    }

    /// Whether there is an expired answer.
    pub(crate) fn has_stale(&self, asked: &Asked<'_>) -> bool {
        self.with_expired(asked, |_, _, _| ()).is_some()
    }

    fn place(&self, asked: &Asked<'_>) -> Option<Place> {
        let key = asked.subject().key(VIEW)?;
        Some(self.context.cache.place(&key))
    }

    /// Copies out the answer that has expired, but not too long ago; or one that is alive, which may have come since it
    /// was last looked for: that is the last that `use_it` gets.
    fn with_expired<R>(
        &self,
        asked: &Asked<'_>,
        use_it: impl FnOnce(&mut [u8], usize, bool) -> R,
    ) -> Option<R> {
        let now_secs = self.context.now.secs;
        let since = self.context.policy.limits.expired_since(self.context.now)?;
        let key = asked.subject().key(VIEW)?;
        let sought = Sought {
            key,
            place: self.context.cache.place(&key),
            variant: variant(asked.query),
        };
        with_scratch(|scratch| {
            // Seen from back then, it is still alive.
            let hit = self.context.cache.lookup(&sought, since, scratch)?;
            let is_alive = hit.left_secs > now_secs.saturating_sub(since);
            let len = hit.stored.len();
            Some(use_it(scratch, len, is_alive))
        })
    }

    fn recall(&self, asked: &Asked<'_>, buf: &mut [u8]) -> Option<Recalled> {
        let Self { context, .. } = self;
        with_scratch(|scratch| {
            let look = |failure: crate::failure::Failure<'_>, holds| match failure.kind {
                FailureKind::Failed => Some(Recalled::Failed {
                    rcode: failure.rcode,
                    ede_code: failure.ede.code,
                    holds,
                }),
                FailureKind::Late => Some(Recalled::Late { holds }),
                FailureKind::Bogus if !holds => None,
                FailureKind::Bogus if asked.query.cd => Some(Recalled::Unchecked),
                FailureKind::Bogus => {
                    self.count(Counter::FailureHits);
                    Some(Recalled::Told(self.explain(
                        failure.rcode,
                        failure.ede,
                        asked.query,
                        buf,
                    )))
                }
            };
            context
                .cache
                .failure(&asked.subject(), context.now, scratch, look)
                .flatten()
        })
    }

    /// Bogus data, for a client with CD.
    fn bogus(&self, asked: &Asked<'_>, buf: &mut [u8]) -> Option<usize> {
        self.alive(asked, BOGUS_VIEW, buf)
    }

    /// The answer that is stored under this view, if it has not expired.
    fn alive(&self, asked: &Asked<'_>, view: u16, buf: &mut [u8]) -> Option<usize> {
        let context = self.context;
        let key = asked.subject().key(view)?;
        let sought = Sought {
            key,
            place: context.cache.place(&key),
            variant: variant(asked.query),
        };
        let len = with_scratch(|scratch| {
            let hit = context.cache.lookup(&sought, context.now.secs, scratch)?;
            let found = Found {
                stored: Stored::new(hit.stored)?,
                age_secs: hit.age_secs,
            };
            let Some(responses) = self.responses(asked.query) else {
                return Some(Ok(self.write(found, asked.query, asked.alias, buf)));
            };
            Some(match self.judge(responses, found, asked, buf) {
                ControlFlow::Break(len) => Ok(len),
                ControlFlow::Continue(judgement) => Err(judgement),
            })
        })?;
        self.count(Counter::CacheHits);
        match len {
            Ok(len) => Some(len),
            Err(judgement) => self.tell_at_once(judgement, asked, buf),
        }
    }

    /// What is told of an answer that is told without a wait; `None`: nothing can be, until more is known.
    fn tell_at_once(
        &self,
        judgement: Judgement<'a>,
        asked: &Asked<'_>,
        buf: &mut [u8],
    ) -> Option<usize> {
        let responses = self.responses(asked.query)?;
        match self.tell(responses, judgement, asked, buf) {
            Decision::Reply(len) => Some(len),
            Decision::Drop(_) => Some(NO_REPLY),
            Decision::Resolve { .. } => None,
        }
    }

    /// What becomes of an expired answer; `None`: it is told.
    fn judge_expired(&self, stored: Stored<'_>, asked: &Asked<'_>) -> Option<Judgement<'a>> {
        let responses = self.responses(asked.query)?;
        let found = Found {
            stored,
            age_secs: 0,
        };
        let judgement = responses.judge(&case(found, asked), self.client());
        (!matches!(judgement, Judgement::Itself)).then_some(judgement)
    }

    /// Writes a stored answer that has not aged, with an extended error.
    fn write_explained(
        &self,
        stored: Stored<'_>,
        ede: Option<Ede<'_>>,
        asked: &Asked<'_>,
        buf: &mut [u8],
    ) -> usize {
        let options = RenderOptions {
            ede,
            ..self.render_options(asked.query, 0)
        };
        let Rendered { len, truncated } = match asked.alias {
            None => render(stored, asked.query, buf, &options),
            Some(alias) => alias.render(stored, asked.query, buf, &options),
        };
        if truncated {
            self.count(Counter::Truncated);
        } else if asked.alias.is_none() {
            self.rotate(stored, asked.query, buf);
        }
        len
    }
}
