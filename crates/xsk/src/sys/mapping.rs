#![allow(unsafe_code)]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::{self, NonNull};

use super::errno::Errno;

/// Memory from `mmap`, unmapped on drop. It never moves, and no reference to it is made here.
#[derive(Debug)]
pub(crate) struct Mapping {
    base: NonNull<u8>,
    len_bytes: usize,
}

/// What the kernel is asked to do with a mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Advice {
    /// Leave it out of children: a fork must not copy pages that a device writes to.
    DontFork,
    /// Back it with transparent huge pages.
    HugePages,
}

impl Mapping {
    /// Anonymous zeroed memory, its pages present; from the huge page pool if asked for.
    pub(crate) fn anonymous(len_bytes: usize, huge: bool) -> Result<Self, Errno> {
        let mut flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        if huge {
            // Pages of the pool must be there now: later a lack of them would be a SIGBUS.
            flags |= libc::MAP_HUGETLB | libc::MAP_POPULATE;
        }
        Self::map(len_bytes, flags, -1, 0)
    }

    /// A ring of a socket, shared with the kernel.
    pub(crate) fn ring(
        socket: BorrowedFd<'_>,
        len_bytes: usize,
        page_offset: i64,
    ) -> Result<Self, Errno> {
        let flags = libc::MAP_SHARED | libc::MAP_POPULATE;
        let mapping = Self::map(len_bytes, flags, socket.as_raw_fd(), page_offset)?;
        mapping.advise(Advice::DontFork)?;
        Ok(mapping)
    }

    fn map(len_bytes: usize, flags: i32, fd: i32, offset: i64) -> Result<Self, Errno> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: the kernel chooses the address (null hint, no MAP_FIXED), so no memory in use is replaced; length,
        // flags and descriptor are checked by the kernel.
        let base =
            unsafe { libc::mmap64(ptr::null_mut(), len_bytes, protection, flags, fd, offset) };
        if base == libc::MAP_FAILED {
            return Err(Errno::last());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or(Errno::new(libc::ENOMEM))?;
        Ok(Self { base, len_bytes })
    }

    /// Gives the kernel an advice on the whole mapping.
    pub(crate) fn advise(&self, advice: Advice) -> Result<(), Errno> {
        let advice = match advice {
            Advice::DontFork => libc::MADV_DONTFORK,
            Advice::HugePages => libc::MADV_HUGEPAGE,
        };
        // SAFETY: base and length are those of one live mapping of ours; neither advice changes what it holds here.
        let result = unsafe { libc::madvise(self.base.as_ptr().cast(), self.len_bytes, advice) };
        Errno::check(result.into()).map(drop)
    }

    /// Prefers memory of `node` for pages not yet present, and moves those that are (huge ones) there if possible.
    pub(crate) fn prefer_node(&self, node: u32) -> Result<(), Errno> {
        const MPOL_PREFERRED: libc::c_long = 1;
        const MPOL_MF_MOVE: libc::c_ulong = 1 << 1;
        const WORD_BITS: u32 = usize::BITS;
        const WORDS: usize = 16;
        let mut mask = [0usize; WORDS];
        let word = mask
            .get_mut((node / WORD_BITS) as usize)
            .ok_or(Errno::new(libc::EINVAL))?;
        *word = 1 << (node % WORD_BITS);
        // SAFETY: base and length are those of one live mapping of ours; the mask lives through the call and holds the
        // number of bits told (the kernel wants one more than it reads).
        let result = unsafe {
            libc::syscall(
                libc::SYS_mbind,
                self.base.as_ptr(),
                self.len_bytes,
                MPOL_PREFERRED,
                mask.as_ptr(),
                libc::c_ulong::from(WORD_BITS) * WORDS as libc::c_ulong,
                MPOL_MF_MOVE,
            )
        };
        Errno::check(result).map(drop)
    }

    /// Makes all pages present, from the calling thread, so that the first packet doesn't pay for it.
    pub(crate) fn touch(&self) {
        const PAGE_BYTES: usize = 4096;
        for offset in (0..self.len_bytes).step_by(PAGE_BYTES) {
            // SAFETY: offset is below the length of this live mapping, so the pointer stays inside it.
            let byte = unsafe { self.base.add(offset) };
            // SAFETY: the byte is writable memory of ours that nobody else has been told of yet.
            unsafe { byte.write_volatile(0) };
        }
    }

    /// The first byte.
    pub(crate) const fn base(&self) -> NonNull<u8> {
        self.base
    }

    /// The length in bytes, as asked for.
    pub(crate) const fn len_bytes(&self) -> usize {
        self.len_bytes
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: base and length are those of one live mapping, which only this value owns; whoever borrowed from it
        // (rings, UMEM) owns it and is gone with it. A failure would leak the memory, which is safe.
        let _ = unsafe { libc::munmap(self.base.as_ptr().cast(), self.len_bytes) };
    }
}

// SAFETY: the value is an address and a length of process-wide memory; any thread may use and unmap it.
unsafe impl Send for Mapping {}

#[cfg(test)]
mod tests {
    use super::{Advice, Mapping};

    #[test]
    fn anonymous_memory_is_usable_and_takes_advice() {
        let mapping = Mapping::anonymous(1 << 20, false).expect("a mebibyte of memory");
        mapping.advise(Advice::DontFork).expect("MADV_DONTFORK");
        mapping.touch();
        assert_eq!(mapping.len_bytes(), 1 << 20);
        assert_eq!(mapping.base().as_ptr() as usize % 4096, 0);
    }

    #[test]
    fn unknown_node_is_refused() {
        let mapping = Mapping::anonymous(4096, false).expect("a page");
        assert!(mapping.prefer_node(u32::MAX).is_err());
    }
}
