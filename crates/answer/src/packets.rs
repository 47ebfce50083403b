use std::hash::{BuildHasher, RandomState};

use sluicegate_conf::AccessAction;
use sluicegate_dns::{HEADER_BYTES, Stored};
use sluicegate_telemetry::Counter;

use crate::cache::Place;
use crate::{Context, Now, Prepared, Request, Transport};

/// A UDP worker's own memory of whole replies, by the octets of their queries: a packet cache.
///
/// Most of what a resolver is asked, it is asked again, in the very same octets but for the ID. Then the reply is the
/// same too, but for the ID and the age of its TTLs, and neither the query need be read nor the reply be made.
///
/// It holds replies from the [`Cache`](crate::Cache) only, to clients that may ask for anything, and each only as
/// long as nothing has changed on which it depends: the policy, the set of the cache that the answer stands in, and
/// the time up to which the answer needs no refreshing. So nothing is ever told that
/// [`answer`](crate::answer) would not tell.
///
/// A reply is learnt when its query comes for the second time with no other between them in the same slot, so that
/// queries that come once push nothing out. Each slot holds one; a new one takes the place of the old.
pub struct Packets {
    slots: Box<[Slot]>,
    keys: [u64; 2],
}

/// What a look at a query found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sighting {
    /// Its reply is known; [`answer_known`](crate::answer_known) tells it to those who may have it.
    Known(Ticket),
    /// It was here before; [`answer_and_learn`](crate::answer_and_learn) learns its reply.
    Repeated(Ticket),
    /// Nothing is known of it.
    New,
}

/// Where a reply stands, or may be learnt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    slot: usize,
    hash: u64,
    version: u32,
}

/// A query whose reply can be learnt.
pub struct Repeated<'a> {
    /// The query, prepared.
    pub prepared: &'a Prepared,
    /// By whom,
    pub packets: &'a mut Packets,
    /// and where.
    pub ticket: Ticket,
}

/// What was learnt, and up to when and on what conditions it holds.
struct Slot {
    /// The query's hash; 0: nothing is learnt.
    hash: u64,
    /// The hash of the last query that found nothing here.
    seen: u64,
    /// How often room was made for a reply.
    version: u32,
    sequence: u64,
    place: Place,
    policy: u64,
    path_limit_bytes: usize,
    /// The second of learning, and the first in which it holds no longer.
    at: u32,
    until: u32,
    query_len: u16,
    reply_len: u16,
    ttl_count: u8,
    /// Where TTLs stand in the reply.
    ttls: [u16; MAX_TTLS],
    /// Both without the ID.
    query: [u8; MAX_QUERY_BYTES],
    reply: [u8; MAX_REPLY_BYTES],
}

/// What an answer from the cache depends on.
#[derive(Clone, Copy)]
pub(crate) struct Grounds<'a> {
    pub(crate) stored: Stored<'a>,
    pub(crate) now: Now,
    /// The policy's generation.
    pub(crate) policy: u64,
    pub(crate) path_limit_bytes: usize,
    pub(crate) place: Place,
    /// The set's sequence before it was read; see [`Cache::sequence`](crate::Cache::sequence).
    pub(crate) sequence: u64,
    /// For how many seconds the answer neither expires nor is due.
    pub(crate) quiet_secs: u32,
    /// Whether records may stand in another order in the next reply.
    pub(crate) rotates: bool,
    /// Where its body begins in the reply, and how much follows it there.
    pub(crate) body_at: usize,
    pub(crate) opt_bytes: usize,
}

impl Packets {
    /// What one takes, in bytes.
    pub const BYTES: u64 = (SLOTS * size_of::<Slot>()) as u64;

