use super::entry::{Key, Prefix, Variants, words_of};
use super::lanes::TAG_WORDS;
use super::seqlock::{AtomicU64, Ordering::Relaxed, begin_write};
use super::set::{
    COUNT_SHIFT, FIRST_OFFSET, FIRST_TAG, HAND_SHIFT, HEADER_WORDS, MAX_ENTRIES, OFFSET_WORDS,
    SEQUENCE, STATE, Set, TAIL_SHIFT, USED_SHIFT, prefix_of,
};

/// A new entry.
#[derive(Clone, Copy)]
pub(super) struct NewEntry<'a> {
    pub(super) key: Key<'a>,
    pub(super) tag: u16,
    pub(super) variants: Variants,
    pub(super) stored: &'a [u8],
    pub(super) stored_at: u32,
    pub(super) expires: u32,
    /// What has expired by then is of no use any more.
    pub(super) dead_at: u32,
    /// Whether it has been asked for already.
    pub(super) used: bool,
}

/// An entry as it stands in the cache, shown to who chooses what is to go.
pub(crate) struct Held<'a> {
    name: &'a [u8],
    prefix: Prefix,
    /// What is stored, and all behind it.
    rest: &'a [AtomicU64],
}

impl Held<'_> {
    /// The lower-cased wire form of the name that it stands under.
    pub(crate) fn name(&self) -> &[u8] {
        self.name
    }

    /// The view that it stands under.
    pub(crate) fn view(&self) -> u16 {
        Key::of(self.prefix, self.name).view()
    }

    /// What is stored, copied out.
    pub(crate) fn stored(&self) -> Vec<u8> {
        let words = self.rest.iter().take(self.prefix.stored_words());
        let octets = words.flat_map(|word| word.load(Relaxed).to_le_bytes());
        octets.take(self.prefix.stored_len()).collect()
    }
}

