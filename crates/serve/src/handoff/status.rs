use std::sync::{Mutex, MutexGuard, PoisonError};

use sluicegate_engine::Stats;

use super::refresh::RefreshCounts;
use crate::StatSource;

/// What the hand-off thread shows of itself and the engine; written by it alone.
#[derive(Debug, Default)]
pub(super) struct HubStatus(Mutex<Values>);

#[derive(Debug, Default)]
struct Values {
    pid: Option<u32>,
    stats: Stats,
    own: OwnCounts,
}

/// What the hand-off thread counts itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnCounts {
    /// Answers that found their worker gone, or its ring full.
    pub(super) lost: u64,
    /// Clients told an expired answer because the engine took too long.
    pub(super) late: u64,
    /// Refreshes.
    pub(super) refresh: RefreshCounts,
}

impl HubStatus {
    /// The state after a turn.
    pub(super) fn publish(&self, pid: Option<u32>, stats: Stats, own: OwnCounts) {
        *self.lock() = Values { pid, stats, own };
    }

    /// The engine's process ID, while there is one.
    pub(super) fn pid(&self) -> Option<u32> {
        self.lock().pid
    }

    fn lock(&self) -> MutexGuard<'_, Values> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StatSource for HubStatus {
    fn visit(&self, sink: &mut dyn FnMut(&str, u64)) {
        let values = self.lock();
        let Stats {
            asked,
            refreshes,
            joined,
            overloaded,
            shed_waiters,
            shed_thread,
            shed_zone,
            shed_refreshes,
            answered,
            late,
            bogus,
            expired,
            failed,
            resent,
            restarts,
            relay,
            ..
        } = values.stats;
        let rows = [
            ("running", u64::from(values.pid.is_some())),
            ("pid", values.pid.unwrap_or(0).into()),
            ("asked", asked),
            ("refreshes", refreshes),
            ("joined", joined),
            ("overloaded", overloaded),
            ("shed_waiters", shed_waiters),
            ("shed_thread", shed_thread),
            ("shed_zone", shed_zone),
            ("shed_refreshes", shed_refreshes),
            ("answered", answered),
            ("late", late),
            ("bogus", bogus),
            ("expired", expired),
            ("failed", failed),
            ("resent", resent),
            ("restarts", restarts),
            ("lost", values.own.lost),
            ("stale", values.own.late),
            ("refresh.asked", values.own.refresh.asked),
            ("refresh.fresh", values.own.refresh.fresh),
            ("refresh.spared", values.own.refresh.spared),
            ("refresh.shed", values.own.refresh.shed),
            ("tls.queries", relay.queries),
            ("tls.answered", relay.answered),
            ("tls.connections", relay.connections),
            ("tls.resumed", relay.resumed),
            ("tls.failures", relay.failures),
            ("questions", values.stats.questions as u64),
            ("waiting", values.stats.waiting as u64),
        ];
        for (name, value) in rows {
            sink(name, value);
        }
    }
}
