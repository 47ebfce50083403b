//! The way of a query: access control, types and CHAOS, local data, cache, verdict; as in Unbound.

use std::cell::RefCell;
use std::ops::ControlFlow;

use sluicegate_dns::{Brief, BriefName, HEADER_BYTES, Name, Query, Stored, rcode};
use sluicegate_telemetry::{Counter, Counters, DropReason};

use crate::alias::Alias;
use crate::cache::{Cache, Hit, Key, Place, Sought, Variant};
use crate::exchange::{Decision, Exchange, Found, has_room};
use crate::failure::Unresolved;
use crate::packets::{Grounds, Packets, Repeated, Ticket};
use crate::plain::Plain;
use crate::ratelimit::exceeds;
use crate::resolution::Told;
use crate::response::{NO_REPLY, Responses};
use crate::stale::{Asked, Remains};
use crate::{Now, Policy, Prepared, Question, Refresh, Request, Resolution, Verdict};

/// What a batch of queries is answered from.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The policy of the moment.
    pub policy: &'a Policy,
    /// What is remembered.
    pub cache: &'a Cache,
    /// The time.
    pub now: Now,
    /// The worker's own counters.
    pub counters: &'a Counters,
    /// Who asks anew what is soon to expire.
    pub refresh: &'a dyn Refresh,
}

/// Decides what becomes of the message in `buf[..query_len]`, and writes the reply, if it is known, over it.
///
/// Allocates nothing and takes no lock. Counts cache hits and misses, local answers, refusals, query errors
/// and truncated replies; what happens to the verdict is the worker's to count.
#[inline]
pub fn answer(
    context: &Context<'_>,
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
) -> Verdict {
    let query_len = query_len.min(buf.len());
    if !Plain::serves(context, request) {
        return answer_at_length(context, request, buf, query_len, None);
    }
    let mut name = BriefName::empty();
    let Some(brief) = Brief::read(&buf[..query_len], &mut name) else {
        return answer_at_length(context, request, buf, query_len, None);
    };
    let Some(plain) = Plain::of(context, brief, &name) else {
        return answer_at_length(context, request, buf, query_len, Some((brief, &name)));
    };
    if exceeds(context, request, None) {
        return Verdict::Drop(DropReason::IpRatelimit);
    }
    match plain.reply(context, request, &name, buf) {
        Some(len) => Verdict::Reply(len),
        None => answer_anew(context, request, buf, query_len),
    }
}

/// As [`answer`], by every rule in its turn; what was read of the query need not be read again.
#[inline(never)]
fn answer_at_length(
    context: &Context<'_>,
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
    read: Option<(Brief, &BriefName)>,
) -> Verdict {
    let msg = &buf[..query_len];
    let mut prepared = Prepared::empty();
    if let Some((brief, name)) = read {
        prepared.query.take(brief, name, msg);
        prepared.locate(context);
    } else {
        prepared.read_at_length(context, msg);
    }
    if exceeds(context, request, Some(&prepared)) {
        return Verdict::Drop(DropReason::IpRatelimit);
    }
    answer_counted(context, &prepared, request, buf, query_len)
}

/// As [`answer`], for a message that was prepared and has not changed since.
pub fn answer_prepared(
    context: &Context<'_>,
    prepared: &Prepared,
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
) -> Verdict {
    if exceeds(context, request, Some(prepared)) {
        return Verdict::Drop(DropReason::IpRatelimit);
    }
    let Some(plain) = prepared.plain else {
        return answer_counted(context, prepared, request, buf, query_len);
    };
    if !Plain::serves(context, request) {
        return answer_anew(context, request, buf, query_len);
    }
    match plain.reply(context, request, &prepared.name, buf) {
        Some(len) => Verdict::Reply(len),
        None => answer_anew(context, request, buf, query_len),
    }
}

/// As [`answer_prepared`], of a query that was counted before and whose reply is neither known nor learnt.
#[inline(never)]
fn answer_counted(
    context: &Context<'_>,
    prepared: &Prepared,
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
) -> Verdict {
    match decide(context, prepared, request, buf, query_len) {
        Decision::Reply(len) => Verdict::Reply(len),
        Decision::Drop(reason) => Verdict::Drop(reason),
        Decision::Resolve { alias, stale } => miss(prepared, alias, stale),
    }
}

