use super::seqlock::AtomicU64;

/// Starts fetching the cache line of a word.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn prefetch(words: &[AtomicU64], at: usize) {
    crate::prefetch::prefetch(words, at);
}

/// As above, by reading the word: nothing else is safe there.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn prefetch(words: &[AtomicU64], at: usize) {
    use super::seqlock::Ordering::Relaxed;

    std::hint::black_box(words.get(at).map_or(0, |word| word.load(Relaxed)));
}
