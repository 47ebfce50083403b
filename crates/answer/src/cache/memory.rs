use zerocopy::FromZeros;

use super::seqlock::AtomicU64;
use super::set::Set;

/// The memory of one table: sets of `W` words, each on a boundary of two cache lines.
pub(super) struct Sets<const W: usize> {
    words: Box<[AtomicU64]>,
    /// Words in front of the first set: the allocator knows nothing of cache lines.
    skipped: usize,
    count: usize,
}

impl<const W: usize> Sets<W> {
    /// Bytes of one set.
    pub(super) const SET_BYTES: usize = W * 8;

    /// As many sets as fit into so many bytes. The memory comes zeroed from the system, page by page as it
    /// is used; were it asked for with its alignment, the allocator would write the zeros itself.
    ///
    /// # Panics
    ///
    /// When the system does not even promise the memory.
    pub(super) fn within(bytes: u64) -> Self {
        let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
        let count = bytes.saturating_sub(ALIGN_BYTES) / Self::SET_BYTES;
        let words = if count == 0 {
            0
        } else {
            count * W + ALIGN_BYTES / 8
        };
        let words = <[AtomicU64]>::new_box_zeroed_with_elems(words)
            .expect("memory for the answer cache, as msg-cache-size says");
        let past = words.as_ptr().addr() % ALIGN_BYTES;
        Self {
            words,
            skipped: (ALIGN_BYTES - past) % ALIGN_BYTES / 8,
            count,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// All the bytes taken.
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.words)
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Set<'_, W>> {
        let start = self.skipped + index * W;
        self.words.get(start..)?.first_chunk::<W>().map(Set)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Set<'_, W>> {
        (0..self.count).filter_map(|index| self.get(index))
    }
}

/// Two cache lines: what a set's header takes, and what processors fetch together.
const ALIGN_BYTES: usize = 128;
