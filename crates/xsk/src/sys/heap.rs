#![allow(unsafe_code)]

/// Gives the kernel back what the C library holds of freed memory, for later use (`malloc_trim(3)`; glibc alone).
///
/// Having freed some megabytes once, glibc keeps as many at hand for ever.
pub(crate) fn give_back_freed_memory() {
    #[cfg(target_env = "gnu")]
    // SAFETY: takes a number; touches only memory that nobody has allocated, under the allocator's own locks.
    unsafe {
        libc::malloc_trim(0);
    }
}