    /// An empty one of [`Packets::BYTES`].
    pub fn new() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Slot::EMPTY).collect(),
            // Who doesn't know them can't choose queries that take each other's slots.
            keys: [0, 1].map(|number| RandomState::new().hash_one(number)),
        }
    }

    /// Looks whether the reply to this query is known and still good. Counts nothing.
    #[expect(clippy::inline_always, reason = "called once for each query")]
    #[inline(always)]
    pub fn look(&mut self, context: &Context<'_>, query: &[u8]) -> Sighting {
        let Some(query) = query.get(ID_BYTES..).filter(|query| is_fit(query)) else {
            return Sighting::New;
        };
        let hash = hash(query, self.keys);
        let number = (hash >> 32) as usize % SLOTS;
        let Some(slot) = self.slots.get_mut(number) else {
            return Sighting::New;
        };
        if slot.hash == hash && slot.is_of(query) && slot.holds(context) {
            return Sighting::Known(slot.ticket(number, hash));
        }
        slot.miss(number, hash, query)
    }

    /// Writes the reply over its query and counts a cache hit, unless the slot has got another one meanwhile, or the
    /// client may not have it, or wants it in another form.
    #[expect(clippy::inline_always, reason = "called once for each query")]
    #[inline(always)]
    pub(crate) fn reply(
        &self,
        ticket: Ticket,
        context: &Context<'_>,
        request: &Request,
        buf: &mut [u8],
    ) -> Option<usize> {
        let slot = self.slots.get(ticket.slot)?;
        if slot.hash != ticket.hash
            || slot.version != ticket.version
            || !slot.is_for(context, request)
        {
            return None;
        }
        slot.write(context.now, buf)
            .inspect(|_| context.counters.count(Counter::CacheHits))
    }

    /// Keeps the reply that stands in `reply`, if the slot is still the ticket's.
    pub(crate) fn learn(&mut self, ticket: Ticket, reply: &[u8], grounds: &Grounds<'_>) {
        if let Some(slot) = self.slots.get_mut(ticket.slot)
            && slot.version == ticket.version
            && slot.hash == 0
            && slot.keep(reply, grounds).is_some()
        {
            slot.hash = ticket.hash;
        }
    }
}

impl Default for Packets {
    fn default() -> Self {
        Self::new()
    }
}

impl Slot {
    const EMPTY: Self = Self {
        hash: 0,
        seen: 0,
        version: 0,
        sequence: 0,
        place: Place::NOWHERE,
        policy: 0,
        path_limit_bytes: 0,
        at: 0,
        until: 0,
        query_len: 0,
        reply_len: 0,
        ttl_count: 0,
        ttls: [0; MAX_TTLS],
        query: [0; MAX_QUERY_BYTES],
        reply: [0; MAX_REPLY_BYTES],
    };

    #[inline]
    fn is_of(&self, query: &[u8]) -> bool {
        self.query.get(..usize::from(self.query_len)) == Some(query)
    }

    /// Whether all that the reply depends on is as it was.
    #[inline]
    fn holds(&self, context: &Context<'_>) -> bool {
        context.now.secs < self.until
            && self.policy == context.policy.generation
            && context.cache.sequence(self.place) == Some(self.sequence)
    }

    /// Whether it is what this client is to get.
    #[inline]
    fn is_for(&self, context: &Context<'_>, request: &Request) -> bool {
        self.path_limit_bytes == request.path_limit_bytes
            && request.transport == Transport::Udp
            && request.client.port() != 0
            && context.policy.acl.action(request.client.ip()) == AccessAction::Allow
    }

    #[inline]
    fn write(&self, now: Now, buf: &mut [u8]) -> Option<usize> {
        let len = usize::from(self.reply_len);
        let behind_id = buf.get_mut(ID_BYTES..)?;
        match behind_id.first_chunk_mut::<SHORT_BYTES>() {
            // A few instructions, where a call for a copy of any length takes thirty; what stands behind the reply
            // is nobody's.
            Some(to) if len <= SHORT_BYTES => *to = *self.reply.first_chunk()?,
            _ => self.copy_long(behind_id.get_mut(..len)?)?,
        }
        let age_secs = now.secs.saturating_sub(self.at);
        if age_secs > 0 {
            self.age_ttls(behind_id, age_secs);
        }
        Some(ID_BYTES + len)
    }

    /// Apart, since of two copies in one function the compiler makes one call.
    #[inline(never)]
    fn copy_long(&self, to: &mut [u8]) -> Option<()> {
        to.copy_from_slice(self.reply.get(..to.len())?);
        Some(())
    }

