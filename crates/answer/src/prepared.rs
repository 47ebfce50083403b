//! Messages that are read ahead of their answers, a batch at a time.

use sluicegate_dns::{Brief, BriefName, Query, QueryError};

use crate::Context;
use crate::cache::Place;
use crate::local::LocalPlace;
use crate::pipeline::key;
use crate::plain::Plain;

/// A message that was looked at: its question, and where in the cache its answer would be.
#[derive(Clone, Copy, Debug)]
pub struct Prepared {
    /// If it is a plain query, the following say nothing but for the name.
    pub(crate) plain: Option<Plain>,
    pub(crate) name: BriefName,
    pub(crate) query: Query,
    /// Why it is none.
    pub(crate) error: Option<QueryError>,
    pub(crate) place: Option<Place>,
    /// Where in the local data; `None`: the name is not local.
    pub(crate) local: Option<LocalPlace>,
}

impl Prepared {
    /// None yet: what [`prepare`] fills.
    #[expect(
        clippy::inline_always,
        reason = "as a call, it is copied to where it is wanted"
    )]
    #[inline(always)]
    pub const fn empty() -> Self {
        Self {
            plain: None,
            name: BriefName::empty(),
            query: Query::empty(),
            error: None,
            place: None,
            local: None,
        }
    }

    #[inline]
    fn read(&mut self, context: &Context<'_>, msg: &[u8]) {
        self.plain = None;
        let Some(brief) = Brief::read(msg, &mut self.name) else {
            return self.read_at_length(context, msg);
        };
        self.plain = Plain::of(context, brief, &self.name);
        if self.plain.is_none() {
            self.error = None;
            self.query.take(brief, &self.name, msg);
            self.locate(context);
        }
    }

    /// One of a message in which the query's every part is read, plain or not.
    #[inline(never)]
    pub(crate) fn at_length(context: &Context<'_>, msg: &[u8]) -> Self {
        let mut prepared = Self::empty();
        prepared.read_at_length(context, msg);
        prepared
    }

    pub(crate) fn read_at_length(&mut self, context: &Context<'_>, msg: &[u8]) {
        self.error = self.query.read(msg).err();
        self.locate(context);
    }

    /// Says where the answer to the query is to be found.
    #[inline]
    pub(crate) fn locate(&mut self, context: &Context<'_>) {
        (self.place, self.local) = (None, None);
        if self.error.is_some() {
            return;
        }
        self.local = context.policy.local.place(&self.query);
        // What is local is seldom looked for in the cache.
        if self.local.is_none()
            && let Some(key) = key(&self.query.name, &self.query)
        {
            self.place = Some(context.cache.place(&key));
        }
    }

    /// Whether it is a query that asks how long its connection may stay open (RFC 7828).
    pub fn asks_keepalive(&self) -> bool {
        let query = self.query().ok().filter(|_| self.plain.is_none());
        query.is_some_and(|query| query.edns.is_some_and(|edns| edns.keepalive))
    }

    /// Whether it is anything that is answered at all.
    pub(crate) fn wants_reply(&self) -> bool {
        self.plain.is_some()
            || !matches!(self.error, Some(QueryError::Short | QueryError::Response))
    }

    /// Where its answer would be, in the local data or in the cache.
    #[inline]
    fn places(&self) -> (Option<LocalPlace>, Option<Place>) {
        match self.plain {
            Some(plain) => (None, Some(plain.place)),
            None => (self.local, self.place),
        }
    }

    #[inline]
    pub(crate) fn query(&self) -> Result<&Query, &QueryError> {
        match &self.error {
            None => Ok(&self.query),
            Some(error) => Err(error),
        }
    }
}

/// How many messages ahead of the one that is answered [`fetch`] is to be called: memory takes about as long as they do.
pub const FETCH_AHEAD: usize = 8;

/// Reads a message into `prepared`, whatever that held. All messages of a batch are prepared, then their places are
/// [gathered](gather), before the first is answered, from what it was prepared for.
#[inline]
pub fn prepare(prepared: &mut Prepared, context: &Context<'_>, msg: &[u8]) {
    prepared.read(context, msg);
}

/// Fetches from memory what says where the answers to a batch of prepared messages stand.
///
/// By loads, which overlap: nothing else is done between them. To ask by prefetch instructions while the messages are
/// read would be better still, were not many of them dropped when the page's address is not at hand.
#[inline]
pub fn gather<'p>(batch: impl Iterator<Item = &'p Prepared>, context: &Context<'_>) {
    let heads = batch.map(|prepared| match prepared.places() {
        (Some(place), _) => context.policy.local.touch(place),
        (None, Some(place)) => context.cache.touch(place),
        (None, None) => 0,
    });
    std::hint::black_box(heads.fold(0, |all, head| all ^ head));
}

/// Asks memory for the answer to a message that was prepared and gathered, which is answered soon; see [`FETCH_AHEAD`].
///
/// By prefetch instructions: a load that waits for memory lets the processor look only some hundred instructions ahead,
/// less than it takes to answer one message.
#[inline]
pub fn fetch(prepared: &Prepared, context: &Context<'_>) {
    match prepared.places() {
        (Some(place), _) => context.policy.local.touch_entry(place),
        (None, Some(place)) => context.cache.touch_entry(place),
        (None, None) => {}
    }
}
