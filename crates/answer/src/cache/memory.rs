use memmap2::{Advice, MmapMut};
use self_cell::{MutBorrow, self_cell};
use zerocopy::FromBytes;

use super::seqlock::AtomicU64;
use super::set::Set;

/// The memory of one table: sets of `W` words, each on a boundary of two cache lines.
pub(super) struct Sets<const W: usize> {
    /// `None` where there is no set.
    mapping: Option<Mapping>,
    count: usize,
}

type Words<'m> = &'m [AtomicU64];

self_cell! {
    /// Memory of the system's, seen as words only.
    struct Mapping {
        owner: MutBorrow<MmapMut>,
        #[covariant]
        dependent: Words,
    }
}

impl<const W: usize> Sets<W> {
    /// Bytes of one set.
    pub(super) const SET_BYTES: usize = W * 8;

    /// So many sets.
    ///
    /// The memory comes zeroed from the system when it is first written to, in huge pages if the kernel has them to
    /// give (`/sys/kernel/mm/transparent_hugepage/enabled` says `madvise` or `always`): with small ones, each look-up
    /// in a large cache waits for the page tables too.
    ///
    /// # Panics
    ///
    /// When the system does not even promise the memory.
    pub(super) fn new(count: usize) -> Self {
        Self {
            mapping: (count > 0).then(|| Mapping::zeroed(count * Self::SET_BYTES)),
            count,
        }
    }

    /// All the bytes taken.
    pub(super) fn bytes(&self) -> usize {
        self.count * Self::SET_BYTES
    }

    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<Set<'_, W>> {
        let words = self.mapping.as_ref()?.borrow_dependent();
        words.get(index * W..)?.first_chunk::<W>().map(Set)
    }
}

impl Mapping {
    fn zeroed(bytes: usize) -> Self {
        let memory =
            MmapMut::map_anon(bytes).expect("memory for the answer cache, as msg-cache-size says");
        // A kernel without huge pages refuses: then the pages are small, which is slower, not wrong.
        if cfg!(not(miri)) {
            let _ = memory.advise(Advice::HugePage);
        }
        Self::new(MutBorrow::new(memory), |memory| {
            let words = <[AtomicU64]>::mut_from_bytes(memory.borrow_mut());
            words.expect("whole sets that begin with a page")
        })
    }
}
