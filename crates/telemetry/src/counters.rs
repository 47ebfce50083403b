use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! counters {
    ($($(#[$doc:meta])* $variant:ident => $label:literal,)*) => {
        /// What a worker counts. The label is the name printed by `stats` and used in metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(usize)]
        pub enum Counter { $($(#[$doc])* $variant,)* }

        impl Counter {
            /// Every counter, in the order in which `stats` prints them.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name printed by `stats`.
            pub const fn label(self) -> &'static str {
                match self { $(Self::$variant => $label,)* }
            }
        }
    };
}

counters! {
    /// Packets or messages taken from the ring, socket or stream.
    Received => "received",
    /// Replies handed to the ring, socket or stream.
    Replied => "replied",
    /// Replies made from the answer cache.
    CacheHits => "cache.hits",
    /// Questions that the cache could not answer.
    CacheMisses => "cache.misses",
    /// Replies made from a failure that is remembered (RFC 9520, or bogus data).
    FailureHits => "cache.failures",
    /// Replies made from an expired answer (RFC 8767).
    Expired => "cache.expired",
    /// Answers that were to be asked for anew while no client waits.
    Prefetches => "cache.prefetches",
    /// Replies made from local data or a local zone.
    LocalAnswers => "local",
    /// Replies that access control refused.
    Refused => "refused",
    /// Replies that report an error in the query (FORMERR, NOTIMP, BADVERS).
    QueryErrors => "query-errors",
    /// Replies cut to the client's size (TC=1).
    Truncated => "truncated",
    /// Misses handed to the engine.
    HandedOff => "handed-off",
    /// Replies made from the engine's answer.
    Resolved => "resolved",
    /// SERVFAIL replies: the engine failed, timed out or was overloaded.
    Failed => "failed",
    /// Dropped: shorter than a DNS header.
    DropShort => "drop.short",
    /// Dropped: a response, not a query (QR=1).
    DropResponse => "drop.response",
    /// Dropped: access control says `deny`.
    DropDenied => "drop.denied",
    /// Dropped: the client asks more often than `ip-ratelimit` says.
    DropIpRatelimit => "drop.ip-ratelimit",
    /// Dropped: a local zone says `deny`.
    DropLocalDeny => "drop.local-deny",
    /// Dropped: headers that disagree (lengths, versions) or a source no reply can be sent to.
    DropMalformed => "drop.malformed",
    /// Dropped: wrong IPv4 or UDP checksum.
    DropChecksum => "drop.checksum",
    /// Dropped: the table of waiting clients was full.
    DropPendingFull => "drop.pending-full",
    /// Dropped: the hand-off queue to the engine was full.
    DropHandoffFull => "drop.handoff-full",
    /// Dropped: the transmit ring was full.
    DropTxFull => "drop.tx-full",
    /// Dropped: the socket did not take the reply.
    DropSend => "drop.send",
    /// Dropped: the worker's handler panicked on this packet.
    DropPanic => "drop.panic",
}

/// Why a packet or message was not answered. Each is also a [`Counter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Shorter than a DNS header.
    Short,
    /// A response, not a query.
    Response,
    /// Access control says `deny`.
    Denied,
    /// The client asks more often than `ip-ratelimit` says.
    IpRatelimit,
    /// A local zone says `deny`.
    LocalDeny,
    /// Headers that disagree, or a source no reply can be sent to.
    Malformed,
    /// Wrong IPv4 or UDP checksum.
    Checksum,
    /// The table of waiting clients was full.
    PendingFull,
    /// The hand-off queue to the engine was full.
    HandoffFull,
    /// The transmit ring was full.
    TxFull,
    /// The socket did not take the reply.
    Send,
    /// The handler panicked on this packet.
    Panic,
}

impl DropReason {
    /// The counter for this reason.
    pub const fn counter(self) -> Counter {
        match self {
            Self::Short => Counter::DropShort,
            Self::Response => Counter::DropResponse,
            Self::Denied => Counter::DropDenied,
            Self::IpRatelimit => Counter::DropIpRatelimit,
            Self::LocalDeny => Counter::DropLocalDeny,
            Self::Malformed => Counter::DropMalformed,
            Self::Checksum => Counter::DropChecksum,
            Self::PendingFull => Counter::DropPendingFull,
            Self::HandoffFull => Counter::DropHandoffFull,
            Self::TxFull => Counter::DropTxFull,
            Self::Send => Counter::DropSend,
            Self::Panic => Counter::DropPanic,
        }
    }
}

const COUNT: usize = Counter::ALL.len();

/// One worker's counters. Written by that worker alone, read by anyone.
#[derive(Debug)]
#[repr(align(128))] // two cache lines: the adjacent-line prefetcher must not join two workers
pub struct Counters([AtomicU64; COUNT]);

impl Counters {
    /// All counters at zero.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; COUNT])
    }

    /// Adds one. Only the owning worker may call this: it is a load and a store, not an atomic add.
    #[inline]
    pub fn count(&self, counter: Counter) {
        self.add(counter, 1);
    }

    /// Adds `amount`. Only the owning worker may call this.
    #[inline]
    pub fn add(&self, counter: Counter, amount: u64) {
        let cell = &self.0[counter as usize];
        cell.store(cell.load(Relaxed).wrapping_add(amount), Relaxed);
    }

    /// Counts a drop under its reason.
    pub fn drop(&self, reason: DropReason) {
        self.count(reason.counter());
    }

    /// The values now, each read on its own.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(std::array::from_fn(|i| self.0[i].load(Relaxed)))
    }
}

impl Default for Counters {
    fn default() -> Self {
        Self::new()
    }
}

/// The values of one or, summed, of many [`Counters`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot([u64; COUNT]);

impl Snapshot {
    /// All zero, the start of a sum.
    pub const ZERO: Self = Self([0; COUNT]);

    /// The value of one counter.
    pub const fn value(&self, counter: Counter) -> u64 {
        self.0[counter as usize]
    }

    /// Adds another worker's values.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.0.iter_mut().zip(other.0) {
            *mine = mine.wrapping_add(theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_is_unique() {
        let mut labels: Vec<_> = Counter::ALL.iter().map(|c| c.label()).collect();
        labels.sort_unstable();
        labels.dedup();
        assert_eq!(labels.len(), COUNT);
    }

    #[test]
    fn snapshots_add_up() {
        let (a, b) = (Counters::new(), Counters::new());
        a.add(Counter::Received, 3);
        b.count(Counter::Received);
        b.drop(DropReason::Denied);
        let mut sum = Snapshot::ZERO;
        sum.merge(&a.snapshot());
        sum.merge(&b.snapshot());
        assert_eq!(sum.value(Counter::Received), 4);
        assert_eq!(sum.value(Counter::DropDenied), 1);
    }
}
