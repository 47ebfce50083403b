use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sluicegate_bpf::Exit;
use sluicegate_xsk::Queue;

use crate::{Registry, StatSource};

/// Counts that begin at zero with each new queue or program, shown as sums over all there were under one
/// name: no number goes back.
#[derive(Debug)]
pub(super) struct Tally {
    labels: Vec<&'static str>,
    sums: Mutex<Sums>,
}

#[derive(Debug)]
struct Sums {
    /// Of those that are no more.
    past: Vec<u64>,
    /// Of the present one, as last published.
    present: Vec<u64>,
}

impl Tally {
    fn new(labels: Vec<&'static str>) -> Self {
        let zero = vec![0; labels.len()];
        Self {
            labels,
            sums: Mutex::new(Sums {
                past: zero.clone(),
                present: zero,
            }),
        }
    }

    /// The present one's counts, in the order of the labels. Allocates nothing.
    pub(super) fn publish(&self, present: &[u64]) {
        for (cell, value) in self.lock().present.iter_mut().zip(present) {
            *cell = *value;
        }
    }

    /// The sum of some counts, by their places among the labels, over all there were.
    pub(super) fn sum(&self, labels: std::ops::Range<usize>) -> u64 {
        let Sums { past, present } = &*self.lock();
        let both = past.iter().zip(present);
        let chosen = both.skip(labels.start).take(labels.len());
        chosen.fold(0, |sum, (past, present)| {
            sum.wrapping_add(*past).wrapping_add(*present)
        })
    }

