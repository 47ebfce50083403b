use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use sluicegate_conf::{AccessAction, RateLimitConfig};

use super::clients::Clients;
use super::notices::{Exceeded, Notices};
use super::set::{Count, MAX_LIMIT};
use crate::{Context, Now, Prepared, Request};

/// How often a client may ask: `ip-ratelimit` and the options beside it.
///
/// As in Unbound, the queries of an address are counted by whole seconds, over UDP and TCP together, before local data
/// and cache are looked at; those of clients that access control turns away are not. What exceeds the limit gets no
/// reply, but for one in `ip-ratelimit-factor`, drawn at random. With `ip-ratelimit-backoff` the second after one that
/// exceeded the limit counts as exceeding it too.
///
/// All workers count in one table, so that a client has one limit however its packets are spread. A worker writes to the
/// client's own cache line, and not even to that while the client exceeds its limit.
#[derive(Debug)]
pub struct RateLimit {
    queries_per_sec: u32,
    /// One in so many is let through; 0: none.
    factor: u32,
    backoff: bool,
    size_bytes: u64,
    memory: Arc<Memory>,
}

/// What is kept over reloads.
#[derive(Debug)]
struct Memory {
    clients: Clients,
    notices: Notices,
}

impl RateLimit {
    /// `None`: there is no limit. One of more than four million is one of four million.
    #[must_use]
    pub fn new(config: RateLimitConfig) -> Option<Self> {
        let RateLimitConfig {
            queries_per_sec,
            size_bytes,
            factor,
            backoff,
        } = config;
        (queries_per_sec > 0).then(|| Self {
            queries_per_sec: queries_per_sec.min(MAX_LIMIT),
            factor,
            backoff,
            size_bytes,
            memory: Arc::new(Memory {
                clients: Clients::new(size_bytes),
                notices: Notices::new(),
            }),
        })
    }

    /// Goes on with what a former one has counted, if it has as much room.
    pub(crate) fn succeed(&mut self, former: &Self) {
        if former.size_bytes == self.size_bytes {
            self.memory = Arc::clone(&former.memory);
        }
    }

    /// `ip-ratelimit`: queries per second.
    pub fn queries_per_sec(&self) -> u32 {
        self.queries_per_sec
    }

    /// Takes the clients that have exceeded the limit since this was asked last; none while a worker writes one down.
    pub fn take_exceeded(&self) -> Exceeded {
        self.memory.notices.take()
    }

    /// Counts a query of this client; whether it may be answered.
    pub fn admits(&self, client: IpAddr, now: Now) -> bool {
        let client = client.to_canonical();
        let Memory { clients, notices } = &*self.memory;
        match clients.count(client, now.secs, self.queries_per_sec) {
            Count::Within { former_exceeded } if !(self.backoff && former_exceeded) => true,
            Count::Within { .. } | Count::Beyond => self.lets_through(clients.seed()),
            Count::Exceeds { former_exceeded } => {
                if !(self.backoff && former_exceeded) {
                    notices.add(client);
                }
                self.lets_through(clients.seed())
            }
        }
    }

    /// Draws one in `factor`. By chance, since whoever asks by turns for A and for AAAA would else get one of them only.
    fn lets_through(&self, seed: u64) -> bool {
        self.factor != 0 && draw(seed).is_multiple_of(self.factor.into())
    }
}

/// Counts the query of a client that may ask; whether there is a limit, and it exceeds it.
///
/// To be called once for each query, before anything else is decided. What gets no reply anyway is not counted; `None`:
/// it would get one.
#[expect(
    clippy::inline_always,
    reason = "a branch for each query where no limit is set"
)]
#[inline(always)]
pub(crate) fn exceeds(
    context: &Context<'_>,
    request: &Request,
    prepared: Option<&Prepared>,
) -> bool {
    match &context.policy.rate_limit {
        None => false,
        Some(limit) => exceeds_limit(limit, context, request, prepared),
    }
}

#[cold]
#[inline(never)]
fn exceeds_limit(
    limit: &RateLimit,
    context: &Context<'_>,
    request: &Request,
    prepared: Option<&Prepared>,
) -> bool {
    let ip = request.client.ip();
    let action = context.policy.acl.action(ip);
    // Who is refused does not get into the table either: it can't be flooded from addresses that may not ask.
    let may_ask = !matches!(action, AccessAction::Deny | AccessAction::Refuse);
    let gets_reply = request.client.port() != 0 && prepared.is_none_or(Prepared::wants_reply);
    may_ask && gets_reply && !limit.admits(ip, context.now)
}

/// A number that nobody can guess who doesn't know the seed (splitmix64 over a counter of the thread's own).
fn draw(seed: u64) -> u64 {
    let count = DRAWN.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
    DRAWN.set(count);
    let mut number = seed ^ count;
    number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

thread_local! {
    static DRAWN: Cell<u64> = const { Cell::new(0) };
}
