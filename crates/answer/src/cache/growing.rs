use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};
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
/// Two sets side by side are a pair: what finds the one full goes into the other. When both are full the table doubles,
/// if half of it is in use. If less is, as happens with entries of which only a few fill a set, what comes goes into
/// another table that the caller offers. So hardly any live entry goes before the table can't double any more: only
/// where the pair is full all the same and the other table too.
///
/// What moves is entered in its new place before it is forgotten in the former one, so that at any time it stands in
/// one of [`Growing::homes`]. Who looks at them one after the other may miss it nevertheless, and sees that by
/// [`Growing::moves`].
pub(super) struct Growing<const W: usize> {
    sets: Sets<W>,
    base: usize,
    /// In the lower half: sets in use for each of the first, less one. In the upper half: as many as all sets have
    /// been divided into; the same if none is being divided.
    masks: AtomicU64,
    greatest_mask: u32,
    writing: Writing,
}

/// What only writers touch, and readers that find nothing: in cache lines of its own.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Writing {
    progress: Mutex<Progress>,
    /// How often something was, or may have been, forgotten since it stands in another place.
    moves: AtomicU64,
}

/// What writers know of the growth.
#[derive(Debug, Default)]
struct Progress {
    /// Sets divided since it doubled, of all before.
    divided: usize,
    /// How many walk through all sets: nothing is moved meanwhile.
    walkers: u32,
    /// Entries that found their pair full since it has doubled.
    overflows: u32,
    /// Whether less than half of the table was in use when that was last looked at.
    sparse: bool,
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
            writing: Writing::default(),
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

    /// All sets that may hold an entry with this hash: while the table grows the pair that its home is divided from, then
    /// its home and the other of that pair.
    pub(super) fn homes(&self, hash: u64) -> impl Iterator<Item = (usize, Set<'_, W>)> {
        let (now, before) = self.masks();
        let (home, former) = (self.place(hash, now), self.place(hash, before));
        let moves = pair(home) != pair(former);
        let pairs = moves.then_some(former).into_iter().chain([home]);
        pairs
            .flat_map(|index| [index, index ^ 1])
            .filter_map(|index| Some((index, self.get(index)?)))
    }

    /// Entries moved so far. Who reads the same before and after looking at [`Growing::homes`] and finds them at rest
    /// has missed nothing.
    pub(super) fn moves(&self) -> u64 {
        self.writing.moves.load(Acquire)
    }

    /// Enters an answer, in place of what it replaces; also lets the table grow. `None` as [`Set::insert`].
    pub(super) fn insert(
        &self,
        new: &NewEntry<'_>,
        hash: u64,
        spare: &mut Spare<'_>,
    ) -> Option<Entered> {
        let mut progress = self.writers();
        let mut evicted = self.divide_some(&mut progress, spare);
        let entered = |evicted, lodged| Some(Entered { evicted, lodged });
        if self.enter(new, hash)? {
            return entered(evicted, false);
        }
        if !self.grows() && self.is_sparse(&mut progress) && self.lodge(new, hash, spare) {
            return entered(evicted, true);
        }
        if let Some(more) = self.make_room(&mut progress, hash, spare) {
            evicted += more;
            if self.enter(new, hash)? {
                return entered(evicted, false);
            }
        }
        // Full in spite of its growth.
        if self.grows() && self.lodge(new, hash, spare) {
            return entered(evicted, true);
        }
        let home = self.home(hash);
        evicted += self.get(home)?.insert(new)?;
        self.forget_elsewhere(new, hash, Some(home));
        entered(evicted, false)
    }

    /// Enters an answer for which another table has no room, if no live entry has to go for it; whether it did.
    pub(super) fn insert_if_room(&self, new: &NewEntry<'_>, hash: u64, hasher: KeyHasher) -> bool {
        let mut progress = self.writers();
        let enter = || self.enter(new, hash) == Some(true);
        let mut spare = Spare {
            hasher,
            dead_at: new.dead_at,
            lodge: &mut |_, _| false,
        };
        enter() || self.make_room(&mut progress, hash, &mut spare).is_some() && enter()
    }

