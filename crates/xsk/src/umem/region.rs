#![allow(unsafe_code)]

use std::ops::Range;
use std::ptr::NonNull;

use super::geometry::Geometry;
use crate::sys::{Advice, Errno, Mapping};

/// Whether the UMEM comes from the pool of huge pages, which the operator sets up (`vm.nr_hugepages`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HugePages {
    /// From the pool if it has enough pages, from ordinary memory otherwise.
    #[default]
    Try,
    /// From ordinary memory.
    Never,
}

/// What memory a queue got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryReport {
    /// Bytes of the UMEM.
    pub len_bytes: usize,
    /// Whether it is made of pages from the pool of huge pages.
    pub huge_pages: bool,
    /// The NUMA node that was asked for and could be preferred.
    pub numa_node: Option<u32>,
}

/// What memory is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MemoryOptions {
    pub(crate) huge_pages: HugePages,
    pub(crate) numa_node: Option<u32>,
}

/// The memory of a UMEM.
#[derive(Debug)]
pub(crate) struct Region {
    mapping: Mapping,
    geometry: Geometry,
}

impl Region {
    /// Maps memory, keeps it out of forks, prefers the node asked for, and touches all pages.
    pub(crate) fn new(
        geometry: Geometry,
        options: MemoryOptions,
    ) -> Result<(Self, MemoryReport), Errno> {
        let len_bytes = geometry.len_bytes();
        let (mapping, huge_pages) = map(len_bytes, options.huge_pages)?;
        mapping.advise(Advice::DontFork)?;
        let numa_node = options
            .numa_node
            .filter(|&node| mapping.prefer_node(node).is_ok());
        mapping.touch();
        let report = MemoryReport {
            len_bytes: mapping.len_bytes(),
            huge_pages,
            numa_node,
        };
        Ok((Self { mapping, geometry }, report))
    }

    pub(crate) const fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    pub(crate) const fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The bytes `range` of a frame.
    ///
    /// # Safety
    /// The frame is owned by user space: the kernel neither reads nor writes it, and no other reference to it exists
    /// as long as this one does.
    ///
    /// # Panics
    /// If there is no such frame or the range leaves the chunk; both are ruled out before any caller gets here.
    pub(crate) unsafe fn bytes_mut(&mut self, frame: u32, range: Range<u32>) -> &mut [u8] {
        let first = self.place(frame, &range);
        // SAFETY: the bytes lie in one live mapping that self owns, are initialised (mapped memory is), and are nobody
        // else's for the borrow, by our caller's promise.
        unsafe { std::slice::from_raw_parts_mut(first.as_ptr(), range.len()) }
    }

    /// The bytes `range` of a frame, to be read.
    ///
    /// # Safety
    /// The frame is owned by user space: the kernel doesn't write it, and no mutable reference to it exists as long as
    /// this one does.
    ///
    /// # Panics
    /// As [`Region::bytes_mut`].
    pub(crate) unsafe fn bytes(&self, frame: u32, range: Range<u32>) -> &[u8] {
        let first = self.place(frame, &range);
        // SAFETY: the bytes lie in one live mapping that self owns, are initialised (mapped memory is), and are written
        // by nobody for the borrow, by our caller's promise.
        unsafe { std::slice::from_raw_parts(first.as_ptr(), range.len()) }
    }

    /// The address of the first byte of a range, which is checked to lie inside its frame, and so inside the mapping.
    fn place(&self, frame: u32, range: &Range<u32>) -> NonNull<u8> {
        assert!(
            frame < self.geometry.frames()
                && range.start <= range.end
                && range.end <= self.geometry.chunk_bytes()
        );
        let start = self.geometry.address(frame, range.start) as usize;
        // SAFETY: frame and range were just checked, so the byte lies inside the mapping (or at its end, for an empty
        // range), which is at least `frames` chunks long.
        unsafe { self.mapping.base().add(start) }
    }
}

const HUGE_PAGE_BYTES: usize = 2 << 20;

fn map(len_bytes: usize, wanted: HugePages) -> Result<(Mapping, bool), Errno> {
    if wanted == HugePages::Try {
        // The length of a huge mapping must be whole pages. Whatever the reason for a no (an empty pool, a limit, no
        // such page size here), ordinary memory does as well.
        if let Ok(mapping) = Mapping::anonymous(len_bytes.next_multiple_of(HUGE_PAGE_BYTES), true) {
            return Ok((mapping, true));
        }
    }
    let mapping = Mapping::anonymous(len_bytes, false)?;
    if wanted == HugePages::Try {
        // Fewer TLB misses where the kernel has transparent huge pages; an advice only.
        let _ = mapping.advise(Advice::HugePages);
    }
    Ok((mapping, false))
}

#[cfg(test)]
mod tests {
    use super::{Geometry, HugePages, MemoryOptions, Region};

    /// With or without huge pages, every byte of every frame is there; which of the two it was is told.
    #[test]
    fn all_frames_are_usable() {
        let geometry = Geometry::new(1500, 2048, 0).expect("a geometry");
        for huge_pages in [HugePages::Try, HugePages::Never] {
            let options = MemoryOptions {
                huge_pages,
                numa_node: Some(0),
            };
            let (mut region, report) = Region::new(geometry, options).expect("three megabytes");
            for frame in 0..geometry.frames() {
                // SAFETY: no kernel and nobody else knows of this memory.
                let bytes = unsafe { region.bytes_mut(frame, 0..2048) };
                assert!(bytes.iter().all(|&byte| byte == 0));
                bytes.fill(frame as u8);
            }
            for frame in 0..geometry.frames() {
                // SAFETY: no kernel and nobody else knows of this memory.
                let bytes = unsafe { region.bytes(frame, 2000..2048) };
                assert!(bytes.iter().all(|&byte| byte == frame as u8));
            }
            let expected_bytes = if report.huge_pages {
                4 << 20
            } else {
                1500 * 2048
            };
            assert_eq!(report.len_bytes, expected_bytes);
            assert!(!(report.huge_pages && huge_pages == HugePages::Never));
            assert!(matches!(report.numa_node, None | Some(0)));
        }
    }

    #[test]
    #[should_panic(expected = "range.end <= ")]
    fn a_range_over_the_end_of_a_chunk_is_a_fault_of_this_crate() {
        let geometry = Geometry::new(8, 2048, 0).expect("a geometry");
        let (mut region, _) = Region::new(geometry, MemoryOptions::default()).expect("16 KiB");
        // SAFETY: no kernel and nobody else knows of this memory.
        let _ = unsafe { region.bytes_mut(0, 0..2049) };
    }
}