/// What is to be asked of the engine.
#[inline(never)]
fn miss(prepared: &Prepared, alias: Option<Alias<'_>>, stale: bool) -> Verdict {
    // What is asked is in the prepared message, which was good to come here.
    let Ok(query) = prepared.query() else {
        return Verdict::Drop(DropReason::Malformed);
    };
    let name = alias
        .and_then(|alias| alias.target(&query.name))
        .unwrap_or(query.name);
    Verdict::Miss(Question {
        name,
        qtype: query.qtype,
        qclass: query.qclass,
        dnssec_ok: variant(query).dnssec_ok,
        cd: query.cd,
        stale,
    })
}

/// As [`answer`], of a query whose reply was [known](Packets) when it was looked at.
#[inline]
pub fn answer_known(
    context: &Context<'_>,
    (packets, ticket): (&Packets, Ticket),
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
) -> Verdict {
    if exceeds(context, request, None) {
        return Verdict::Drop(DropReason::IpRatelimit);
    }
    match packets.reply(ticket, context, request, buf) {
        Some(len) => Verdict::Reply(len),
        None => answer_anew(context, request, buf, query_len),
    }
}

/// As [`answer`], of a query that was counted.
#[inline(never)]
fn answer_anew(
    context: &Context<'_>,
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
) -> Verdict {
    let query_len = query_len.min(buf.len());
    let prepared = Prepared::at_length(context, &buf[..query_len]);
    answer_counted(context, &prepared, request, buf, query_len)
}

/// As [`answer_prepared`], of a query that was seen before: its reply is [learnt](Packets) if it can be.
#[inline(never)]
pub fn answer_and_learn(
    context: &Context<'_>,
    repeated: Repeated<'_>,
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
) -> Verdict {
    if exceeds(context, request, Some(repeated.prepared)) {
        return Verdict::Drop(DropReason::IpRatelimit);
    }
    let at_length;
    let prepared = if repeated.prepared.plain.is_some() {
        let query_len = query_len.min(buf.len());
        at_length = Prepared::at_length(context, &buf[..query_len]);
        &at_length
    } else {
        repeated.prepared
    };
    let exchange = Exchange::new(context, request);
    let repeated = Repeated {
        prepared,
        ..repeated
    };
    match plain_hit_learnt(&exchange, repeated, request, buf) {
        Some(len) => Verdict::Reply(len),
        None => answer_counted(context, prepared, request, buf, query_len),
    }
}

/// As [`plain_hit`], for [`answer_and_learn`].
fn plain_hit_learnt(
    exchange: &Exchange<'_>,
    repeated: Repeated<'_>,
    request: &Request,
    buf: &mut [u8],
) -> Option<usize> {
    let Context {
        cache, policy, now, ..
    } = exchange.context;
    let Repeated {
        prepared,
        packets,
        ticket,
    } = repeated;
    let place = prepared.place?;
    let sequence = cache.sequence_at_rest(place)?;
    plain_hit_and(exchange, prepared, buf, |found, left_secs, reply| {
        // Else it may have been found in another set.
        if cache.sequence_at_rest(place) != Some(sequence) {
            return;
        }
        let query = &prepared.query;
        let grounds = Grounds {
            stored: found.stored,
            now: *now,
            policy: policy.generation,
            path_limit_bytes: request.path_limit_bytes,
            place,
            sequence,
            quiet_secs: policy.limits.quiet_secs(found.age_secs, left_secs),
            rotates: policy.limits.rotates,
            body_at: HEADER_BYTES + query.question_len,
            opt_bytes: query.edns.map_or(0, |_| OPT_BYTES),
        };
        packets.learn(ticket, reply, &grounds);
    })
}

/// A [`Verdict`] without the question of a miss: small enough to be handed around.
fn decide<'a>(
    context: &'a Context<'a>,
    prepared: &Prepared,
    request: &'a Request,
    buf: &mut [u8],
    query_len: usize,
) -> Decision<'a> {
    let exchange = Exchange::new(context, request);
    if let Some(len) = plain_hit(&exchange, prepared, buf) {
        return Decision::Reply(len);
    }
    decide_at_length(&exchange, prepared, buf, query_len)
}