    /// The present one is no more.
    pub(super) fn close(&self) {
        let Sums { past, present } = &mut *self.lock();
        for (past, present) in past.iter_mut().zip(present) {
            *past = past.wrapping_add(std::mem::take(present));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StatSource for Tally {
    fn visit(&self, sink: &mut dyn FnMut(&str, u64)) {
        let Sums { past, present } = &*self.lock();
        for (label, (past, present)) in self.labels.iter().zip(past.iter().zip(present)) {
            sink(label, past.wrapping_add(*present));
        }
    }
}

/// The tallies of all interfaces and queues there have been, by name. They live as long as the gate.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    tallies: BTreeMap<String, Arc<Tally>>,
    foreign: BTreeMap<String, Arc<Foreign>>,
}

/// The number of the program of somebody else's that keeps an interface to itself; 0: none does.
#[derive(Debug, Default)]
struct Foreign(AtomicU64);

impl StatSource for Foreign {
    fn visit(&self, sink: &mut dyn FnMut(&str, u64)) {
        sink("program-id", self.0.load(Relaxed));
    }
}

impl Tallies {
    /// Shows the program of somebody else's on `interface`, or that there is none any more.
    pub(super) fn foreign(&mut self, registry: &Registry, interface: &str, program: Option<u32>) {
        let shown = match (self.foreign.get(interface), program) {
            (Some(shown), _) => Arc::clone(shown),
            (None, None) => return,
            (None, Some(_)) => {
                let shown = Arc::new(Foreign::default());
                registry.add_source(&format!("xdp.{interface}.foreign"), &shown);
                self.foreign
                    .insert(interface.to_owned(), Arc::clone(&shown));
                shown
            }
        };
        shown.0.store(program.map_or(0, u64::from), Relaxed);
    }

    /// The exit counters of the program on `interface`.
    pub(super) fn program(&mut self, registry: &Registry, interface: &str) -> Arc<Tally> {
        self.by_name(registry, format!("xdp.{interface}"), || {
            Exit::ALL.iter().map(|exit| exit.label()).collect()
        })
    }

    /// The counts of the queue that the worker `name` serves.
    pub(super) fn queue(&mut self, registry: &Registry, name: &str) -> Arc<Tally> {
        self.by_name(registry, name.to_owned(), || QUEUE_LABELS.to_vec())
    }

    fn by_name(
        &mut self,
        registry: &Registry,
        name: String,
        labels: impl FnOnce() -> Vec<&'static str>,
    ) -> Arc<Tally> {
        let tally = self.tallies.entry(name).or_insert_with_key(|name| {
            let tally = Arc::new(Tally::new(labels()));
            registry.add_source(name, &tally);
            tally
        });
        Arc::clone(tally)
    }
}

/// What came to a queue's socket, taken or not: the packets, and those that the kernel dropped there.
pub(super) const ARRIVED: [std::ops::Range<usize>; 2] = [0..1, 3..6];
/// What was handed to the kernel to be sent.
pub(super) const SENT: std::ops::Range<usize> = 9..10;
/// What it has done with.
pub(super) const COMPLETED: std::ops::Range<usize> = 11..12;

const QUEUE_LABELS: [&str; 23] = [
    "rx.packets",
    "rx.bytes",
    "rx.recycled",
    "rx.drop.fill-empty",
    "rx.drop.ring-full",
    "rx.drop.other",
    "rx.invalid-descriptors",
    "rx.foreign",
    "rx.malformed",
    "tx.packets",
    "tx.bytes",
    "tx.completed",
    "tx.full",
    "tx.no-frame",
    "tx.bad-length",
    "tx.invalid-descriptors",
    "tx.unexpected",
    "tx.quarantined",
    "kick.tx",
    "kick.rx",
    "kick.again",
    "kick.busy",
    "fill.starved",
];

/// A queue's own counts and the kernel's; `None` when the socket can no longer be asked.
pub(super) fn queue_counts(queue: &Queue) -> Option<[u64; QUEUE_LABELS.len()]> {
    let own = queue.counters();
    let kernel = queue.statistics().ok()?;
    Some([
        own.rx_packets,
        own.rx_bytes,
        own.rx_recycled,
        kernel.rx_fill_ring_empty,
        kernel.rx_ring_full,
        kernel.rx_dropped_otherwise,
        kernel.rx_invalid_descriptors,
        own.rx_foreign,
        own.rx_malformed,
        own.tx_packets,
        own.tx_bytes,
        own.tx_completed,
        own.tx_full,
        own.tx_no_frame,
        own.tx_bad_length,
        kernel.tx_invalid_descriptors,
        own.tx_unexpected,
        own.tx_quarantined,
        own.kicks_tx,
        own.kicks_rx,
        own.kicks_again,
        own.kicks_busy,
        own.fill_starved,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(tally: &Tally) -> Vec<u64> {
        let mut shown = Vec::new();
        tally.visit(&mut |_, value| shown.push(value));
        shown
    }

    #[test]
    fn no_number_goes_back() {
        let tally = Tally::new(vec!["a", "b"]);
        tally.publish(&[3, 4]);
        tally.publish(&[5, 4]);
        assert_eq!(shown(&tally), [5, 4]);
        tally.close();
        assert_eq!(shown(&tally), [5, 4]);
        tally.publish(&[1, 0]);
        assert_eq!(shown(&tally), [6, 4]);
    }

    #[test]
    fn a_foreign_program_is_shown_until_it_goes() {
        let (registry, mut tallies) = (Registry::new(), Tallies::default());
        let shown = |registry: &Registry| {
            let mut seen = Vec::new();
            registry
                .visit_sources(&mut |name, key, value| seen.push(format!("{name}.{key}={value}")));
            seen
        };
        tallies.foreign(&registry, "eth0", None);
        assert!(shown(&registry).is_empty());
        tallies.foreign(&registry, "eth0", Some(7));
        assert_eq!(shown(&registry), ["xdp.eth0.foreign.program-id=7"]);
        tallies.foreign(&registry, "eth0", None);
        assert_eq!(shown(&registry), ["xdp.eth0.foreign.program-id=0"]);
    }

    #[test]
    fn what_arrived_is_among_the_labels() {
        let labels: Vec<_> = ARRIVED
            .into_iter()
            .flatten()
            .map(|at| QUEUE_LABELS[at])
            .collect();
        let drops = ["rx.drop.fill-empty", "rx.drop.ring-full", "rx.drop.other"];
        assert_eq!(labels, [&["rx.packets"][..], &drops].concat());
        assert_eq!(QUEUE_LABELS[SENT], ["tx.packets"]);
        assert_eq!(QUEUE_LABELS[COMPLETED], ["tx.completed"]);
        let tally = Tally::new(vec!["a", "b", "c"]);
        tally.publish(&[3, 4, 5]);
        tally.close();
        tally.publish(&[1, 1, 1]);
        assert_eq!((tally.sum(0..1), tally.sum(1..3)), (4, 11));
    }

    #[test]
    fn one_name_has_one_tally() {
        let (registry, mut tallies) = (Registry::new(), Tallies::default());
        let first = tallies.queue(&registry, "xdp.eth0.0");
        first.publish(&[7]);
        let again = tallies.queue(&registry, "xdp.eth0.0");
        assert!(Arc::ptr_eq(&first, &again));
        let mut seen = Vec::new();
        registry.visit_sources(&mut |name, key, value| seen.push(format!("{name}.{key}={value}")));
        assert_eq!(seen.len(), QUEUE_LABELS.len());
        assert_eq!(seen[0], "xdp.eth0.0.rx.packets=7");
    }
}
