//! A sequence lock over words that are all atomic.
//!
//! Even: at rest. Odd: a writer is at work. The fences are those of Boehm, "Can seqlocks get along with
//! programming language memory models?" (MSPC 2012): the data is read and written relaxed between them.

#[cfg(loom)]
pub(super) use loom::sync::atomic::{AtomicU64, Ordering, fence};
#[cfg(not(loom))]
pub(super) use std::sync::atomic::{AtomicU64, Ordering, fence};

/// Starts a read: the sequence to compare with afterwards, or `None` while a writer is at work.
#[inline]
pub(super) fn begin_read(sequence: &AtomicU64) -> Option<u64> {
    let seen = sequence.load(Ordering::Acquire);
    (seen & 1 == 0).then_some(seen)
}

/// Ends a read: whether nothing that was read since [`begin_read`] can have been torn.
#[inline]
pub(super) fn end_read(sequence: &AtomicU64, seen: u64) -> bool {
    // Orders the relaxed loads of the data before the load of the sequence.
    fence(Ordering::Acquire);
    sequence.load(Ordering::Relaxed) == seen
}

/// Takes the writers' lock, or gives up after a bounded number of tries.
pub(super) fn begin_write(sequence: &AtomicU64) -> Option<WriteGuard<'_>> {
    for _ in 0..WRITE_TRIES {
        let seen = sequence.load(Ordering::Relaxed);
        if seen & 1 == 0
            && sequence
                .compare_exchange_weak(seen, seen + 1, Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
        {
            // Orders the store of the odd sequence before the relaxed stores of the data.
            fence(Ordering::Release);
            return Some(WriteGuard {
                sequence,
                locked: seen + 1,
            });
        }
        #[cfg(loom)]
        loom::thread::yield_now();
        #[cfg(not(loom))]
        std::hint::spin_loop();
    }
    None
}

/// The writers' lock of one set; unlocks when dropped.
pub(super) struct WriteGuard<'a> {
    sequence: &'a AtomicU64,
    locked: u64,
}

impl Drop for WriteGuard<'_> {
    fn drop(&mut self) {
        // 2^63 writes of one set do not happen; wrapping keeps the parity all the same.
        self.sequence
            .store(self.locked.wrapping_add(1), Ordering::Release);
    }
}

/// How often a writer looks at a busy set before it gives up. A write takes about a microsecond, so this
/// is long enough for one writer ahead of us, and short enough when that writer was descheduled.
const WRITE_TRIES: usize = if cfg!(loom) { 3 } else { 1024 };
