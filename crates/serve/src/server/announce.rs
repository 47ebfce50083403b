use sluicegate_conf::Config;

use crate::listen::{ListenSet, Transport};

/// Says what serves where, and how much memory it may take.
pub(super) fn announce(config: &Config, listen: &ListenSet, workers: usize) {
    for (transport, by) in [
        (Transport::Udp, format!("{workers} workers")),
        (Transport::Tcp, "one thread".to_owned()),
    ] {
        let addresses: Vec<_> = listen
            .bound()
            .filter(|(_, t)| *t == transport)
            .map(|(address, _)| address.to_string())
            .collect();
        if !addresses.is_empty() {
            tracing::info!("{transport} on {} ({by})", addresses.join(", "));
        }
    }
    let memory = Memory::of(config);
    tracing::info!(
        "memory: answer cache {}, engine caches {}, AF_XDP {} for each queue",
        mebibytes(memory.cache),
        mebibytes(memory.engine),
        mebibytes(memory.queue),
    );
}

/// The memory that the configuration allows, in bytes.
#[derive(Debug, PartialEq, Eq)]
struct Memory {
    cache: u64,
    engine: u64,
    queue: u64,
}

impl Memory {
    fn of(config: &Config) -> Self {
        const CHUNK_BYTES: u64 = 2048;
        Self {
            cache: config.cache.size_bytes,
            engine: engine_bytes(&config.engine.text),
            queue: u64::from(config.xdp.frames) * CHUNK_BYTES,
        }
    }
}

/// The engine's caches and their defaults in bytes; see unbound.conf(5).
const ENGINE_CACHES: [(&str, u64); 4] = [
    ("msg-cache-size", 4 << 20),
    ("rrset-cache-size", 4 << 20),
    ("key-cache-size", 4 << 20),
    ("neg-cache-size", 1 << 20),
];

fn engine_bytes(text: &str) -> u64 {
    let configured = |keyword: &str| {
        let values = text
            .lines()
            .filter_map(|line| line.trim().strip_prefix(keyword)?.strip_prefix(':'));
        values
            .filter_map(|value| parse_size(value.trim().trim_matches('"')))
            .next_back()
    };
    ENGINE_CACHES
        .iter()
        .map(|(keyword, default)| configured(keyword).unwrap_or(*default))
        .sum()
}

/// A size as Unbound writes it: a number, with `k`, `m` or `g`.
fn parse_size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match text[digits.len()..].trim() {
        "" => 0,
        "k" | "K" => 10,
        "m" | "M" => 20,
        "g" | "G" => 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(1 << shift)
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
    fn engine_caches_add_up() {
        assert_eq!(engine_bytes(""), 13 << 20);
        assert_eq!(
            engine_bytes("server:\n  rrset-cache-size: 100m\n msg-cache-size: \"50m\"\n"),
            (100 + 50 + 4 + 1) << 20
        );
    }

    #[test]
    fn sizes_are_read_as_unbound_does() {
        assert_eq!(parse_size("4m"), Some(4 << 20));
        assert_eq!(parse_size("1024"), Some(1024));
        assert_eq!(parse_size("4x"), None);
    }
}
