//! Memory that is asked for before it is read.

/// Asks for the cache line of an element, if there is one, and goes on without it. Where no safe function does that,
/// nothing is done.
#[inline]
pub(crate) fn prefetch<T>(elements: &[T], at: usize) {
    #[cfg(target_arch = "x86_64")]
    if let Some(element) = elements.get(at) {
        safe_arch::prefetch_t0(element);
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (elements, at);
}