    #[inline]
    fn age_ttls(&self, reply: &mut [u8], age_secs: u32) {
        for at in &self.ttls[..usize::from(self.ttl_count)] {
            let ttl = reply.get_mut(usize::from(*at)..);
            if let Some(ttl) = ttl.and_then(<[u8]>::first_chunk_mut::<4>) {
                let left = u32::from_be_bytes(*ttl).saturating_sub(age_secs);
                *ttl = left.to_be_bytes();
            }
        }
    }

    /// Remembers a query that found nothing; when it is the second time, makes room for its reply.
    fn miss(&mut self, number: usize, hash: u64, query: &[u8]) -> Sighting {
        if self.seen != hash {
            self.seen = hash;
            return Sighting::New;
        }
        self.hash = 0;
        self.version = self.version.wrapping_add(1);
        self.query[..query.len()].copy_from_slice(query);
        self.query_len = query.len() as u16;
        Sighting::Repeated(self.ticket(number, hash))
    }

    #[inline]
    fn ticket(&self, slot: usize, hash: u64) -> Ticket {
        Ticket {
            slot,
            hash,
            version: self.version,
        }
    }

    /// `None`: it is not to be kept.
    fn keep(&mut self, reply: &[u8], grounds: &Grounds<'_>) -> Option<()> {
        let fixed = !grounds.rotates || grounds.stored.counts()[0] <= 1;
        // Neither cut nor without its additional section.
        let whole =
            grounds.body_at + grounds.stored.body().len() + grounds.opt_bytes == reply.len();
        let reply = reply.get(ID_BYTES..).filter(|_| whole && fixed)?;
        self.reply.get_mut(..reply.len())?.copy_from_slice(reply);
        self.ttl_count = 0;
        for offset in grounds.stored.ttl_offsets() {
            let at = grounds.body_at + offset - ID_BYTES;
            *self.ttls.get_mut(usize::from(self.ttl_count))? = u16::try_from(at).ok()?;
            self.ttl_count += 1;
        }
        self.reply_len = reply.len() as u16;
        self.sequence = grounds.sequence;
        self.place = grounds.place;
        self.policy = grounds.policy;
        self.path_limit_bytes = grounds.path_limit_bytes;
        self.at = grounds.now.secs;
        self.until = self.at.saturating_add(grounds.quiet_secs);
        Some(())
    }
}

/// Whether a query, without its ID, may be kept: as long as one with a question, and as short as most.
#[inline]
fn is_fit(query: &[u8]) -> bool {
    (MIN_QUERY_BYTES..=MAX_QUERY_BYTES).contains(&query.len())
}

/// A hash of at least sixteen octets, never 0. What matters is compared in full.
#[expect(
    clippy::inline_always,
    reason = "a few instructions for each pair of words"
)]
#[inline(always)]
fn hash(octets: &[u8], [seed, key]: [u64; 2]) -> u64 {
    let mut hash = seed ^ octets.len() as u64;
    for pair in octets.as_chunks().0 {
        hash = mix(hash, key, pair);
    }
    octets
        .last_chunk()
        .map_or(hash, |last| mix(hash, key, last))
        | 1
}

/// Multiplies two words into 128 bits and folds those, as wyhash does.
#[inline]
fn mix(hash: u64, key: u64, pair: &[u8; 16]) -> u64 {
    let words = u128::from_le_bytes(*pair);
    let (one, other) = (words as u64, (words >> 64) as u64);
    let product = u128::from(one ^ key) * u128::from(other ^ hash);
    product as u64 ^ (product >> 64) as u64
}

/// Header, a name of one letter, type and class, without the ID.
const MIN_QUERY_BYTES: usize = HEADER_BYTES + 7 - ID_BYTES;
const SLOTS: usize = 1024;
const ID_BYTES: usize = 2;
/// Header, a name of ordinary length, type, class, a plain OPT record.
const MAX_QUERY_BYTES: usize = 96;
/// Most replies with one address are no longer.
const SHORT_BYTES: usize = 64;
/// With these the slot takes 512 octets and some.
const MAX_REPLY_BYTES: usize = 384;
const MAX_TTLS: usize = 8;