    /// Enters an answer into its home or the other of that pair, if there is room for it, and then removes what it
    /// replaces elsewhere; whether there was. `None`: other writers hold a set.
    fn enter(&self, new: &NewEntry<'_>, hash: u64) -> Option<bool> {
        let home = self.home(hash);
        let entered = self.enter_pair(new, home).ok()?;
        if entered.is_some() {
            self.forget_elsewhere(new, hash, entered);
        }
        Some(entered.is_some())
    }

    /// Enters an answer into a set or the other of its pair, if there is room for it; into which.
    fn enter_pair(&self, new: &NewEntry<'_>, index: usize) -> Result<Option<usize>, Unwritable> {
        for index in [index, index ^ 1] {
            let entered = match self.get(index) {
                Some(set) => set.insert_if_room(new).ok_or(Unwritable)?,
                // The last of an odd number stands alone.
                None => false,
            };
            if entered {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Enters an answer into the other table, and then removes what it replaces here; whether there was room.
    fn lodge(&self, new: &NewEntry<'_>, hash: u64, spare: &mut Spare<'_>) -> bool {
        let lodged = (spare.lodge)(new, hash);
        if lodged {
            self.forget_elsewhere(new, hash, None);
        }
        lodged
    }

    /// Removes what the answer replaces, but from the set that it was entered into.
    pub(super) fn forget_elsewhere(&self, new: &NewEntry<'_>, hash: u64, entered: Option<usize>) {
        let others = self.homes(hash);
        let others = others.filter(|(index, set)| Some(*index) != entered && set.may_hold(new.tag));
        for (_, set) in others {
            self.count_move();
            set.forget(new);
        }
    }

    /// What was entered by now is seen by all who see what is removed after this.
    fn count_move(&self) {
        self.writing.moves.fetch_add(1, Release);
    }

    /// As [`Growing::forget_elsewhere`], of what was entered into another table.
    pub(super) fn forget(&self, new: &NewEntry<'_>, hash: u64) {
        let _still = self.writers();
        self.forget_elsewhere(new, hash, None);
    }

    /// Changes the sets that may hold an entry with this hash, with nothing moved meanwhile.
    pub(super) fn change(&self, hash: u64, change: impl Fn(Set<'_, W>)) {
        let _still = self.writers();
        self.homes(hash).for_each(|(_, set)| change(set));
    }

    /// Sees all sets in use, one after the other, with nothing moved meanwhile; while one is seen, nobody writes. What is
    /// entered while this lasts may be in sets seen before.
    pub(super) fn walk(&self, mut see: impl FnMut(Set<'_, W>)) {
        self.writers().walkers += 1;
        for index in 0..self.len() {
            let _still = self.writers();
            self.get(index).into_iter().for_each(&mut see);
        }
        self.writers().walkers -= 1;
    }

    #[inline]
    fn place(&self, hash: u64, mask: u32) -> usize {
        let first = ((hash >> 32) * self.base as u64) >> 32;
        let division = (hash >> TAG_BITS) & u64::from(mask);
        (first + division * self.base as u64) as usize
    }

    fn masks(&self) -> (u32, u32) {
        let masks = self.masks.load(Acquire);
        (masks as u32, (masks >> 32) as u32)
    }

    fn writers(&self) -> MutexGuard<'_, Progress> {
        let progress = &self.writing.progress;
        progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Divides the full pair in which a hash has its home, for which the table begins to double if it must; how many live
    /// entries had to go. `None`: it can't be divided.
    fn make_room(
        &self,
        progress: &mut Progress,
        hash: u64,
        spare: &mut Spare<'_>,
    ) -> Option<usize> {
        let index = self.home(hash);
        let (now, before) = self.masks();
        if progress.walkers > 0 || now == self.greatest_mask && now == before {
            return None;
        }
        if now == before {
            progress.divided = 0;
            let doubled = u64::from(now) << 1 | 1;
            self.masks.store(doubled | u64::from(before) << 32, Release);
        }
        let waits = (progress.divided..self.undivided()).contains(&index);
        waits.then(|| self.divide(index, spare) + self.divide(index ^ 1, spare))
    }

    /// Whether sets are being divided.
    fn grows(&self) -> bool {
        let (now, before) = self.masks();
        now != before
    }

    /// Whether less than half of the table is in use, by some of its sets; looked at with some of the entries that find
    /// their pair full.
    fn is_sparse(&self, progress: &mut Progress) -> bool {
        if progress.overflows.is_multiple_of(OVERFLOWS_A_LOOK) {
            let step = self.len().div_ceil(SETS_A_LOOK).max(1);
            let sets = (0..self.len()).step_by(step);
            let used = sets.clone().filter_map(|index| self.get(index));
            let used: usize = used.map(|set| set.census().1).sum();
            progress.sparse = used * 2 < sets.len() * Sets::<W>::SET_BYTES;
        }
        progress.overflows = progress.overflows.wrapping_add(1);
        progress.sparse
    }

    /// How many sets there were before the table doubled, as long as not all are divided.
    fn undivided(&self) -> usize {
        self.base * (self.masks().1 as usize + 1)
    }

    /// Divides the next sets, if the table grows; how many live entries had to go.
    fn divide_some(&self, progress: &mut Progress, spare: &mut Spare<'_>) -> usize {
        if !self.grows() || progress.walkers > 0 {
            return 0;
        }
        let all = self.undivided();
        let next = progress.divided..all.min(progress.divided + DIVIDED_AT_A_TIME);
        progress.divided = next.end;
        let evicted = next.map(|index| self.divide(index, spare)).sum();
        if progress.divided == all {
            progress.overflows = 0;
            let now = u64::from(self.masks().0);
            self.masks.store(now << 32 | now, Release);
        }
        evicted
    }

    /// Moves what no longer belongs into a set's pair: first it is in both places, then in the new one only, so that
    /// readers find it. How many live entries had to go.
    fn divide(&self, index: usize, spare: &mut Spare<'_>) -> usize {
        let Some(set) = self.get(index) else {
            return 0;
        };
        let hasher = spare.hasher;
        let home = |key: &Key<'_>| self.home(hasher.hash(key));
        let (mut moved, mut evicted) = (false, 0);
        set.each(spare.dead_at, |entry| {
            let home = home(&entry.key);
            if pair(home) == pair(index) {
                return;
            }
            moved = true;
            // What came since the table began to double may have filled the new pair.
            if matches!(self.enter_pair(entry, home), Ok(None))
                && !(spare.lodge)(entry, hasher.hash(&entry.key))
                && let Some(other) = self.get(home)
            {
                evicted += other.insert(entry).unwrap_or(0);
            }
        });
        if moved {
            self.count_move();
            set.keep(|key| pair(home(key)) == pair(index));
        }
        evicted
    }
}

/// What became of an answer that was entered.
pub(super) struct Entered {
    /// Live entries that had to go.
    pub(super) evicted: usize,
    /// Whether the other table has taken it.
    pub(super) lodged: bool,
}

/// Other writers hold a set.
struct Unwritable;

/// How room is made.
pub(super) struct Spare<'a> {
    pub(super) hasher: KeyHasher,
    /// What has expired by then is of no use any more.
    pub(super) dead_at: u32,
    /// Offers an entry with this hash to another table; whether that has taken it.
    pub(super) lodge: &'a mut dyn FnMut(&NewEntry<'_>, u64) -> bool,
}

/// Which pair a set is of.
fn pair(index: usize) -> usize {
    index >> 1
}

/// A table that may be larger starts with this, or up to twice as much.
const START_BYTES: usize = 2 << 20;
/// Sets divided with each entry that comes: some 30 microseconds' work.
const DIVIDED_AT_A_TIME: usize = 8;
/// Sets that are looked at to say how full a table is,
const SETS_A_LOOK: usize = 64;
/// with one in so many entries that find their pair full.
const OVERFLOWS_A_LOOK: u32 = 16;
/// The lowest bits of a hash are the tag.
const TAG_BITS: u32 = 16;
/// Bits of a hash between the tag and the upper half.
const HASH_BITS: u32 = 16;