/// The answer to what nearly every query is: one for data, of a client that may ask for it, under a name that is not
/// local, and to be found in the cache.
///
/// `None` says nothing, and nothing was written or counted: [`decide_at_length`] knows all the rules, and has the
/// same answer. It is made of the tests that let such a query through, and of nothing else, so that they and their
/// results stay in registers.
#[inline]
fn plain_hit(exchange: &Exchange<'_>, prepared: &Prepared, buf: &mut [u8]) -> Option<usize> {
    plain_hit_and(exchange, prepared, buf, |_, _, _| ())
}

/// As [`plain_hit`]; what was found, for how many seconds more it lives, and the reply, are shown to `watch`.
#[inline]
fn plain_hit_and(
    exchange: &Exchange<'_>,
    prepared: &Prepared,
    buf: &mut [u8],
    watch: impl FnOnce(Found<'_>, u32, &[u8]),
) -> Option<usize> {
    let query = &prepared.query;
    let plain =
        prepared.error.is_none() && query.rd && exchange.is_plain(query, prepared.local, buf);
    let place = prepared.place.filter(|_| plain)?;
    let key = key(&query.name, query)?;
    look_up(exchange, key, place, query, |found, left_secs| {
        let len = exchange.write(found, query, None, buf);
        watch(found, left_secs, &buf[..len]);
        len
    })
}

/// As [`decide`], by every rule in its turn.
#[inline(never)]
fn decide_at_length<'a>(
    exchange: &Exchange<'a>,
    prepared: &Prepared,
    buf: &mut [u8],
    query_len: usize,
) -> Decision<'a> {
    let query = match exchange.admit(prepared.query(), buf, query_len) {
        ControlFlow::Continue(query) => query,
        ControlFlow::Break(decision) => return decision,
    };
    let alias = match exchange.local(query, prepared.local, buf) {
        ControlFlow::Continue(alias) => alias,
        ControlFlow::Break(decision) => return decision,
    };
    let recursive;
    let query = if exchange.sets_recursion(query) {
        recursive = Query { rd: true, ..*query };
        &recursive
    } else {
        query
    };
    if let Some(decision) = exchange.refuse_recursion(query, buf) {
        return decision;
    }
    if let Some(responses) = exchange.responses(query) {
        return decide_judged(exchange, responses, query, alias, buf);
    }
    if let Some(len) = from_cache(exchange, prepared.place, query, alias.as_ref(), buf) {
        return Decision::Reply(len);
    }
    decide_without_answer(exchange, query, alias, buf)
}

/// As [`decide`], where answers are looked at.
#[cold]
#[inline(never)]
fn decide_judged<'a>(
    exchange: &Exchange<'a>,
    responses: &'a Responses,
    query: &Query,
    alias: Option<Alias<'a>>,
    buf: &mut [u8],
) -> Decision<'a> {
    let target = alias.as_ref().and_then(|alias| alias.target(&query.name));
    let asked = Asked {
        query,
        name: target.as_ref().unwrap_or(&query.name),
        alias: alias.as_ref(),
    };
    match exchange.tell_from_cache(responses, &asked, buf) {
        Some(decision) => decision,
        None => decide_without_answer(exchange, query, alias, buf),
    }
}

/// As [`decide`], for what the cache has no good answer to.
#[cold]
#[inline(never)]
fn decide_without_answer<'a>(
    exchange: &Exchange<'a>,
    query: &Query,
    alias: Option<Alias<'a>>,
    buf: &mut [u8],
) -> Decision<'a> {
    let target = alias.as_ref().and_then(|alias| alias.target(&query.name));
    let asked = Asked {
        query,
        name: target.as_ref().unwrap_or(&query.name),
        alias: alias.as_ref(),
    };
    match exchange.remains(&asked, buf) {
        Remains::Reply(NO_REPLY) => Decision::Drop(DropReason::LocalDeny),
        Remains::Reply(len) => Decision::Reply(len),
        // The client may look into the cache, not have it filled.
        Remains::Ask { .. } if !query.rd => exchange.refuse(query, buf),
        Remains::Ask { stale } => {
            exchange.context.counters.count(Counter::CacheMisses);
            Decision::Resolve { alias, stale }
        }
    }
}

