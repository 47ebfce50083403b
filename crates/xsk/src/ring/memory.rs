#![allow(unsafe_code)]

use super::AtomicU32;

/// The memory of one ring: two indices, flags, slots.
///
/// A trait only so that the protocol can be run on loom's memory.
///
/// # Safety
/// `size` is a power of two and never changes. The three words and all slots stay valid as long as the value lives.
pub(crate) unsafe trait Memory<T: Copy> {
    /// The index up to which slots are filled.
    fn producer(&self) -> &AtomicU32;
    /// The index up to which slots are taken.
    fn consumer(&self) -> &AtomicU32;
    /// `XDP_RING_NEED_WAKEUP`.
    fn flags(&self) -> &AtomicU32;
    /// The number of slots.
    fn size(&self) -> u32;

    /// Reads the slot of `index`.
    ///
    /// # Safety
    /// The slot must be the caller's by the index protocol, and hold a value.
    unsafe fn read(&self, index: u32) -> T;

    /// Writes the slot of `index`.
    ///
    /// # Safety
    /// The slot must be the caller's by the index protocol.
    unsafe fn write(&self, index: u32, value: T);
}

#[cfg(not(loom))]
pub(crate) use shared::SharedRing;

#[cfg(not(loom))]
mod shared {
    use std::mem::{align_of, size_of};
    use std::os::fd::BorrowedFd;
    use std::ptr::NonNull;

    use super::{AtomicU32, Memory};
    use crate::sys::{Errno, Mapping, RingKind, RingLayout};

    /// A ring in memory shared with the kernel, or (in tests) with a stand-in for it.
    #[derive(Debug)]
    pub(crate) struct SharedRing<T> {
        producer: NonNull<AtomicU32>,
        consumer: NonNull<AtomicU32>,
        flags: NonNull<AtomicU32>,
        slots: NonNull<T>,
        size: u32,
        /// Keeps the memory in place.
        _owner: Owner<T>,
    }

    #[derive(Debug)]
    enum Owner<T> {
        Mapped {
            _mapping: Mapping,
        },
        #[cfg(any(test, feature = "testing"))]
        Heap {
            _memory: std::sync::Arc<heap::HeapRing<T>>,
        },
        #[cfg(not(any(test, feature = "testing")))]
        #[expect(dead_code, reason = "makes the type parameter used")]
        Never(std::marker::PhantomData<T>),
    }

    // SAFETY: the pointers lead to memory that is kept by the value itself and does not move; the words are atomic, and
    // slots are reached only under the index protocol by the one producer or consumer that owns this value. T is plain data.
    unsafe impl<T: Send> Send for SharedRing<T> {}

    impl<T: Copy> SharedRing<T> {
        /// Maps a ring of `size` entries, which the socket has been told of before.
        pub(crate) fn map(
            socket: BorrowedFd<'_>,
            kind: RingKind,
            layout: &RingLayout,
            size: u32,
        ) -> Result<Self, Errno> {
            let invalid = Errno::new(libc::EINVAL);
            if !size.is_power_of_two() {
                return Err(invalid);
            }
            let slots_bytes = size_of::<T>().checked_mul(size as usize).ok_or(invalid)?;
            let len_bytes = layout.slots.checked_add(slots_bytes).ok_or(invalid)?;
            let mapping = Mapping::ring(socket, len_bytes, kind.page_offset())?;
            Ok(Self {
                producer: place(&mapping, layout.producer, 1)?,
                consumer: place(&mapping, layout.consumer, 1)?,
                flags: place(&mapping, layout.flags, 1)?,
                slots: place(&mapping, layout.slots, size as usize)?,
                size,
                _owner: Owner::Mapped { _mapping: mapping },
            })
        }
    }