impl<const W: usize> Set<'_, W> {
    /// Enters an answer in place of what it replaces, and of what must go for it. `None` when another
    /// writer holds the set; else how many live entries had to go.
    ///
    /// The caller has seen to it that the entry fits an empty set.
    pub(super) fn insert(self, new: &NewEntry<'_>) -> Option<usize> {
        self.write(|log| {
            let was_used = log.remove_replaced(new) | new.used;
            let need = Self::units_for(new);
            let evicted = log.make_room(need, new.dead_at);
            log.append(new, need, was_used);
            evicted
        })
    }

    /// Enters an answer in place of what it replaces, if no other live entry has to go for it; whether it did. Else
    /// nothing is changed, and as a rule the set only read. `None` when another writer holds the set.
    pub(super) fn insert_if_room(self, new: &NewEntry<'_>) -> Option<bool> {
        let need = Self::units_for(new);
        if !self.may_get_room(new, need) {
            return Some(false);
        }
        self.write(|log| {
            if !log.fits_instead(new, need) {
                log.remove_dead(new.dead_at);
            }
            let fits = log.fits_instead(new, need);
            if fits {
                let was_used = log.remove_replaced(new) | new.used;
                // It has, and only closes gaps.
                log.make_room(need, new.dead_at);
                log.append(new, need, was_used);
            }
            fits
        })
    }

    /// Whether there is room for an entry, or anything dead or to be replaced; a hint. Reads only.
    fn may_get_room(self, new: &NewEntry<'_>, need: usize) -> bool {
        let state = self.words()[STATE].load(Relaxed);
        let count = (state >> COUNT_SHIFT & 0x3f) as usize;
        let units = (state >> USED_SHIFT) as usize;
        count < MAX_ENTRIES && units + need <= Self::UNITS
            || self.may_hold(new.tag)
            || (0..count).any(|lane| {
                let entry = self.words().get(self.start(lane)..).unwrap_or_default();
                prefix_of(entry).is_some_and(|prefix| prefix.expires() <= new.dead_at)
            })
    }

    /// Removes what the answer would replace, without entering it. Reads only, when there is nothing.
    pub(super) fn forget(self, new: &NewEntry<'_>) {
        if self.may_hold(new.tag) {
            self.write(|log| log.remove_replaced(new));
        }
    }

    /// Lets the expired entries of a key count as expired just now. Reads only, when there are none.
    pub(super) fn restart_expired(self, key: &Key<'_>, tag: u16, now_secs: u32) {
        if self.may_hold(tag) {
            self.write(|log| log.restart_expired(key, tag, now_secs));
        }
    }

    /// Removes the entries that are chosen; how many they were. Reads only, when there are none. Only while nobody else
    /// writes: then the lock is free.
    pub(super) fn remove_chosen(self, chosen: &mut impl FnMut(&Held<'_>) -> bool) -> usize {
        let header = Header::load(self.words());
        let mut marks = 0u64;
        for index in 0..header.count {
            let start = HEADER_WORDS + usize::from(header.starts[index]) * Self::UNIT_WORDS;
            let parts = parts(self.words().get(start..).unwrap_or_default());
            // What has no name is in a set that a panic left wrong.
            let is_gone = parts.is_none_or(|(prefix, name, rest)| {
                chosen(&Held {
                    name: &name_bytes(name)[..prefix.name_len()],
                    prefix,
                    rest,
                })
            });
            marks |= u64::from(is_gone) << index;
        }
        if marks == 0 {
            return 0;
        }
        self.write(|log| log.remove_marked(marks)).unwrap_or(0)
    }

    /// Shows every entry, which is to take the place of those that have expired by `dead_at`. Only while nobody writes.
    pub(super) fn each(self, dead_at: u32, mut see: impl FnMut(&NewEntry<'_>)) {
        let header = Header::load(self.words());
        let mut stored = Vec::new();
        for index in 0..header.count {
            let start = HEADER_WORDS + usize::from(header.starts[index]) * Self::UNIT_WORDS;
            let entry = self.words().get(start..).unwrap_or_default();
            let Some((prefix, name, rest)) = parts(entry) else {
                continue;
            };
            stored.clear();
            let words = rest.iter().take(prefix.stored_words());
            stored.extend(words.flat_map(|word| word.load(Relaxed).to_le_bytes()));
            see(&NewEntry {
                key: Key::of(prefix, &name_bytes(name)[..prefix.name_len()]),
                tag: header.tags[index],
                variants: prefix.variants(),
                stored: stored.get(..prefix.stored_len()).unwrap_or_default(),
                stored_at: prefix.stored_at(),
                expires: prefix.expires(),
                dead_at,
                used: header.used_marks >> index & 1 == 1,
            });
        }
    }

    /// Removes the entries whose key is not wanted.
    pub(super) fn keep(self, wanted: impl Fn(&Key<'_>) -> bool) {
        self.write(|log| {
            log.remove_where(|prefix, name| {
                !wanted(&Key::of(prefix, &name_bytes(name)[..prefix.name_len()]))
            })
        });
    }

    fn units_for(new: &NewEntry<'_>) -> usize {
        let words = Prefix::WORDS + new.key.name().len().div_ceil(8) + new.stored.len().div_ceil(8);
        words.div_ceil(Self::UNIT_WORDS)
    }

    fn write<R>(self, change: impl FnOnce(&mut Log<'_, W>) -> R) -> Option<R> {
        let _guard = begin_write(&self.words()[SEQUENCE])?;
        let mut log = Log {
            header: Header::load(self.words()),
            words: self.words(),
            finished: false,
        };
        let result = change(&mut log);
        log.finished = true;
        Some(result)
    }
}

/// A set that is being written: the header taken out, the log in place. Put back when dropped; a panic
/// on the way leaves an empty set, not a wrong one.
struct Log<'a, const W: usize> {
    header: Header,
    words: &'a [AtomicU64; W],
    finished: bool,
}

impl<const W: usize> Drop for Log<'_, W> {
    fn drop(&mut self) {
        if !self.finished {
            self.header = Header::EMPTY;
        }
        self.header.store(self.words);
    }
}

impl<const W: usize> Log<'_, W> {
    fn entry(&self, index: usize) -> &[AtomicU64] {
        let start =
            HEADER_WORDS + usize::from(self.header.starts[index]) * Set::<'_, W>::UNIT_WORDS;
        &self.words[start.min(W)..]
    }

    fn units(prefix: Prefix) -> usize {
        prefix.words().div_ceil(Set::<'_, W>::UNIT_WORDS)
    }

    /// Removes entries by prefix and name; how many went.
    fn remove_where(&mut self, mut gone: impl FnMut(Prefix, &[AtomicU64]) -> bool) -> usize {
        let before = self.header.count;
        let mut index = 0;
        while index < self.header.count {
            // A prefix is missing, or its name is, only in a set that a panic left wrong: drop it.
            let remove = match parts(self.entry(index)) {
                Some((prefix, name, _)) => gone(prefix, name).then(|| Self::units(prefix)),
                None => Some(0),
            };
            match remove {
                Some(units) => self.header.remove(index, units),
                None => index += 1,
            }
        }
        before - self.header.count
    }

    /// Removes entries by number, one bit each; how many went.
    fn remove_marked(&mut self, marks: u64) -> usize {
        let before = self.header.count;
        for index in (0..before).rev().filter(|index| marks >> index & 1 == 1) {
            let units = prefix_of(self.entry(index)).map_or(0, Self::units);
            self.header.remove(index, units);
        }
        before - self.header.count
    }

    /// Removes what the new entry replaces; whether that had been used.
    fn remove_replaced(&mut self, new: &NewEntry<'_>) -> bool {
        let mut was_used = false;
        let mut index = 0;
        while index < self.header.count {
            match self.replaced_units(index, new) {
                Some(units) => {
                    was_used |= self.header.used_marks >> index & 1 == 1;
                    self.header.remove(index, units);
                }
                None => index += 1,
            }
        }
        was_used
    }

    /// The size of an entry if the new one takes its place.
    fn replaced_units(&self, index: usize, new: &NewEntry<'_>) -> Option<usize> {
        if self.header.tags[index] != new.tag {
            return None; // without touching the entry's own cache lines
        }
        let entry = self.entry(index);
        let prefix = prefix_of(entry)?;
        let replaced = prefix.overlaps(new.variants) && is_under(entry, prefix, &new.key);
        replaced.then(|| Self::units(prefix))
    }

    fn restart_expired(&mut self, key: &Key<'_>, tag: u16, now_secs: u32) {
        for index in 0..self.header.count {
            if self.header.tags[index] != tag {
                continue;
            }
            let entry = self.entry(index);
            if let Some(prefix) = prefix_of(entry)
                && prefix.expires() < now_secs
                && is_under(entry, prefix, key)
            {
                entry[0].store(prefix.expired_at(now_secs).times, Relaxed);
            }
        }
    }

    /// Whether `need` units are free at the end of the log, or become so without a live entry's going.
    fn has_room(&mut self, need: usize, dead_at: u32) -> bool {
        if self.is_full(need) {
            self.remove_dead(dead_at);
        }
        let has_room = !self.is_full(need);
        if has_room && self.header.tail + need > Set::<'_, W>::UNITS {
            self.compact();
        }
        has_room
    }

    fn remove_dead(&mut self, dead_at: u32) {
        self.remove_where(|prefix, _| prefix.expires() <= dead_at);
    }

    fn is_full(&self, need: usize) -> bool {
        self.header.count == MAX_ENTRIES || self.header.units + need > Set::<'_, W>::UNITS
    }

    /// Whether the new entry of `need` units fits in once what it replaces is gone.
    fn fits_instead(&self, new: &NewEntry<'_>, need: usize) -> bool {
        let replaced = (0..self.header.count).filter_map(|index| self.replaced_units(index, new));
        let (count, units) = replaced.fold((0, 0), |(count, all), units| (count + 1, all + units));
        self.header.count - count < MAX_ENTRIES
            && self.header.units - units + need <= Set::<'_, W>::UNITS
    }

    /// Makes `need` units free at the end of the log: dead entries go first, then by SIEVE. How many live ones went.
    fn make_room(&mut self, need: usize, dead_at: u32) -> usize {
        let mut evicted = 0;
        while !self.has_room(need, dead_at) && self.header.count > 0 {
            let index = self.header.choose_victim();
            let units = prefix_of(self.entry(index)).map_or(0, Self::units);
            self.header.remove(index, units);
            evicted += 1;
        }
        evicted
    }

    /// Closes the gaps in the log. Entries stand in order of age, so each moves towards the start.
    fn compact(&mut self) {
        let mut tail = 0;
        for index in 0..self.header.count {
            let units = prefix_of(self.entry(index)).map_or(0, Self::units);
            let from =
                HEADER_WORDS + usize::from(self.header.starts[index]) * Set::<'_, W>::UNIT_WORDS;
            let to = HEADER_WORDS + tail * Set::<'_, W>::UNIT_WORDS;
            for word in 0..units * Set::<'_, W>::UNIT_WORDS {
                if let (Some(source), Some(target)) =
                    (self.words.get(from + word), self.words.get(to + word))
                {
                    target.store(source.load(Relaxed), Relaxed);
                }
            }
            self.header.starts[index] = tail as u8;
            tail += units;
        }
        self.header.tail = tail;
        self.header.units = tail;
    }

    fn append(&mut self, new: &NewEntry<'_>, units: usize, was_used: bool) {
        let start = HEADER_WORDS + self.header.tail * Set::<'_, W>::UNIT_WORDS;
        let prefix = Prefix::new(
            &new.key,
            new.variants,
            new.stored.len() as u16,
            new.stored_at,
            new.expires,
        );
        let content = [prefix.times, prefix.shape]
            .into_iter()
            .chain(words_of(new.key.name()))
            .chain(words_of(new.stored));
        for (word, value) in self.words[start..].iter().zip(content) {
            word.store(value, Relaxed);
        }
        self.header.push(new.tag, units, was_used);
    }
}

