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
///
/// Two sets side by side are a pair: what finds the one full goes into the other. So few places stay empty, and yet
/// no live entry need go before the table can't double any more: it does so when both sets of a pair are full.
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
    /// Sets divided since it doubled, of all before.
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
        // Pairs stay pairs when the table doubles.
        let base = (most >> doublings) & if doublings > 0 { !1 } else { !0 };
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

    /// All sets that may hold an entry with this hash: its home, the other of that pair, and while the table grows the
    /// pair that this one is divided from.
    pub(super) fn homes(&self, hash: u64) -> impl Iterator<Item = (usize, Set<'_, W>)> {
        let (now, before) = self.masks();
        let (home, former) = (self.place(hash, now), self.place(hash, before));
        let moves = pair(home) != pair(former);
        let pairs = std::iter::once(home).chain(moves.then_some(former));
        pairs
            .flat_map(|index| [index, index ^ 1])
            .filter_map(|index| Some((index, self.get(index)?)))
    }

    /// Enters an answer, in place of what it replaces; also lets the table grow. What [`Set::insert`] says.
    pub(super) fn insert(&self, new: &NewEntry<'_>, hash: u64, hasher: KeyHasher) -> Option<usize> {
        let mut progress = self.writers();
        self.divide_some(&mut progress, hasher);
        let home = self.home(hash);
        let elsewhere = self.homes(hash).filter(|(index, _)| *index != home);
        elsewhere.for_each(|(_, set)| set.forget(new));
        if self.enter(new, home)? {
            return Some(0);
        }
        if self.make_room(&mut progress, home, hasher) && self.enter(new, self.home(hash))? {
            return Some(0);
        }
        self.get(self.home(hash))?.insert(new)
    }

    /// Enters an answer into a set or the other of its pair, if there is room for it; whether there was. `None`:
    /// other writers hold a set.
    fn enter(&self, new: &NewEntry<'_>, index: usize) -> Option<bool> {
        let entered = self.get(index)?.insert_if_room(new)?;
        match self.get(index ^ 1) {
            Some(other) if !entered => other.insert_if_room(new),
            _ => Some(entered),
        }
    }

    /// Changes the sets that may hold an entry with this hash, with nothing moved meanwhile.
    pub(super) fn change(&self, hash: u64, change: impl Fn(Set<'_, W>)) {
        let _still = self.writers();
        self.homes(hash).for_each(|(_, set)| change(set));
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

    /// Divides a pair that is full, for which the table begins to double if it must; whether it was divided.
    fn make_room(&self, progress: &mut Progress, index: usize, hasher: KeyHasher) -> bool {
        let (now, before) = self.masks();
        if progress.walkers > 0 || now == self.greatest_mask && now == before {
            return false;
        }
        if now == before {
            progress.divided = 0;
            let doubled = u64::from(now) << 1 | 1;
            self.masks.store(doubled | u64::from(before) << 32, Relaxed);
        }
        let waits = (progress.divided..self.undivided()).contains(&index);
        if waits {
            self.divide(index, hasher);
            self.divide(index ^ 1, hasher);
        }
        waits
    }

    /// How many sets there were before the table doubled, as long as not all are divided.
    fn undivided(&self) -> usize {
        self.base * (self.masks().1 as usize + 1)
    }

    /// Divides the next sets, if the table grows.
    fn divide_some(&self, progress: &mut Progress, hasher: KeyHasher) {
        let (now, before) = self.masks();
        if now == before || progress.walkers > 0 {
            return;
        }
        let all = self.undivided();
        let next = progress.divided..all.min(progress.divided + DIVIDED_AT_A_TIME);
        progress.divided = next.end;
        for index in next {
            self.divide(index, hasher);
        }
        if progress.divided == all {
            self.masks
                .store(u64::from(now) << 32 | u64::from(now), Relaxed);
        }
    }

    /// Moves what no longer belongs into a set's pair: first it is in both places, then in the new one only, so that
    /// readers find it.
    fn divide(&self, index: usize, hasher: KeyHasher) {
        let Some(set) = self.get(index) else {
            return;
        };
        let home = |key: &Key<'_>| self.home(hasher.hash(key));
        set.each(|entry| {
            let home = home(&entry.key);
            if pair(home) != pair(index)
                && self.enter(entry, home) == Some(false)
                && let Some(other) = self.get(home)
            {
                other.insert(entry);
            }
        });
        set.keep(|key| pair(home(key)) == pair(index));
    }
}

/// Which pair a set is of.
fn pair(index: usize) -> usize {
    index >> 1
}

/// A table that may be larger starts with this, or up to twice as much.
const START_BYTES: usize = 2 << 20;
/// Sets divided with each entry that comes: some 30 microseconds' work.
const DIVIDED_AT_A_TIME: usize = 8;
/// The lowest bits of a hash are the tag.
const TAG_BITS: u32 = 16;
/// Bits of a hash between the tag and the upper half.
const HASH_BITS: u32 = 16;
