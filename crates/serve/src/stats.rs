use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sluicegate_answer::cache::CacheStats;
use sluicegate_telemetry::{Counter, Snapshot};

use crate::Shared;

/// Writes what `stats` prints: one `name=value` a line, in a stable order, totals first.
///
/// Names that Unbound has mean what Unbound means by them. No value ever goes back while the server runs;
/// reading changes nothing. The last lines are text: where each address is served.
#[derive(Debug)]
pub(crate) struct Statistics {
    started: Instant,
}

impl Statistics {
    /// The server starts now.
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }

    /// Everything.
    pub(crate) fn text(&self, shared: &Shared) -> String {
        let mut out = String::with_capacity(4096);
        let workers = shared.registry.snapshots();
        let total = shared.registry.total();
        unbound_lines(&mut out, "total", &total);
        self.time_lines(&mut out);
        let tcp: u64 = workers
            .iter()
            .filter(|(name, _)| name == "tcp")
            .map(|(_, s)| s.value(Counter::Received))
            .sum();
        line(&mut out, "num", "query.tcp", tcp);
        cache_lines(&mut out, &shared.brain.cache.stats());
        counter_lines(&mut out, "total", &total);
        for (name, snapshot) in &workers {
            counter_lines(&mut out, name, snapshot);
        }
        shared
            .registry
            .visit_sources(&mut |name, key, value| line(&mut out, name, key, value));
        shared.registry.visit_texts(&mut |name, text| {
            let _ = writeln!(out, "{name}={text}");
        });
        out
    }

    /// A few lines for the log: the totals, then each worker's busy counters.
    pub(crate) fn log(&self, shared: &Shared) {
        let total = shared.registry.total();
        tracing::info!(
            "statistics: up {} s, total {}",
            self.started.elapsed().as_secs(),
            brief(&total)
        );
        for (name, snapshot) in shared.registry.snapshots() {
            tracing::info!("statistics: {name} {}", brief(&snapshot));
        }
    }

    /// That it runs, and since when.
    pub(crate) fn status(&self) -> String {
        let version = env!("CARGO_PKG_VERSION");
        format!(
            "version: {version}\nuptime: {} seconds\npid {}\n",
            self.started.elapsed().as_secs(),
            std::process::id()
        )
    }

    fn time_lines(&self, out: &mut String) {
        let seconds =
            |duration: Duration| format!("{}.{:06}", duration.as_secs(), duration.subsec_micros());
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let up = seconds(self.started.elapsed());
        let _ = writeln!(
            out,
            "time.now={}\ntime.up={up}\ntime.elapsed={up}",
            seconds(now)
        );
    }
}

/// The answer cache; `mem.cache.message` is what its entries take now, as in Unbound.
fn cache_lines(out: &mut String, cache: &CacheStats) {
    let rows = [
        ("mem.cache", "message", cache.entry_bytes),
        ("msg.cache", "count", cache.entries),
        ("msg.cache", "used_bytes", cache.used_bytes),
        ("msg.cache", "bound_bytes", cache.bound_bytes),
        ("msg.cache", "inserted", cache.inserted),
        ("msg.cache", "evicted", cache.evicted),
        ("msg.cache", "declined", cache.declined),
        ("msg.cache", "flushed", cache.flushed),
    ];
    for (prefix, name, value) in rows {
        line(out, prefix, name, value);
    }
}

fn unbound_lines(out: &mut String, prefix: &str, snapshot: &Snapshot) {
    let rows = [
        ("num.queries", Counter::Received),
        ("num.queries_ip_ratelimited", Counter::DropIpRatelimit),
        ("num.cachehits", Counter::CacheHits),
        ("num.cachemiss", Counter::CacheMisses),
        ("num.recursivereplies", Counter::Resolved),
        ("num.expired", Counter::Expired),
        ("num.prefetch", Counter::Prefetches),
    ];
    for (name, counter) in rows {
        line(out, prefix, name, snapshot.value(counter));
    }
}

fn counter_lines(out: &mut String, prefix: &str, snapshot: &Snapshot) {
    for counter in Counter::ALL {
        line(out, prefix, counter.label(), snapshot.value(*counter));
    }
}

fn line(out: &mut String, prefix: &str, name: &str, value: u64) {
    let _ = writeln!(out, "{prefix}.{name}={value}");
}

/// The counters that are not zero, as `name=value name=value`.
fn brief(snapshot: &Snapshot) -> String {
    let busy = Counter::ALL
        .iter()
        .filter(|counter| snapshot.value(**counter) > 0);
    let words: Vec<_> = busy
        .map(|counter| format!("{}={}", counter.label(), snapshot.value(*counter)))
        .collect();
    if words.is_empty() {
        "idle".to_owned()
    } else {
        words.join(" ")
    }
}
