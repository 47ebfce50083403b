use sluicegate_answer::{Exceeded, Packets, Policy};
use sluicegate_conf::{Config, RateLimitConfig};
use sluicegate_engine::Summary;

use crate::listen::{ListenSet, Transport};

/// One frame of AF_XDP's buffers, in bytes.
const CHUNK_BYTES: u64 = 2048;

/// Says what serves where.
pub(super) fn announce_addresses(listen: &ListenSet, workers: usize) {
    let served = [
        (Transport::Udp, format!("{workers} workers")),
        (Transport::Tcp, "one thread".to_owned()),
    ];
    for (transport, by) in served {
        let bound = listen.bound().filter(|(_, bound)| *bound == transport);
        let addresses: Vec<_> = bound.map(|(address, _)| address.to_string()).collect();
        if !addresses.is_empty() {
            tracing::info!("{transport} on {} ({by})", addresses.join(", "));
        }
    }
}

/// Says how much memory the configuration allows, with so many AF_XDP queues as are served now.
pub(super) fn announce_memory(config: &Config, engine: &Summary, workers: usize, queues: u32) {
    tracing::info!("{}", memory(config, engine, workers, queues));
}

/// Says which clients have exceeded `ip-ratelimit` since this was called last, in Unbound's words.
pub(super) fn announce_exceeded(policy: &Policy) {
    let Some(limit) = policy.rate_limit() else {
        return;
    };
    let Exceeded { clients, times } = limit.take_exceeded();
    for client in &clients {
        tracing::info!("ip_ratelimit exceeded {client} {}", limit.queries_per_sec());
    }
    if times > clients.len() as u64 {
        tracing::info!(
            "ip_ratelimit exceeded {times} times in all, by these and others, since this was told last"
        );
    }
}

fn memory(config: &Config, engine: &Summary, workers: usize, queues: u32) -> String {
    let engine_limit = engine.memory_bytes;
    let (cache, engine) = (config.cache.size_bytes, engine_bytes(engine));
    let queue = u64::from(config.xdp.frames) * CHUNK_BYTES;
    let all_queues = queue * u64::from(queues);
    let replies = Packets::BYTES * (workers as u64 + u64::from(queues));
    let clients = clients_bytes(config.rate_limit);
    let counted = match clients {
        0 => String::new(),
        _ => format!(", {} to count clients in", mebibytes(clients)),
    };
    format!(
        "memory: {} in caches and queues: {} in caches (answers {}, engine {}, workers {}), {} in AF_XDP queues ({queues} \
         of {}){counted}; for questions under way and all else that it needs the engine may take up to {} in all",
        mebibytes(cache + engine + replies + all_queues + clients),
        mebibytes(cache + engine + replies),
        mebibytes(cache),
        mebibytes(engine),
        mebibytes(replies),
        mebibytes(all_queues),
        mebibytes(queue),
        mebibytes(engine_limit),
    )
}

fn engine_bytes(engine: &Summary) -> u64 {
    let thread = engine.message_cache_bytes
        + engine.rrset_cache_bytes
        + engine.key_cache_bytes
        + engine.negative_cache_bytes;
    match engine.threads {
        // Beside a single one there is a context for refreshes, which has one part in eight.
        1 => thread + thread / 7,
        threads => u64::from(threads) * thread,
    }
}

/// What `ip-ratelimit` takes.
fn clients_bytes(limit: RateLimitConfig) -> u64 {
    if limit.queries_per_sec == 0 {
        0
    } else {
        limit.size_bytes
    }
}

/// In MiB, with one decimal.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engine_caches_add_up_over_its_threads() {
        let engine = Summary {
            threads: 3,
            message_cache_bytes: 4 << 20,
            rrset_cache_bytes: 2 << 20,
            key_cache_bytes: 1 << 20,
            negative_cache_bytes: 1 << 20,
            memory_bytes: 200 << 20,
            ..Summary::default()
        };
        assert_eq!(mebibytes(engine_bytes(&engine)), "24.0 MiB");
        let alone = Summary {
            threads: 1,
            message_cache_bytes: 3 << 20,
            ..engine.clone()
        };
        assert_eq!(mebibytes(engine_bytes(&alone)), "8.0 MiB");
        assert_eq!(mebibytes(1_600_000), "1.5 MiB");
        let mut config = Config::default();
        config.cache.size_bytes = 8 << 20;
        config.xdp.frames = 8192;
        let replies = mebibytes(4 * Packets::BYTES);
        let all = mebibytes(4 * Packets::BYTES + (64 << 20));
        let caches = mebibytes(4 * Packets::BYTES + (32 << 20));
        assert_eq!(
            memory(&config, &engine, 2, 2),
            format!(
                "memory: {all} in caches and queues: {caches} in caches (answers 8.0 MiB, engine 24.0 MiB, workers {replies}), \
                 32.0 MiB in AF_XDP queues (2 of 16.0 MiB); for questions under way and all else that it needs the engine may \
                 take up to 200.0 MiB in all"
            )
        );
        config.rate_limit.queries_per_sec = 100;
        let counted = memory(&config, &engine, 2, 2);
        assert!(counted.contains("(2 of 16.0 MiB), 4.0 MiB to count clients in;"));
    }
}
