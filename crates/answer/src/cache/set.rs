use super::entry::{Prefix, WordKey, are_same};
use super::lanes::holding;
use super::seqlock::{AtomicU64, Ordering::Relaxed, begin_read, end_read};
use crate::prefetch::prefetch;

/// One set: a header of 16 words and a log of entries, oldest first.
///
/// ```text
/// word  0        sequence (odd: being written)
/// words 1..10    tags, 16 bits each, 0 for none; in order of age
/// words 10..15   where each entry starts, 8 bits each, in units of (W-16)/255 words from word 16
/// word 15        state: 0..36 used since the last round, 36..42 entries, 42..48 SIEVE's hand,
///                48..56 first free unit, 56..64 units that hold entries
/// words 16..W    the log
/// ```
#[derive(Clone, Copy)]
pub(super) struct Set<'m, const W: usize>(pub(super) &'m [AtomicU64; W]);

/// What a look-up in one set found: the prefix of a live entry that was copied out, or nothing.
///
/// Two words, which come back in registers; an option of them would not.
#[derive(Clone, Copy)]
pub(super) struct Found(Prefix);

impl Found {
    const NOTHING: Self = Self(Prefix::NONE);
    /// Nobody knows: writers were at work all the time.
    const BUSY: Self = Self(Prefix::BUSY);

    #[inline]
    pub(super) fn prefix(self) -> Option<Prefix> {
        (!self.0.is_none()).then_some(self.0)
    }

    pub(super) fn is_busy(self) -> bool {
        self.0 == Prefix::BUSY
    }
}

/// What is looked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) key: WordKey<'a>,
    pub(super) tag: u16,
    /// The bit of the variant.
    pub(super) variant: u8,
    pub(super) now_secs: u32,
}

impl<'m, const W: usize> Set<'m, W> {
    /// Words of one unit of the log.
    pub(super) const UNIT_WORDS: usize = (W - HEADER_WORDS) / Self::UNITS;
    /// Units in the log; a word or two behind the last may stay unused.
    pub(super) const UNITS: usize = 255;