/// What must be found before a client can be told this answer that it has waited for, if anything must: rules may
/// lead from the addresses in it to another name. The client then waits on.
#[inline]
pub fn further(
    context: &Context<'_>,
    resolution: &Resolution,
    request: &Request,
    query: &[u8],
) -> Option<Question> {
    context.policy.responses.as_ref()?;
    let exchange = Exchange::new(context, request);
    let mut query = Query::parse(query).ok()?;
    query.rd |= exchange.sets_recursion(&query);
    let alias = exchange.alias(&query);
    let name = match &alias {
        Some(alias) => alias.target(&query.name)?,
        None => query.name,
    };
    exchange.further(
        resolution,
        &Asked {
            query: &query,
            name: &name,
            alias: alias.as_ref(),
        },
    )
}

/// Writes the reply to a client that has waited for this answer over its query in `buf[..query_len]`; its
/// length, 0 if it gets none. The bytes are those of a later hit.
pub fn finish(
    context: &Context<'_>,
    resolution: &Resolution,
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
) -> usize {
    let exchange = Exchange::new(context, request);
    let query = match waiting_query(&exchange, buf, query_len) {
        Ok(query) => query,
        Err(len) => return len,
    };
    let alias = exchange.alias(&query);
    let target = match &alias {
        Some(alias) => alias.target(&query.name),
        None => Some(query.name),
    };
    if let (Some(responses), Some(name)) = (exchange.responses(&query), &target) {
        let asked = Asked {
            query: &query,
            name,
            alias: alias.as_ref(),
        };
        return exchange.finish_judged(responses, resolution, &asked, buf);
    }
    let Some(name) = target.filter(|name| *name == resolution.question().name) else {
        // The local zones have changed under the waiting client.
        return exchange.fail(&query, buf);
    };
    let asked = Asked {
        query: &query,
        name: &name,
        alias: alias.as_ref(),
    };
    match resolution.told(variant(&query)) {
        Told::Answer(stored) => exchange.write(
            Found {
                stored,
                age_secs: 0,
            },
            &query,
            alias.as_ref(),
            buf,
        ),
        Told::Bogus(failure) => exchange.explain(failure.rcode, failure.ede, &query, buf),
        Told::Failed(failure) => exchange
            .stale(&asked, buf)
            .unwrap_or_else(|| exchange.explain(failure.rcode, failure.ede, &query, buf)),
    }
}

/// What a client gets that has waited in vain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The reply's length; 0: the client gets none.
    pub len: usize,
    /// Whether it is an answer, an expired one unless a fresh one has come meanwhile; else it is SERVFAIL.
    pub stale: bool,
}

/// Writes what there is when nothing was found, or not in time, over the query in `buf[..query_len]`: an expired
/// answer if there is one and it may be told, else SERVFAIL.
pub fn fail(
    context: &Context<'_>,
    request: &Request,
    buf: &mut [u8],
    query_len: usize,
    why: Unresolved,
) -> Fallback {
    let exchange = Exchange::new(context, request);
    let query = match waiting_query(&exchange, buf, query_len) {
        Ok(query) => query,
        Err(len) => return Fallback { len, stale: false },
    };
    let alias = exchange.alias(&query);
    let target = alias.as_ref().and_then(|alias| alias.target(&query.name));
    let asked = Asked {
        query: &query,
        name: target.as_ref().unwrap_or(&query.name),
        alias: alias.as_ref(),
    };
    match exchange.stale(&asked, buf) {
        Some(len) => Fallback { len, stale: true },
        None => Fallback {
            len: exchange.explain(rcode::SERVFAIL, why.ede(), &query, buf),
            stale: false,
        },
    }
}

/// Whether there is an expired answer to tell a client that has waited too long for a fresh one.
pub fn has_expired(context: &Context<'_>, request: &Request, query: &[u8]) -> bool {
    let exchange = Exchange::new(context, request);
    let Ok(query) = Query::parse(query) else {
        return false;
    };
    let alias = exchange.alias(&query);
    let target = alias.as_ref().and_then(|alias| alias.target(&query.name));
    exchange.has_stale(&Asked {
        query: &query,
        name: target.as_ref().unwrap_or(&query.name),
        alias: alias.as_ref(),
    })
}

