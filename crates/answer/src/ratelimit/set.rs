#[cfg(loom)]
pub(super) use loom::sync::atomic::AtomicU64;
#[cfg(not(loom))]
pub(super) use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

/// What became of one query more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Count {
    /// This second's are within the limit.
    Within {
        /// Whether those of the second before were not.
        former_exceeded: bool,
    },
    /// This one is the first that exceeds it; or, should several threads count at once, one of the first.
    Exceeds {
        /// As above.
        former_exceeded: bool,
    },
    /// It was exceeded before in this second.
    Beyond,
}

/// A cache line: four clients, and what they have asked. Threads change it at once, without a lock.
#[derive(Clone, Copy)]
pub(super) struct Set<'t> {
    /// The clients' hashes, which are odd; or [`NOBODY`], or [`TAKEN`]. Of so many bits that two clients don't share one
    /// by chance; to make them share one, the hash's seed must be known.
    pub(super) tags: &'t [AtomicU64; WAYS],
    /// See [`State`].
    pub(super) states: &'t [AtomicU64; WAYS],
}

/// A client's count, in a word that is changed as a whole.
///
/// ```text
///  63        44 43           22 21            0
/// | the second | count before  | count in it   |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// The low bits of the clock's seconds.
    pub(super) second: u32,
    /// Of the second before that.
    pub(super) before: u32,
    pub(super) count: u32,
}

/// Clients of a set. Under loom two: enough for two threads to get into each other's way.
pub(super) const WAYS: usize = if cfg!(loom) { 2 } else { 4 };
/// The tag of a place that is nobody's.
const NOBODY: u64 = 0;
/// The tag of a place that is being given away.
const TAKEN: u64 = 2;
const COUNT_BITS: u32 = 22;
const SECOND_BITS: u32 = 64 - 2 * COUNT_BITS;
const SECONDS: u32 = (1 << SECOND_BITS) - 1;

/// No limit may be larger: counts end a little above the limit, by as many as there are threads.
pub(super) const MAX_LIMIT: u32 = (1 << COUNT_BITS) - (1 << 16);

/// How often others may have changed the set first. Each try then finds it nearer to what it is to be.
const TRIES: usize = if cfg!(loom) { 3 } else { 8 };

/// By so many seconds another worker's clock may be ahead: each reads it once for a batch.
const AHEAD_SECS: u32 = 2;

impl Set<'_> {
    /// Counts a query that this client asks in this second.
    #[inline]
    pub(super) fn count(self, tag: u64, now_secs: u32, limit: u32) -> Count {
        let now = now_secs & SECONDS;
        for _ in 0..TRIES {
            let Some(way) = self.tags.iter().position(|held| held.load(Acquire) == tag) else {
                self.give_place(tag, now);
                continue;
            };
            if let Some(counted) = count(&self.states[way], now, limit) {
                return counted;
            }
        }
        Count::Within {
            former_exceeded: false,
        }
    }

    /// Gives a client the place of the one that has asked least. Should another thread be faster, nothing is done.
    pub(super) fn give_place(self, tag: u64, now: u32) {
        let Some((way, former, held)) = self.least(tag, now) else {
            return;
        };
        let (state, owner) = (&self.states[way], &self.tags[way]);
        // Meanwhile nobody finds the place: neither does its former owner count for the new one, nor the other way round.
        if owner
            .compare_exchange(former, TAKEN, Relaxed, Relaxed)
            .is_err()
        {
            return;
        }
        let fresh = State {
            second: now,
            before: 0,
            count: 0,
        };
        if state
            .compare_exchange(held, fresh.word(), Release, Relaxed)
            .is_err()
        {
            // Its owner asks more than was thought.
            owner.store(former, Release);
            return;
        }
        owner.store(tag, Release);
        if self.has_another_place(tag, way) {
            let _ = owner.compare_exchange(tag, NOBODY, Relaxed, Relaxed);
        }
    }

    /// Whether another thread has given this client another place meanwhile, that is found before this one, or has been
    /// counted in.
    fn has_another_place(self, tag: u64, way: usize) -> bool {
        let mut others = (0..WAYS).filter(|other| *other != way);
        others.any(|other| {
            self.tags[other].load(Acquire) == tag
                && (other < way || State::read(self.states[other].load(Relaxed)).count > 0)
        })
    }

    /// The place of the one that has asked least, with its tag and its state. One that is nobody's any more is weighed like
    /// the others; it is forgotten as soon as they are.
    fn least(self, tag: u64, now: u32) -> Option<(usize, u64, u64)> {
        // From where the hash says: those who asked equally little have equal chances.
        let ways = (0..WAYS).map(|way| (way + tag as usize / 2) % WAYS);
        let places = ways.map(|way| {
            let former = self.tags[way].load(Relaxed);
            (way, former, self.states[way].load(Acquire))
        });
        places
            .filter(|(_, former, _)| *former != TAKEN)
            .min_by_key(|(_, _, held)| State::read(*held).weight(now))
    }
}

/// Counts one more; `None`: another thread was faster. Who sees what was counted sees whose it is, and no thread counts
/// twice for one who has lost the place.
fn count(state: &AtomicU64, now: u32, limit: u32) -> Option<Count> {
    let held = state.load(Relaxed);
    let mut at = State::read(held);
    if at.age_secs(now) == 0 {
        if at.count > limit {
            // Nothing is written: threads that all are asked by such a client don't take the line from each other.
            return Some(Count::Beyond);
        }
        // Should the second have passed meanwhile, this counts as the first one of the next.
        at = State::read(state.fetch_add(1, AcqRel));
    } else {
        at = at.advance(now);
        let first = State { count: 1, ..at }.word();
        state.compare_exchange(held, first, AcqRel, Relaxed).ok()?;
    }
    let former_exceeded = at.before > limit;
    Some(match at.count {
        before if before < limit => Count::Within { former_exceeded },
        before if before == limit => Count::Exceeds { former_exceeded },
        _ => Count::Beyond,
    })
}

impl State {
    pub(super) fn read(word: u64) -> Self {
        let count = (1 << COUNT_BITS) - 1;
        Self {
            second: (word >> (2 * COUNT_BITS)) as u32,
            before: (word >> COUNT_BITS) as u32 & count,
            count: word as u32 & count,
        }
    }

    pub(super) fn word(self) -> u64 {
        let Self {
            second,
            before,
            count,
        } = self;
        u64::from(second) << (2 * COUNT_BITS) | u64::from(before) << COUNT_BITS | u64::from(count)
    }

    /// 0 also when the clock of the one who counted was ahead of ours.
    fn age_secs(self, now: u32) -> u32 {
        let age = now.wrapping_sub(self.second) & SECONDS;
        if age > SECONDS - AHEAD_SECS { 0 } else { age }
    }

    /// What its owner has asked lately, in one second.
    fn weight(self, now: u32) -> u32 {
        let at = self.advance(now);
        at.count.max(at.before)
    }

    /// What it is in the second `now`.
    fn advance(self, now: u32) -> Self {
        match self.age_secs(now) {
            0 => self,
            age => Self {
                second: now,
                before: if age == 1 { self.count } else { 0 },
                count: 0,
            },
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests {
    use super::*;

    #[test]
    fn a_state_is_what_was_written() {
        for second in [0, 1, SECONDS] {
            for before in [0, 1, MAX_LIMIT] {
                for count in [0, 1, MAX_LIMIT] {
                    let state = State {
                        second,
                        before,
                        count,
                    };
                    assert_eq!(State::read(state.word()), state);
                }
            }
        }
    }
}
