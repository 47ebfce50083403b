use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::entry::{Key, Prefix, Variant, Variants, WordKey};
use super::growing::{Entered, Growing, Spare};
use super::hash::KeyHasher;
use super::memory::Sets;
use super::set::{Set, Wanted};
use super::write::{Held, NewEntry};

/// The answer cache, shared by all workers. See the module's description for its shape and bounds.
pub struct Cache {
    pub(super) small: Growing<SMALL_WORDS>,
    pub(super) large: Growing<LARGE_WORDS>,
    hasher: KeyHasher,
    /// One answer at a time: two under the same key, a small and a large one, would make each other forgotten.
    storing: Mutex<()>,
    inserted: AtomicU64,
    evicted: AtomicU64,
    declined: AtomicU64,
    flushed: AtomicU64,
}

/// Where a key belongs: what a batch computes first, so that the memory is on its way when it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub(super) hash: u64,
    /// The set of small answers.
    small: usize,
}

/// What is looked for.
#[derive(Clone, Copy, Debug)]
pub struct Sought<'a> {
    /// Its key,
    pub key: Key<'a>,
    /// where that belongs,
    pub place: Place,
    /// and which of the answers under that key.
    pub variant: Variant,
}

/// What is to be stored.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The variants that it serves.
    pub variants: Variants,
    /// The answer in stored form.
    pub stored: &'a [u8],
    /// How long it lives, in seconds; with 0 not at all, unless it is kept.
    pub ttl_secs: u32,
    /// For how many seconds after its end an answer is still of use, this one and those it could replace.
    pub keep_secs: u32,
}

/// A live answer, copied out.
#[derive(Clone, Copy, Debug)]
pub struct Hit<'a> {
    /// The stored answer.
    pub stored: &'a [u8],
    /// Seconds since it was stored.
    pub age_secs: u32,
    /// Seconds until it expires.
    pub left_secs: u32,
}

/// What became of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in the cache; this many live entries made room for it.
    Stored {
        /// Live entries that had to go.
        evicted: usize,
    },
    /// It is not: other writers held its set all the time, or it is larger than any set.
    Declined,
}

/// What `stats` shows of the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Entries held, expired ones included; an estimate if the cache is large.
    pub entries: u64,
    /// Bytes that those entries take.
    pub entry_bytes: u64,
    /// Bytes of the sets in use: what the cache takes of the system's memory.
    pub used_bytes: u64,
    /// Bytes of the whole cache: all it can ever take.
    pub bound_bytes: u64,
    /// Entries stored so far.
    pub inserted: u64,
    /// Live entries that made room for others so far.
    pub evicted: u64,
    /// Entries not stored so far: too large, or the set was busy.
    pub declined: u64,
    /// Entries removed so far because a new configuration may not have it so.
    pub flushed: u64,
}

impl Cache {
    /// A cache of at most `size_bytes` (plus this structure itself), empty. With less than 4,224 bytes
    /// it holds nothing.
    ///
    /// It takes a few MiB at first, and twice as much whenever its entries need it. The memory comes zeroed from the
    /// system, in pages of 2 MiB where the kernel gives them.
    ///
    /// # Panics
    ///
    /// When the system does not even promise the memory.
    pub fn new(size_bytes: u64) -> Self {
        let large = Growing::within(size_bytes / LARGE_PART);
        Self {
            small: Growing::within(size_bytes - large.bytes() as u64),
            large,
            hasher: KeyHasher::random(),
            storing: Mutex::new(()),
            inserted: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            declined: AtomicU64::new(0),
            flushed: AtomicU64::new(0),
        }
    }

    /// Where the key belongs.
    #[inline]
    pub fn place(&self, key: &Key<'_>) -> Place {
        let hash = self.hasher.hash(key);
        Place {
            hash,
            small: self.small.home(hash),
        }
    }

    /// As [`Cache::place`], of a key in words.
    #[inline]
    pub(crate) fn place_of(&self, key: &WordKey<'_>) -> Place {
        let hash = self.hasher.hash_words(key);
        Place {
            hash,
            small: self.small.home(hash),
        }
    }

    /// The sequence number of the set in which a small answer at this place stands. As long as it stays the same,
    /// so does all that stands there. `None`: a writer is at work, or the cache has no sets.
    #[expect(clippy::inline_always, reason = "a few instructions, less than a call")]
    #[inline(always)]
    pub fn sequence(&self, place: Place) -> Option<u64> {
        self.small.get(place.small)?.sequence()
    }

