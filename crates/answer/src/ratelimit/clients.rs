use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use foldhash::quality::RandomState;
use zerocopy::FromZeros;

/// What each client has asked in this second and the one before: a table of fixed size, shared by all workers.
///
/// Sets of four clients, a cache line each; a client's address says in which set it stands. Neither locks nor
/// allocations; a count takes one cache line, however many clients there are.
///
/// A client that is new to a full set takes the place of the one that has asked least. So whoever asks much keeps its
/// count, though a million others ask once; and whoever is new has a place, though all others ask much. Of more
/// than four in one set who exceed their limit, some escape it: in a table of ordinary size, that takes a flood of four
/// times the limit for each of its sets.
pub(super) struct Clients {
    /// The sets begin at a cache line, at or behind the first word.
    words: Box<[AtomicU64]>,
    first: usize,
    sets: usize,
    hasher: RandomState,
    seed: u64,
}

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

/// A cache line.
#[derive(Clone, Copy)]
struct Set<'t> {
    /// The clients' hashes; 0: nobody's place. Of so many bits that two clients don't share one by chance; to make them
    /// share one, the hash's seed must be known.
    tags: &'t [AtomicU64; WAYS],
    /// See [`State`].
    states: &'t [AtomicU64; WAYS],
}

/// A client's count, in a word that is changed as a whole.
///
/// ```text
///  63        44 43           22 21            0
/// | the second | count before  | count in it   |
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    /// The low bits of the clock's seconds.
    second: u32,
    /// Of the second before that.
    before: u32,
    count: u32,
}

const WAYS: usize = 4;
/// Tags and states.
const SET_WORDS: usize = 2 * WAYS;
const LINE_BYTES: usize = 64;
const COUNT_BITS: u32 = 22;
const SECOND_BITS: u32 = 64 - 2 * COUNT_BITS;
const SECONDS: u32 = (1 << SECOND_BITS) - 1;

/// No limit may be larger: counts end a little above the limit, by as many as there are threads.
pub(super) const MAX_LIMIT: u32 = (1 << COUNT_BITS) - (1 << 16);

/// How often others may have changed the set first. Each try then finds it nearer to what it is to be.
const TRIES: usize = 8;

/// By so many seconds another worker's clock may be ahead: each reads it once for a batch.
const AHEAD_SECS: u32 = 2;

impl Clients {
    /// A table of at most `size_bytes`, but of one set at least; smaller if the system does not promise that much. Its
    /// memory comes from the system as it is used.
    pub(super) fn new(size_bytes: u64) -> Self {
        // One less, since the memory may begin within a line.
        let sets = usize::try_from(size_bytes)
            .map_or(usize::MAX, |bytes| bytes / LINE_BYTES)
            .clamp(2, usize::MAX / LINE_BYTES)
            - 1;
        let (words, sets) = (0..usize::BITS)
            .find_map(|halvings| {
                let sets = (sets >> halvings).max(1);
                let words = <[AtomicU64]>::new_box_zeroed_with_elems((sets + 1) * SET_WORDS);
                Some((words.ok()?, sets))
            })
            .expect("memory for two cache lines");
        let hasher = RandomState::default();
        Self {
            first: words.as_ptr().align_offset(LINE_BYTES) % SET_WORDS,
            words,
            sets,
            seed: hasher.hash_one(0),
            hasher,
        }
    }

    /// A number of this table's own, which nobody knows.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Counts a query that this client asks in this second.
    pub(super) fn count(&self, client: IpAddr, now_secs: u32, limit: u32) -> Count {
        let hash = self.hasher.hash_one(client);
        let tag = hash | 1;
        let set = self.set(hash);
        let now = now_secs & SECONDS;
        for _ in 0..TRIES {
            let Some(way) = set.tags.iter().position(|held| held.load(Acquire) == tag) else {
                set.give_place(tag, now);
                continue;
            };
            if let Some(counted) = count(&set.states[way], now, limit) {
                return counted;
            }
        }
        Count::Within {
            former_exceeded: false,
        }
    }

