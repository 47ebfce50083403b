use std::cell::Cell;

use sluicegate_dns::{Name, Query};
use sluicegate_telemetry::Counter;

use crate::Question;
use crate::cache::Place;
use crate::exchange::Exchange;
use crate::pipeline::variant;

/// Takes the questions whose answers are soon to end, or have ended and were served all the same, to ask them
/// anew while no client waits.
pub trait Refresh: std::fmt::Debug {
    /// Asks this question anew, or lets it be: nobody waits.
    fn refresh(&self, question: Question);
}

/// Nobody: answers end.
impl Refresh for () {
    fn refresh(&self, _: Question) {}
}

impl Exchange<'_> {
    /// Has the answer to a query asked for anew, unless this thread has done so within this second.
    #[cold]
    #[inline(never)]
    pub(crate) fn refresh(&self, query: &Query, name: &[u8], place: Place) {
        let context = self.context;
        if !query.rd || !is_first(place.hash(), context.now.secs) {
            return;
        }
        let Ok(name) = Name::from_wire(name) else {
            return;
        };
        context.counters.count(Counter::Prefetches);
        context.refresh.refresh(Question {
            name,
            qtype: query.qtype,
            qclass: query.qclass,
            dnssec_ok: variant(query).dnssec_ok,
            cd: query.cd,
            stale: false,
        });
    }
}

/// Whether this is the first time in this second. Every hit of a popular answer says that it is due until it has
/// been asked for: of those, one in a second is to be heard. Two that share a slot may be heard more often.
fn is_first(hash: u64, now_secs: u32) -> bool {
    LATEST.with(|latest| {
        let slot = &latest[hash as usize % SLOTS];
        let mark = hash & !u64::from(u32::MAX) | u64::from(now_secs);
        slot.replace(mark) != mark
    })
}

const SLOTS: usize = 256;

thread_local! {
    /// The upper half of the hash and the second of the latest refreshes.
    static LATEST: [Cell<u64>; SLOTS] = const { [const { Cell::new(u64::MAX) }; SLOTS] };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_second_is_heard() {
        let (one, other) = (1 << 32 | 5, 2 << 32 | 6);
        assert!(is_first(one, 7) && is_first(other, 7));
        assert!(!is_first(one, 7) && !is_first(other, 7));
        assert!(is_first(one, 8) && is_first(other, 8));
    }
}