    /// The address of `count` values of `U` at `offset`, checked to be inside the mapping and aligned.
    fn place<U>(mapping: &Mapping, offset: usize, count: usize) -> Result<NonNull<U>, Errno> {
        let bytes = size_of::<U>() * count;
        let fits = offset
            .checked_add(bytes)
            .is_some_and(|end| end <= mapping.len_bytes());
        if !fits || !offset.is_multiple_of(align_of::<U>()) {
            return Err(Errno::new(libc::EINVAL));
        }
        // SAFETY: the offset was just checked to be inside the mapping.
        Ok(unsafe { mapping.base().add(offset) }.cast())
    }

    // SAFETY: the constructors check that the size is a power of two and that words and slots lie in memory that the
    // value keeps.
    unsafe impl<T: Copy> Memory<T> for SharedRing<T> {
        fn producer(&self) -> &AtomicU32 {
            // SAFETY: valid, aligned, and kept by self; shared only as an atomic.
            unsafe { self.producer.as_ref() }
        }

        fn consumer(&self) -> &AtomicU32 {
            // SAFETY: valid, aligned, and kept by self; shared only as an atomic.
            unsafe { self.consumer.as_ref() }
        }

        fn flags(&self) -> &AtomicU32 {
            // SAFETY: valid, aligned, and kept by self; shared only as an atomic.
            unsafe { self.flags.as_ref() }
        }

        fn size(&self) -> u32 {
            self.size
        }

        unsafe fn read(&self, index: u32) -> T {
            // SAFETY: the masked index is below the size, so the slot is inside the memory that self keeps.
            let slot = unsafe { self.slots.add((index & (self.size - 1)) as usize) };
            // SAFETY: the slot is ours by the protocol (our caller's promise) and holds plain data. Volatile, since a
            // kernel that breaks the protocol must not make the compiler's second look differ from its first.
            unsafe { slot.read_volatile() }
        }

        unsafe fn write(&self, index: u32, value: T) {
            // SAFETY: the masked index is below the size, so the slot is inside the memory that self keeps.
            let slot = unsafe { self.slots.add((index & (self.size - 1)) as usize) };
            // SAFETY: the slot is ours by the protocol (our caller's promise), aligned and writable.
            unsafe { slot.write_volatile(value) };
        }
    }

    #[cfg(any(test, feature = "testing"))]
    mod heap {
        use std::cell::UnsafeCell;
        use std::sync::Arc;

        use super::{AtomicU32, NonNull, Owner, SharedRing};

        #[derive(Debug)]
        pub(super) struct HeapRing<T> {
            producer: AtomicU32,
            consumer: AtomicU32,
            flags: AtomicU32,
            slots: Box<[UnsafeCell<T>]>,
        }

        // SAFETY: the words are atomic; slots are reached only through SharedRing, under the index protocol.
        unsafe impl<T: Send> Sync for HeapRing<T> {}

        impl<T: Copy + Default> SharedRing<T> {
            /// Both ends of a ring on the heap, with both indices at `start`.
            pub(crate) fn heap(size: u32, start: u32) -> (Self, Self) {
                assert!(size.is_power_of_two(), "ring sizes are powers of two");
                let memory = Arc::new(HeapRing {
                    producer: AtomicU32::new(start),
                    consumer: AtomicU32::new(start),
                    flags: AtomicU32::new(0),
                    slots: (0..size).map(|_| UnsafeCell::new(T::default())).collect(),
                });
                (Self::on_heap(&memory), Self::on_heap(&memory))
            }

            fn on_heap(memory: &Arc<HeapRing<T>>) -> Self {
                // UnsafeCell<T> has the layout of T, and a pointer from the slice may reach all of it.
                let slots = memory.slots.as_ptr().cast_mut().cast::<T>();
                Self {
                    producer: NonNull::from(&memory.producer),
                    consumer: NonNull::from(&memory.consumer),
                    flags: NonNull::from(&memory.flags),
                    slots: NonNull::new(slots).expect("a boxed slice has an address"),
                    size: memory.slots.len() as u32,
                    _owner: Owner::Heap {
                        _memory: Arc::clone(memory),
                    },
                }
            }
        }
    }
}