    fn set(&self, hash: u64) -> Set<'_> {
        let number = ((u128::from(hash) * self.sets as u128) >> 64) as usize;
        let (lines, _) = self.words[self.first..].as_chunks::<SET_WORDS>();
        let (halves, _) = lines[number].as_chunks();
        Set {
            tags: &halves[0],
            states: &halves[1],
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("sets", &self.sets)
            .finish_non_exhaustive()
    }
}

/// Counts one more; `None`: another thread was faster.
fn count(state: &AtomicU64, now: u32, limit: u32) -> Option<Count> {
    let held = state.load(Relaxed);
    let mut at = State::read(held);
    if at.age_secs(now) == 0 {
        if at.count > limit {
            // Nothing is written: threads that all are asked by such a client don't take the line from each other.
            return Some(Count::Beyond);
        }
        // Should the second have passed meanwhile, this counts as the first one of the next.
        at = State::read(state.fetch_add(1, Relaxed));
    } else {
        at = at.advance(now);
        let first = State { count: 1, ..at }.word();
        state.compare_exchange(held, first, Relaxed, Relaxed).ok()?;
    }
    let former_exceeded = at.before > limit;
    Some(match at.count {
        before if before < limit => Count::Within { former_exceeded },
        before if before == limit => Count::Exceeds { former_exceeded },
        _ => Count::Beyond,
    })
}

impl Set<'_> {
    /// Gives a client the place of the one that has asked least. Should another thread be faster, nothing is done.
    fn give_place(self, tag: u64, now: u32) {
        // From where its hash says: those who asked equally little have equal chances.
        let ways = (0..WAYS).map(|way| (way + tag as usize / 2) % WAYS);
        let Some(way) = ways.min_by_key(|&way| self.weight(way, now)) else {
            return;
        };
        let (state, owner) = (&self.states[way], &self.tags[way]);
        let (held, former) = (state.load(Relaxed), owner.load(Relaxed));
        let fresh = State {
            second: now,
            before: 0,
            count: 0,
        };
        // First the count, so that whoever sees the new tag sees no count of another's. If it has changed, the place has
        // been given away already, or its owner asks more than was thought.
        let taken = state
            .compare_exchange(held, fresh.word(), Relaxed, Relaxed)
            .is_ok()
            && owner
                .compare_exchange(former, tag, Release, Relaxed)
                .is_ok();
        let places = self.tags.iter().filter(|held| held.load(Relaxed) == tag);
        if taken && places.count() > 1 {
            // Another thread has given this client another place meanwhile, and may have counted there.
            let _ = owner.compare_exchange(tag, 0, Relaxed, Relaxed);
        }
    }

    /// What the client there has asked lately, in one second.
    fn weight(self, way: usize, now: u32) -> u32 {
        if self.tags[way].load(Relaxed) == 0 {
            return 0;
        }
        let at = State::read(self.states[way].load(Relaxed)).advance(now);
        at.count.max(at.before)
    }
}

impl State {
    fn read(word: u64) -> Self {
        let count = (1 << COUNT_BITS) - 1;
        Self {
            second: (word >> (2 * COUNT_BITS)) as u32,
            before: (word >> COUNT_BITS) as u32 & count,
            count: word as u32 & count,
        }
    }

    fn word(self) -> u64 {
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
mod tests {
    use super::*;

    #[test]
    fn no_more_memory_than_was_said() {
        for size_bytes in [0, 1, 64, 128, 129, 1000, 4096, 64 << 10, (4 << 20) + 1] {
            let clients = Clients::new(size_bytes);
            let bytes = size_of_val(&*clients.words) as u64;
            assert!(bytes <= size_bytes.max(128), "{bytes} of {size_bytes}");
            assert!(clients.first + clients.sets * SET_WORDS <= clients.words.len());
            assert_eq!(clients.sets as u64, (size_bytes / 64).max(2) - 1);
            for hash in [0, 1, u64::MAX / 3, u64::MAX] {
                let set = clients.set(hash);
                assert_eq!(set.tags.as_ptr().align_offset(LINE_BYTES), 0);
            }
        }
    }

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