/// The query of a client that has waited, as it was when it came; or the length of an error reply, should
/// the buffer not hold it any more.
fn waiting_query(
    exchange: &Exchange<'_>,
    buf: &mut [u8],
    query_len: usize,
) -> Result<Query, usize> {
    let query_len = query_len.min(buf.len());
    match Query::parse(&buf[..query_len]) {
        Ok(mut query) if has_room(&query, buf) => {
            query.rd |= exchange.sets_recursion(&query);
            Ok(query)
        }
        Ok(_) => Err(0),
        Err(error) => Err(exchange.write_error(&error, buf).unwrap_or(0)),
    }
}

/// The reply from the cache, if it is there. `place` is that of the query's own name.
#[inline]
fn from_cache(
    exchange: &Exchange<'_>,
    place: Option<Place>,
    query: &Query,
    alias: Option<&Alias<'_>>,
    buf: &mut [u8],
) -> Option<usize> {
    if let Some(alias) = alias {
        return from_cache_behind(exchange, query, alias, buf);
    }
    let key = key(&query.name, query)?;
    let place = place.unwrap_or_else(|| exchange.context.cache.place(&key));
    look_up(exchange, key, place, query, |found, _| {
        exchange.write(found, query, None, buf)
    })
}

/// As [`from_cache`], for what a local CNAME leads to.
#[inline(never)]
fn from_cache_behind(
    exchange: &Exchange<'_>,
    query: &Query,
    alias: &Alias<'_>,
    buf: &mut [u8],
) -> Option<usize> {
    let target = alias.target(&query.name)?;
    let key = key(&target, query)?;
    let place = exchange.context.cache.place(&key);
    look_up(exchange, key, place, query, |found, _| {
        exchange.write(found, query, Some(alias), buf)
    })
}

#[inline]
fn look_up(
    exchange: &Exchange<'_>,
    key: Key<'_>,
    place: Place,
    query: &Query,
    write: impl FnOnce(Found<'_>, u32) -> usize,
) -> Option<usize> {
    let Context {
        cache, now, policy, ..
    } = exchange.context;
    with_scratch(|scratch| {
        let sought = Sought {
            key,
            place,
            variant: variant(query),
        };
        let Hit {
            stored,
            age_secs,
            left_secs,
        } = cache.lookup(&sought, now.secs, scratch)?;
        let stored = Stored::new(stored)?;
        exchange.context.counters.count(Counter::CacheHits);
        let len = write(Found { stored, age_secs }, left_secs);
        if policy.limits.is_due(age_secs, left_secs) {
            exchange.refresh(query, key.name(), place);
        }
        Some(len)
    })
}

/// Lends out the thread's scratch space; not to be called within itself.
#[inline]
pub(crate) fn with_scratch<R>(use_it: impl FnOnce(&mut [u8]) -> R) -> R {
    SCRATCH.with_borrow_mut(|scratch| use_it(scratch))
}

/// What the answer to a query is stored under, when it is asked for this name.
#[inline]
pub(crate) fn key<'a>(name: &'a Name, query: &Query) -> Option<Key<'a>> {
    Key::new(name.as_bytes(), query.qtype, query.qclass, VIEW)
}

#[inline]
pub(crate) fn variant(query: &Query) -> Variant {
    Variant {
        dnssec_ok: query.dnssec_ok(),
        checking_disabled: query.cd,
    }
}

thread_local! {
    /// Where an answer is copied to from the cache, before it is known to be whole. In the thread's own
    /// zeroed memory, so that it costs nothing to have and no allocation to use.
    static SCRATCH: RefCell<[u8; Cache::SCRATCH_BYTES]> = const { RefCell::new([0; Cache::SCRATCH_BYTES]) };
}

/// An OPT record without options (RFC 6891, 6.1.2).
const OPT_BYTES: usize = 11;

/// The view that every client is in, until there are views.
pub(crate) const VIEW: u16 = 0;
