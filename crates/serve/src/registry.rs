use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use sluicegate_telemetry::{Counters, Snapshot};

/// Something beside [`Counters`] that has numbers to show: a queue, the cache, the engine.
pub trait StatSource: Send + Sync {
    /// Calls `sink` with each name (without the source's own name) and value, in a stable order.
    fn visit(&self, sink: &mut dyn FnMut(&str, u64));
}

/// All counters of the server by name, for `stats`.
///
/// A name keeps its counters for as long as the server runs: a worker that is made anew under the same
/// name goes on counting where its predecessor ended, so no number ever goes back.
#[derive(Default)]
pub struct Registry {
    entries: Mutex<Entries>,
}

#[derive(Default)]
struct Entries {
    counters: BTreeMap<String, Arc<Counters>>,
    sources: BTreeMap<String, Weak<dyn StatSource>>,
    texts: BTreeMap<String, String>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counters under `name`, such as `udp.0`, `tcp` or `xdp.eth0.3`. At most one worker may use a
    /// name at a time: [`Counters`] have one writer.
    pub fn counters(&self, name: &str) -> Arc<Counters> {
        let mut entries = self.lock();
        Arc::clone(entries.counters.entry(name.to_owned()).or_default())
    }

    /// Shows `source` under `name` for as long as somebody else keeps it alive. A second source under
    /// the same name takes the first one's place.
    pub fn add_source<S: StatSource + 'static>(&self, name: &str, source: &Arc<S>) {
        let source: Arc<dyn StatSource> = Arc::<S>::clone(source);
        self.lock()
            .sources
            .insert(name.to_owned(), Arc::downgrade(&source));
    }

    /// Every worker's values by name.
    pub fn snapshots(&self) -> Vec<(String, Snapshot)> {
        self.lock()
            .counters
            .iter()
            .map(|(name, counters)| (name.clone(), counters.snapshot()))
            .collect()
    }

    /// The sum over all workers.
    pub fn total(&self) -> Snapshot {
        let mut sum = Snapshot::ZERO;
        for counters in self.lock().counters.values() {
            sum.merge(&counters.snapshot());
        }
        sum
    }

    /// Calls `sink` with `name.value=` of every living source.
    pub fn visit_sources(&self, sink: &mut dyn FnMut(&str, &str, u64)) {
        let living: Vec<_> = {
            let mut entries = self.lock();
            entries
                .sources
                .retain(|_, source| source.strong_count() > 0);
            entries
                .sources
                .iter()
                .filter_map(|(name, source)| Some((name.clone(), source.upgrade()?)))
                .collect()
        };
        // The lock is not held here: a source may itself take a lock.
        for (name, source) in living {
            source.visit(&mut |key, value| sink(&name, key, value));
        }
    }

    /// What is shown in words, by name, in the place of all that was before.
    pub fn set_texts(&self, texts: BTreeMap<String, String>) {
        self.lock().texts = texts;
    }

    /// Calls `sink` with each name and text.
    pub fn visit_texts(&self, sink: &mut dyn FnMut(&str, &str)) {
        for (name, text) in &self.lock().texts {
            sink(name, text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_telemetry::Counter;

    use super::*;

    struct Depth(u64);

    impl StatSource for Depth {
        fn visit(&self, sink: &mut dyn FnMut(&str, u64)) {
            sink("depth", self.0);
        }
    }

    #[test]
    fn a_name_goes_on_counting() {
        let registry = Registry::new();
        registry.counters("udp.0").count(Counter::Received);
        registry.counters("udp.0").count(Counter::Received);
        registry.counters("udp.1").count(Counter::Received);
        assert_eq!(registry.total().value(Counter::Received), 3);
        assert_eq!(registry.snapshots()[0].1.value(Counter::Received), 2);
    }

    #[test]
    fn a_source_shows_while_it_lives() {
        let registry = Registry::new();
        let source = Arc::new(Depth(7));
        registry.add_source("xdp.veth0.0", &source);
        let seen = |registry: &Registry| {
            let mut seen = Vec::new();
            registry
                .visit_sources(&mut |name, key, value| seen.push(format!("{name}.{key}={value}")));
            seen
        };
        assert_eq!(seen(&registry), ["xdp.veth0.0.depth=7"]);
        drop(source);
        assert!(seen(&registry).is_empty());
    }
}