/// The prefix of an entry, the words of its name, and all behind them.
fn parts(entry: &[AtomicU64]) -> Option<(Prefix, &[AtomicU64], &[AtomicU64])> {
    let prefix = prefix_of(entry)?;
    let (name, rest) = entry
        .get(Prefix::WORDS..)?
        .split_at_checked(prefix.name_words())?;
    Some((prefix, name, rest))
}

/// A name from its words, with zeros behind it.
fn name_bytes(words: &[AtomicU64]) -> [u8; 256] {
    let mut bytes = [0; 256];
    for (chunk, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
        *chunk = word.load(Relaxed).to_le_bytes();
    }
    bytes
}

/// Whether an entry is stored under this key.
fn is_under(entry: &[AtomicU64], prefix: Prefix, key: &Key<'_>) -> bool {
    let mut name = words_of(key.name()).zip(&entry[Prefix::WORDS..]);
    prefix.is_of(key.ident()) && name.all(|(mine, stored)| mine == stored.load(Relaxed))
}

/// A set's header, taken out of its words.
struct Header {
    tags: [u16; MAX_ENTRIES + 4],
    starts: [u8; MAX_ENTRIES + 4],
    used_marks: u64,
    count: usize,
    hand: usize,
    /// First free unit.
    tail: usize,
    /// Units that hold entries.
    units: usize,
}