    /// As [`Cache::sequence`], before what is found here is remembered elsewhere: also `None` unless the answer may stand
    /// in this set and in no other. As long as that set stays the same then, so does the answer.
    pub(crate) fn sequence_at_rest(&self, place: Place) -> Option<u64> {
        // A table that begins to double changes no set: where the answer belongs is asked as well.
        let sequence = self.sequence(place)?;
        let is_here = |(index, set): (usize, Set<'_, SMALL_WORDS>)| {
            set.may_hold(place.tag()) == (index == place.small)
        };
        let mut large = self.large.homes(place.hash);
        let is_at_rest = place.small == self.small.home(place.hash)
            && self.small.homes(place.hash).all(is_here)
            && !large.any(|(_, set)| set.may_hold(place.tag()));
        is_at_rest.then_some(sequence)
    }

    /// Fetches what a look-up at this place reads first. The value means nothing; feed it to
    /// [`std::hint::black_box`], so that the loads are not optimised away.
    #[inline]
    pub fn touch(&self, place: Place) -> u64 {
        self.small.get(place.small).map_or(0, Set::touch)
    }

    /// Starts to fetch what a look-up at this place reads next, once it was [touched](Cache::touch).
    #[inline]
    pub fn touch_entry(&self, place: Place) {
        if let Some(set) = self.small.get(place.small) {
            set.touch_entry(place.tag());
        }
    }