    pub(super) fn words(self) -> &'m [AtomicU64; W] {
        self.0
    }

    /// Its sequence number; `None` while a writer is at work.
    #[inline]
    pub(super) fn sequence(self) -> Option<u64> {
        begin_read(&self.0[SEQUENCE])
    }

    /// Fetches the header into the processor's cache; the value says nothing.
    #[inline]
    pub(super) fn touch(self) -> u64 {
        self.0[FIRST_TAG].load(Relaxed) ^ self.0[FIRST_OFFSET].load(Relaxed)
    }

    /// Starts fetching the first entry with this tag, once the header is there.
    #[inline]
    pub(super) fn touch_entry(self, tag: u16) {
        let lanes = self.lanes(tag);
        if lanes != 0 {
            let start = self.start(lanes.trailing_zeros() as usize);
            prefetch(self.0, start);
            prefetch(self.0, start + LINE_WORDS);
        }
    }

    /// The lanes with this tag.
    #[inline]
    fn lanes(self, tag: u16) -> u64 {
        holding(
            std::array::from_fn(|word| self.0[FIRST_TAG + word].load(Relaxed)),
            tag,
        )
    }

    /// Where an entry starts, in words of the set.
    #[inline]
    pub(super) fn start(self, lane: usize) -> usize {
        let units = self.0[FIRST_OFFSET + lane / 8].load(Relaxed) >> (lane % 8 * 8) & 0xff;
        HEADER_WORDS + units as usize * Self::UNIT_WORDS
    }

    /// As [`Set::read`], if no writer is at work just then; what is at hand where it is called stays in registers.
    #[expect(clippy::inline_always, reason = "called once on the way of a hit")]
    #[inline(always)]
    pub(super) fn read_at_once(self, wanted: &Wanted<'_>, out: &mut [u8]) -> Option<Prefix> {
        self.try_read(wanted, out)?.prefix()
    }

    /// Copies the wanted answer to `out`, which must hold a whole set's log.
    pub(super) fn read(self, wanted: &Wanted<'_>, out: &mut [u8]) -> Found {
        for _ in 0..READ_TRIES {
            if let Some(found) = self.try_read(wanted, out) {
                return found;
            }
            std::hint::spin_loop();
        }
        Found::BUSY
    }

    /// `None`: a writer was at work.
    #[expect(clippy::inline_always, reason = "called once on the way of a hit")]
    #[inline(always)]
    fn try_read(self, wanted: &Wanted<'_>, out: &mut [u8]) -> Option<Found> {
        let seen = begin_read(&self.0[SEQUENCE])?;
        let found = self.scan(wanted, out);
        if !end_read(&self.0[SEQUENCE], seen) {
            return None;
        }
        let Some((lane, prefix)) = found else {
            return Some(Found::NOTHING);
        };
        self.mark_used(lane);
        Some(Found(prefix))
    }

    /// Whether an entry with this tag may be in the set; a hint, for writers.
    pub(super) fn may_hold(self, tag: u16) -> bool {
        self.lanes(tag) != 0
    }

    /// Every value read here may be torn; [`Set::read`] finds that out afterwards.
    #[expect(clippy::inline_always, reason = "as `try_read`")]
    #[inline(always)]
    fn scan(self, wanted: &Wanted<'_>, out: &mut [u8]) -> Option<(usize, Prefix)> {
        let mut lanes = self.lanes(wanted.tag);
        while lanes != 0 {
            let lane = lanes.trailing_zeros() as usize;
            lanes &= lanes - 1;
            if let Some(prefix) = self.entry(lane, wanted, out) {
                return Some((lane, prefix));
            }
        }
        None
    }

    #[expect(clippy::inline_always, reason = "as `try_read`")]
    #[inline(always)]
    fn entry(self, lane: usize, wanted: &Wanted<'_>, out: &mut [u8]) -> Option<Prefix> {
        let entry = self.0.get(self.start(lane)..)?;
        let prefix = prefix_of(entry)?;
        if !prefix.is_of(wanted.key.ident)
            || !prefix.serves(wanted.variant)
            || prefix.expires() <= wanted.now_secs
        {
            return None;
        }
        // The names are equally long, as the idents are the same.
        let (name, rest) = entry[Prefix::WORDS..].split_at_checked(wanted.key.name.len())?;
        if !are_same(wanted.key.name, name) {
            return None;
        }
        let stored = rest.get(..prefix.stored_words())?;
        copy_out(stored, out.as_chunks_mut().0.get_mut(..stored.len())?);
        Some(prefix)
    }

    /// Marks an entry as used. Should the set have changed meanwhile, another entry may be marked: that
    /// costs an eviction decision, nothing else. Written only when not yet marked, so that hits of a
    /// popular name do not write to shared memory.
    #[inline]
    fn mark_used(self, lane: usize) {
        let bit = 1 << lane;
        if self.0[STATE].load(Relaxed) & bit == 0 {
            self.0[STATE].fetch_or(bit, Relaxed);
        }
    }

    /// Entries and bytes of the log in use, as of about now.
    pub(super) fn census(self) -> (usize, usize) {
        let state = self.0[STATE].load(Relaxed);
        let entries = (state >> COUNT_SHIFT & 0x3f) as usize;
        (
            entries,
            (state >> USED_SHIFT) as usize * Self::UNIT_WORDS * 8,
        )
    }
}

/// Copies words, as many there as here: four at a time, which most answers are.
#[inline]
fn copy_out(words: &[AtomicU64], out: &mut [[u8; 8]]) {
    let (fours, rest) = words.as_chunks::<4>();
    let (to_fours, to_rest) = out.as_chunks_mut::<4>();
    for (to, four) in to_fours.iter_mut().zip(fours) {
        *to = [0, 1, 2, 3].map(|at| four[at].load(Relaxed).to_le_bytes());
    }
    for (to, word) in to_rest.iter_mut().zip(rest) {
        *to = word.load(Relaxed).to_le_bytes();
    }
}

/// The first two words of an entry, if it has them.
#[inline]
pub(super) fn prefix_of(entry: &[AtomicU64]) -> Option<Prefix> {
    let [times, shape, ..] = entry else {
        return None;
    };
    Some(Prefix {
        times: times.load(Relaxed),
        shape: shape.load(Relaxed),
    })
}

/// Words of a cache line.
const LINE_WORDS: usize = 8;

/// Entries that one set can hold.
pub(super) const MAX_ENTRIES: usize = 36;

pub(super) const SEQUENCE: usize = 0;
pub(super) const FIRST_TAG: usize = 1;
pub(super) const FIRST_OFFSET: usize = 10;
pub(super) const OFFSET_WORDS: usize = 5;
pub(super) const STATE: usize = 15;
pub(super) const HEADER_WORDS: usize = 16;

pub(super) const COUNT_SHIFT: u32 = 36;
pub(super) const HAND_SHIFT: u32 = 42;
pub(super) const TAIL_SHIFT: u32 = 48;
pub(super) const USED_SHIFT: u32 = 56;

/// How often a reader that met a writer starts again before it reports a miss.
const READ_TRIES: usize = 16;