impl Header {
    const EMPTY: Self = Self {
        tags: [0; MAX_ENTRIES + 4],
        starts: [0; MAX_ENTRIES + 4],
        used_marks: 0,
        count: 0,
        hand: 0,
        tail: 0,
        units: 0,
    };

    fn load(words: &[AtomicU64]) -> Self {
        let mut header = Self::EMPTY;
        for word in 0..TAG_WORDS {
            let value = words[FIRST_TAG + word].load(Relaxed);
            for lane in 0..4 {
                header.tags[word * 4 + lane] = (value >> (lane * 16)) as u16;
            }
        }
        for word in 0..OFFSET_WORDS {
            let value = words[FIRST_OFFSET + word].load(Relaxed);
            header.starts[word * 8..word * 8 + 8].copy_from_slice(&value.to_le_bytes());
        }
        let state = words[STATE].load(Relaxed);
        header.used_marks = state & USED_MARKS;
        header.count = ((state >> COUNT_SHIFT & 0x3f) as usize).min(MAX_ENTRIES);
        header.hand = (state >> HAND_SHIFT & 0x3f) as usize;
        header.tail = (state >> TAIL_SHIFT & 0xff) as usize;
        header.units = (state >> USED_SHIFT) as usize;
        header
    }

    fn store(&self, words: &[AtomicU64]) {
        for word in 0..TAG_WORDS {
            let lanes = &self.tags[word * 4..word * 4 + 4];
            let value = lanes
                .iter()
                .rev()
                .fold(0, |value, &tag| value << 16 | u64::from(tag));
            words[FIRST_TAG + word].store(value, Relaxed);
        }
        for word in 0..OFFSET_WORDS {
            let lanes = &self.starts[word * 8..word * 8 + 8];
            let value = lanes
                .iter()
                .rev()
                .fold(0, |value, &start| value << 8 | u64::from(start));
            words[FIRST_OFFSET + word].store(value, Relaxed);
        }
        let state = self.used_marks & USED_MARKS
            | (self.count as u64) << COUNT_SHIFT
            | (self.hand as u64) << HAND_SHIFT
            | (self.tail as u64) << TAIL_SHIFT
            | (self.units as u64) << USED_SHIFT;
        words[STATE].store(state, Relaxed);
    }

    /// SIEVE: from the hand towards newer entries, the first that was not used since the hand last
    /// passed; the used ones on the way lose their mark. At most two rounds.
    fn choose_victim(&mut self) -> usize {
        loop {
            if self.hand >= self.count {
                self.hand = 0;
            }
            if self.used_marks >> self.hand & 1 == 0 {
                return self.hand;
            }
            self.used_marks &= !(1 << self.hand);
            self.hand += 1;
        }
    }

    fn remove(&mut self, index: usize, units: usize) {
        self.tags.copy_within(index + 1.., index);
        self.starts.copy_within(index + 1.., index);
        let below = (1u64 << index) - 1;
        self.used_marks = self.used_marks & below | self.used_marks >> 1 & !below;
        self.count -= 1;
        self.tags[self.count] = 0;
        self.units = self.units.saturating_sub(units);
        if self.hand > index {
            self.hand -= 1;
        }
        if self.count == 0 {
            self.tail = 0;
            self.units = 0;
        }
    }

    fn push(&mut self, tag: u16, units: usize, was_used: bool) {
        self.tags[self.count] = tag;
        self.starts[self.count] = self.tail as u8;
        self.used_marks &= !(1 << self.count);
        self.used_marks |= u64::from(was_used) << self.count;
        self.count += 1;
        self.tail += units;
        self.units += units;
    }
}

const USED_MARKS: u64 = (1 << MAX_ENTRIES) - 1;