    /// Looks for a live answer and copies it to `scratch`, which should have [`Cache::SCRATCH_BYTES`].
    pub fn lookup<'s>(
        &self,
        sought: &Sought<'_>,
        now_secs: u32,
        scratch: &'s mut [u8],
    ) -> Option<Hit<'s>> {
        let Sought {
            key,
            place,
            variant,
        } = *sought;
        let name = key.name();
        let mut padded = [0; 256];
        padded.get_mut(..name.len())?.copy_from_slice(name);
        let key = WordKey {
            name: padded.as_chunks().0.get(..name.len().div_ceil(8))?,
            ident: key.ident(),
        };
        self.find(key, (place, variant), now_secs, scratch)
    }

    /// As [`Cache::lookup`], for a key in words.
    #[expect(
        clippy::inline_always,
        reason = "called once on the way of a hit; what it hands on stays in registers"
    )]
    #[inline(always)]
    pub(crate) fn find<'s>(
        &self,
        key: WordKey<'_>,
        (place, variant): (Place, Variant),
        now_secs: u32,
        scratch: &'s mut [u8],
    ) -> Option<Hit<'s>> {
        // Made anew where it is handed on: so the first one's parts stay in registers.
        let wanted = || Wanted {
            key,
            tag: place.tag(),
            variant: variant.bit(),
            now_secs,
        };
        let small = self.small.get(place.small);
        let found = match small.and_then(|set| set.read_at_once(&wanted(), scratch)) {
            Some(prefix) => prefix,
            None => self.lookup_elsewhere(&wanted(), place, scratch)?,
        };
        Some(Hit {
            stored: scratch.get(..found.stored_len())?,
            age_secs: now_secs.saturating_sub(found.stored_at()),
            left_secs: found.expires().saturating_sub(now_secs),
        })
    }

    /// Stores an answer, in place of what was stored for any of its variants.
    pub fn store(&self, key: &Key<'_>, entry: &Entry<'_>, now_secs: u32) -> Inserted {
        let Entry {
            variants,
            stored,
            ttl_secs,
            keep_secs,
        } = *entry;
        let place = self.place(key);
        let expires = now_secs.saturating_add(ttl_secs);
        let new = NewEntry {
            key: *key,
            tag: place.tag(),
            variants,
            stored,
            stored_at: now_secs,
            expires,
            dead_at: now_secs.saturating_sub(keep_secs),
            used: false,
        };
        let bytes = Prefix::WORDS * 8
            + key.name().len().next_multiple_of(8)
            + stored.len().next_multiple_of(8);
        let evicted = if ttl_secs == 0 && keep_secs == 0 {
            None
        } else if bytes <= SMALL_ENTRY_BYTES {
            self.insert_small(&new, place.hash)
        } else if bytes <= LARGE_ENTRY_BYTES {
            self.insert_large(&new, place.hash)
        } else {
            None
        };
        let Some(evicted) = evicted else {
            self.declined.fetch_add(1, Relaxed);
            return Inserted::Declined;
        };
        self.inserted.fetch_add(1, Relaxed);
        self.evicted.fetch_add(evicted as u64, Relaxed);
        Inserted::Stored { evicted }
    }

    fn insert_small(&self, new: &NewEntry<'_>, hash: u64) -> Option<usize> {
        let _alone = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spare = Spare {
            hasher: self.hasher,
            dead_at: new.dead_at,
            lodge: &mut |new, hash| self.large.insert_if_room(new, hash, self.hasher),
        };
        let Entered { evicted, lodged } = self.small.insert(new, hash, &mut spare)?;
        if !lodged {
            self.large.forget(new, hash);
        }
        Some(evicted)
    }

    fn insert_large(&self, new: &NewEntry<'_>, hash: u64) -> Option<usize> {
        let _alone = self.storing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut spare = Spare {
            hasher: self.hasher,
            dead_at: new.dead_at,
            lodge: &mut |_, _| false,
        };
        let evicted = self.large.insert(new, hash, &mut spare)?.evicted;
        self.small.forget(new, hash);
        Some(evicted)
    }

    /// Changes all sets that an entry at this place can stand in.
    pub(super) fn change(
        &self,
        place: Place,
        small: impl Fn(Set<'_, SMALL_WORDS>),
        large: impl Fn(Set<'_, LARGE_WORDS>),
    ) {
        self.small.change(place.hash, small);
        self.large.change(place.hash, large);
    }

    /// Removes every entry whose name (lower-cased wire form) is chosen; how many went.
    pub fn flush(&self, mut chosen: impl FnMut(&[u8]) -> bool) -> u64 {
        self.flush_held(|held| chosen(held.name()))
    }

    /// Removes every entry that is chosen; how many went. Whoever looks for one of these afterwards does not find it,
    /// whatever other threads were doing meanwhile, unless they have stored it anew.
    pub(crate) fn flush_held(&self, mut chosen: impl FnMut(&Held<'_>) -> bool) -> u64 {
        let mut gone = 0;
        self.small
            .walk(|set| gone += set.remove_chosen(&mut chosen));
        self.large
            .walk(|set| gone += set.remove_chosen(&mut chosen));
        self.flushed.fetch_add(gone as u64, Relaxed);
        gone as u64
    }

    /// Counts the entries of up to 4,096 sets of each size; those of a larger cache are estimated from them. The
    /// sets of a question are as good as random, so that the estimate is off by a few in a thousand.
    pub fn stats(&self) -> CacheStats {
        let (small, large) = (census(&self.small), census(&self.large));
        CacheStats {
            entries: small.0 + large.0,
            entry_bytes: small.1 + large.1,
            used_bytes: (self.small.bytes_in_use() + self.large.bytes_in_use()) as u64,
            bound_bytes: (self.small.bytes() + self.large.bytes()) as u64,
            inserted: self.inserted.load(Relaxed),
            evicted: self.evicted.load(Relaxed),
            declined: self.declined.load(Relaxed),
            flushed: self.flushed.load(Relaxed),
        }
    }

    /// What a caller of [`Cache::lookup`] should offer as scratch space.
    pub const SCRATCH_BYTES: usize = Sets::<LARGE_WORDS>::SET_BYTES;
}

/// Sets of one size that [`Cache::stats`] looks at.
const SETS_COUNTED: usize = 4096;

/// Entries of these sets and the bytes that they take.
fn census<const W: usize>(sets: &Growing<W>) -> (u64, u64) {
    let step = sets.len().div_ceil(SETS_COUNTED).max(1);
    let (mut counted, mut entries, mut bytes) = (0, 0, 0);
    for set in (0..sets.len())
        .step_by(step)
        .filter_map(|index| sets.get(index))
    {
        let (more_entries, more_bytes) = set.census();
        counted += 1;
        entries += more_entries as u64;
        bytes += more_bytes as u64;
    }
    let all = |part: u64| part * sets.len() as u64 / u64::max(counted, 1);
    (all(entries), all(bytes))
}

impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache")
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Place {
    /// Some place or other.
    pub(crate) const NOWHERE: Self = Self { hash: 0, small: 0 };

    /// The whole hash.
    pub(crate) const fn hash(self) -> u64 {
        self.hash
    }

    /// The tag, by the lowest bits; 0 is what free lanes have.
    #[inline]
    pub(super) fn tag(self) -> u16 {
        (self.hash as u16).max(1)
    }
}

/// Words of a set: such that headers are spread over all of the processor's cache sets. Powers of two would make
/// them compete for a few.
const SMALL_WORDS: usize = 528;
const LARGE_WORDS: usize = 8176;
/// The large table gets one part in this many of the memory.
const LARGE_PART: u64 = 8;
/// Half of a small set: what is larger would crowd out a whole set.
const SMALL_ENTRY_BYTES: usize = log_bytes::<SMALL_WORDS>() / 2;
const LARGE_ENTRY_BYTES: usize = log_bytes::<LARGE_WORDS>();

const fn log_bytes<const W: usize>() -> usize {
    Set::<'_, W>::UNITS * Set::<'_, W>::UNIT_WORDS * 8
}
