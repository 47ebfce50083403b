//! What each context gets of the caches and the open files.

use crate::ffi::{Context, ContextError};
use crate::wire::Summary;

/// A context's part of what the configuration gives the whole engine: `parts` of `whole`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Share {
    parts: u64,
    whole: u64,
    role: Role,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Clients' questions are spread over these.
    Resolves,
    /// Beside a single one of those: asked for refreshes only.
    Refreshes,
}

/// Descriptors for other things than upstreams: standard streams, sockets, epoll sets, files being read.
const OTHER_FILES: u64 = 64;
/// The smallest share of a cache that a context gets, unless the whole is less.
const MIN_CACHE_BYTES: u64 = 64 << 10;
/// One part in so many is for the context that only refreshes.
const REFRESHING_PART: u64 = 8;

impl Share {
    /// The shares of `contexts`: equal ones for the threads that questions are spread over, and a small one
    /// for a context beyond them.
    pub(super) fn of_all(threads: u64, contexts: u64) -> impl Iterator<Item = Self> {
        let threads = threads.max(1);
        let (parts, whole) = if contexts > threads {
            (REFRESHING_PART - 1, REFRESHING_PART * threads)
        } else {
            (1, threads)
        };
        (0..contexts).map(move |number| {
            let (parts, role) = if number < threads {
                (parts, Role::Resolves)
            } else {
                (1, Role::Refreshes)
            };
            Self { parts, whole, role }
        })
    }

    /// The share of `amount`.
    fn of(self, amount: u64) -> u64 {
        let share = u128::from(amount) * u128::from(self.parts) / u128::from(self.whole);
        share as u64 // at most `amount`
    }
}

/// Gives a context its share of the caches and of the open files; what a thread that resolves has got goes
/// into `summary`. Returns the `outgoing-range` that was wanted.
///
/// # Errors
/// libunbound's own, for an option it does not know.
pub(super) fn divide(
    context: &mut Context,
    share: Share,
    summary: &mut Summary,
) -> Result<u64, ContextError> {
    let mut got = Summary {
        open_files: summary.open_files,
        ..Summary::default()
    };
    let caches = [
        ("msg-cache-size", &mut got.message_cache_bytes),
        ("rrset-cache-size", &mut got.rrset_cache_bytes),
        ("key-cache-size", &mut got.key_cache_bytes),
        ("neg-cache-size", &mut got.negative_cache_bytes),
    ];
    for (option, bytes) in caches {
        let mut whole = number(context, option)?;
        if option == "msg-cache-size" {
            whole = messages_of(whole);
        }
        *bytes = share.of(whole).max(MIN_CACHE_BYTES.min(whole));
        context.set_option(option, &bytes.to_string())?;
    }
    got.infra_hosts = share.of(number(context, "infra-cache-numhosts")?).max(1);
    context.set_option("infra-cache-numhosts", &got.infra_hosts.to_string())?;

    let streams = number(context, "outgoing-num-tcp")?;
    // This one is for each thread, in Unbound too.
    let mut wanted = number(context, "outgoing-range")?;
    if share.role == Role::Refreshes {
        wanted = (wanted / REFRESHING_PART).max(1);
    }
    got.outgoing_range = wanted.min(upstream_sockets(share.of(got.open_files), streams));
    context.set_option("outgoing-range", &got.outgoing_range.to_string())?;
    if share.role == Role::Resolves {
        *summary = Summary {
            threads: summary.threads,
            val_log_level: summary.val_log_level,
            notes: std::mem::take(&mut summary.notes),
            ..got
        };
    }
    Ok(wanted)
}

/// The engine's part of `msg-cache-size`.
///
/// Clients' answers stand in the server's own cache, which has that size. A second copy of each in libunbound would
/// hardly ever be looked at: both expire at the same time. What is left for it are the messages it asks for itself, on
/// the way to an answer: addresses of name servers, DS, DNSKEY.
fn messages_of(whole: u64) -> u64 {
    (whole / OWN_MESSAGES_PART).max(OWN_MESSAGES_BYTES.min(whole))
}

/// One part in so many of the message cache is for the engine's own questions.
const OWN_MESSAGES_PART: u64 = 16;
/// It gets so much at least, if there is as much.
const OWN_MESSAGES_BYTES: u64 = 2 << 20;

/// How much private memory the contexts may come to need: full caches, a question in every place, and what a
/// thread needs anyway. Only an error or an attack needs more.
pub(super) fn memory_bytes(summary: &Summary, contexts: u64, questions_per_thread: u64) -> u64 {
    let caches = summary.message_cache_bytes
        + summary.rrset_cache_bytes
        + summary.key_cache_bytes
        + summary.negative_cache_bytes
        + summary.infra_hosts.saturating_mul(HOST_BYTES);
    let thread = caches
        .saturating_mul(2) // what the allocator loses between the entries
        .saturating_add(questions_per_thread.saturating_mul(QUESTION_BYTES))
        .saturating_add(summary.outgoing_range.saturating_mul(SOCKET_BYTES))
        .saturating_add(THREAD_BYTES);
    contexts.saturating_mul(thread)
}

/// An entry of the infrastructure cache.
const HOST_BYTES: u64 = 1 << 10;
/// A question in flight with those it led to: libunbound takes memory for each in pieces of 8 KiB.
const QUESTION_BYTES: u64 = 96 << 10;
/// A UDP socket to an upstream, as libunbound keeps it.
const SOCKET_BYTES: u64 = 1 << 10;
/// Stack, buffers, answers on their way.
const THREAD_BYTES: u64 = 32 << 20;

/// How many UDP sockets to upstreams a context with so many files may open.
fn upstream_sockets(files: u64, streams: u64) -> u64 {
    files.saturating_sub(OTHER_FILES + streams).max(1)
}

/// An option that is a number.
pub(super) fn number(context: &Context, option: &str) -> Result<u64, ContextError> {
    Ok(context.option(option)?.trim().parse().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_never_exceed_the_whole() {
        for (threads, contexts) in [(1, 2), (2, 2), (3, 3), (128, 128), (1, 1)] {
            let shares: Vec<Share> = Share::of_all(threads, contexts).collect();
            assert_eq!(shares.len() as u64, contexts);
            let sum: u64 = shares.iter().map(|share| share.of(1 << 30)).sum();
            assert!(sum <= 1 << 30 && sum > (1 << 30) - contexts, "{sum}");
        }
        let pair: Vec<Share> = Share::of_all(1, 2).collect();
        assert_eq!((pair[0].of(800), pair[1].of(800)), (700, 100));
        assert_eq!(pair[0].of(u64::MAX), u64::MAX / 8 * 7 + 6);
    }

    #[test]
    fn the_engine_keeps_few_messages() {
        let megabytes = |whole: u64| messages_of(whole << 20) >> 20;
        assert_eq!([1, 2, 4, 64, 4096].map(megabytes), [1, 2, 2, 4, 256]);
        assert_eq!(messages_of(1), 1);
    }

    #[test]
    fn sockets_are_cut_to_the_open_files() {
        assert_eq!(upstream_sockets(1024, 10), 950);
        assert_eq!(upstream_sockets(256, 10), 182);
        assert_eq!(upstream_sockets(16, 10), 1);
        assert!(upstream_sockets(u64::MAX / 128, 10) > 1 << 50);
    }
}
