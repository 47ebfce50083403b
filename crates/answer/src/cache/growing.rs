use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::entry::Key;
use super::hash::KeyHasher;
use super::memory::Sets;
use super::set::Set;
use super::write::NewEntry;

/// One table: its sets, of which only so many are in use as its entries need.
///
/// A hash has its place by the number of sets in use, `base` times a power of two: by the upper half of the hash one
/// of the `base` first, and by the bits that follow one of those that this one was divided into. When the table
/// doubles, each set is divided in two: what no longer belongs into it goes into a new one behind all others, some
/// sets with each entry that comes. Until all are divided, an entry may be in either place.
pub(super) struct Growing<const W: usize> {
    sets: Sets<W>,
    base: usize,
    /// In the lower half: sets in use for each of the first, less one. In the upper half: as many as all sets have
    /// been divided into; the same if none is being divided.
    masks: AtomicU64,
    greatest_mask: u32,
    writers: Mutex<Progress>,
}

/// What writers know of the growth.
#[derive(Debug, Default)]
struct Progress {
    /// Live entries that had to go since the table has grown.
    evicted: usize,
    /// Sets divided of late.
    divided: usize,
    /// How many walk through all sets: nothing is moved meanwhile.
    walkers: u32,
}

impl<const W: usize> Growing<W> {
    /// A table of at most so many bytes.
    pub(super) fn within(bytes: u64) -> Self {
        let most = usize::try_from(bytes).unwrap_or(usize::MAX) / Sets::<W>::SET_BYTES;
        let starts = most / (START_BYTES / Sets::<W>::SET_BYTES);
        let doublings = starts.checked_ilog2().unwrap_or(0).min(HASH_BITS);
        let base = most >> doublings;
        Self {
            sets: Sets::new(base << doublings),
            base,
            masks: AtomicU64::new(0),
            greatest_mask: (1 << doublings) - 1,
            writers: Mutex::default(),
        }
    }

    /// All the bytes that it may come to take.
    pub(super) fn bytes(&self) -> usize {
        self.sets.bytes()
    }

    /// The bytes of the sets in use.
    pub(super) fn bytes_in_use(&self) -> usize {
        self.len() * Sets::<W>::SET_BYTES
    }

    /// Sets in use.
    pub(super) fn len(&self) -> usize {
        self.base * (self.masks().0 as usize + 1)
    }

    /// Where an entry with this hash belongs; a number that no set has, if there are none.
    #[inline]
    pub(super) fn home(&self, hash: u64) -> usize {
        self.place(hash, self.masks.load(Relaxed) as u32)
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Set<'_, W>> {
        self.sets.get(index)
    }

    /// Where an entry with this hash may be while the table grows, beside its home.
    pub(super) fn former_home(&self, hash: u64) -> Option<Set<'_, W>> {
        let (now, before) = self.masks();
        let former = self.place(hash, before);
        self.get(former).filter(|_| former != self.place(hash, now))
    }

    /// All sets that may hold an entry with this hash.
    pub(super) fn homes(&self, hash: u64) -> impl Iterator<Item = Set<'_, W>> {
        let home = self.get(self.home(hash));
        home.into_iter().chain(self.former_home(hash))
    }

    /// Enters an answer, in place of what it replaces; also lets the table grow. What [`Set::insert`] says.
    pub(super) fn insert(&self, new: &NewEntry<'_>, hash: u64, hasher: KeyHasher) -> Option<usize> {
        let mut progress = self.writers();
        self.divide_some(&mut progress, hasher);
        if let Some(former) = self.former_home(hash) {
            former.forget(new);
        }
        let evicted = self.get(self.home(hash))?.insert(new)?;
        progress.evicted += evicted;
        if evicted > 0 {
            self.grow_if_crowded(&mut progress);
        }
        Some(evicted)
    }

    /// Changes the sets that may hold an entry with this hash, with nothing moved meanwhile.
    pub(super) fn change(&self, hash: u64, change: impl Fn(Set<'_, W>)) {
        let _still = self.writers();
        self.homes(hash).for_each(change);
    }

    /// Sees all sets in use, with nothing moved meanwhile.
    pub(super) fn walk<R>(&self, see: impl FnOnce(&mut dyn Iterator<Item = Set<'_, W>>) -> R) -> R {
        self.writers().walkers += 1;
        let result = see(&mut (0..self.len()).filter_map(|index| self.get(index)));
        self.writers().walkers -= 1;
        result
    }

    #[inline]
    fn place(&self, hash: u64, mask: u32) -> usize {
        let first = ((hash >> 32) * self.base as u64) >> 32;
        let division = (hash >> TAG_BITS) & u64::from(mask);
        (first + division * self.base as u64) as usize
    }

    fn masks(&self) -> (u32, u32) {
        let masks = self.masks.load(Relaxed);
        (masks as u32, (masks >> 32) as u32)
    }

    fn writers(&self) -> MutexGuard<'_, Progress> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Doubles the table when its sets have become too small for what comes.
    fn grow_if_crowded(&self, progress: &mut Progress) {
        let (now, before) = self.masks();
        let is_crowded = progress.evicted * CROWDED_ONE_IN > self.len();
        if is_crowded && now == before && now < self.greatest_mask && progress.walkers == 0 {
            progress.divided = 0;
            let doubled = u64::from(now) << 1 | 1;
            self.masks.store(doubled | u64::from(before) << 32, Relaxed);
        }
    }

    /// Divides the next sets, if the table grows.
    fn divide_some(&self, progress: &mut Progress, hasher: KeyHasher) {
        let (now, before) = self.masks();
        if now == before || progress.walkers > 0 {
            return;
        }
        let all = self.base * (before as usize + 1);
        let next = progress.divided..all.min(progress.divided + DIVIDED_AT_A_TIME);
        progress.divided = next.end;
        for index in next {
            self.divide(index, hasher);
        }
        if progress.divided == all {
            progress.evicted = 0;
            self.masks
                .store(u64::from(now) << 32 | u64::from(now), Relaxed);
        }
    }

    /// Moves what no longer belongs into a set: first it is in both places, then in the new one only, so that readers
    /// find it.
    fn divide(&self, index: usize, hasher: KeyHasher) {
        let Some(set) = self.get(index) else {
            return;
        };
        let home = |key: &Key<'_>| self.home(hasher.hash(key));
        set.each(|entry| {
            let home = home(&entry.key);
            if home != index
                && let Some(other) = self.get(home)
            {
                other.insert(entry);
            }
        });
        set.keep(|key| home(key) == index);
    }
}

/// A table that may be larger starts with this, or up to twice as much.
const START_BYTES: usize = 2 << 20;
/// A table grows when one live entry had to go for this many of its sets: by then they are 60 to 90 % full.
const CROWDED_ONE_IN: usize = 16;
/// Sets divided with each entry that comes: some 30 microseconds' work.
const DIVIDED_AT_A_TIME: usize = 8;
/// The lowest bits of a hash are the tag.
const TAG_BITS: u32 = 16;
/// Bits of a hash between the tag and the upper half.
const HASH_BITS: u32 = 16;
