//! How the C library of an engine shall deal with memory.

/// The environment variable with its settings, `name=value` with colons between.
pub(super) const TUNABLES: &str = "GLIBC_TUNABLES";

/// libunbound allocates and frees some dozens of small pieces for a question, in bursts as long as there are questions in
/// flight. What a thread keeps of them for itself costs no lock: by default 7 of each size, at most 127.
const THREAD_CACHE: &str = "glibc.malloc.tcache_count=127";

/// The settings for an engine: ours beside those of our own process, unless those say otherwise.
pub(super) fn tunables(own: Option<String>) -> String {
    match own {
        Some(own) if own.contains("glibc.malloc.tcache_count") => own,
        Some(own) if !own.is_empty() => format!("{own}:{THREAD_CACHE}"),
        _ => THREAD_CACHE.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_user_has_set_stays() {
        let other = "glibc.malloc.arena_max=1";
        let same = "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1";
        assert_eq!(tunables(None), THREAD_CACHE);
        assert_eq!(tunables(Some(String::new())), THREAD_CACHE);
        assert_eq!(
            tunables(Some(other.to_owned())),
            format!("{other}:{THREAD_CACHE}")
        );
        assert_eq!(tunables(Some(same.to_owned())), same);
    }
}
