use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use rustix::time::{ClockId, clock_gettime};
use sluicegate_answer::{Brain, Now};

use crate::handoff::{HandoffPort, PortFactory, Refresher, TaskPort};
use crate::registry::Registry;

/// What every worker shares: the brain (policy and cache), the counters' registry, the way to the engine.
pub struct Shared {
    /// The policy, swapped whole on reload, and the answer cache.
    pub brain: Arc<Brain>,
    /// All counters by name.
    pub registry: Registry,
    ports: PortFactory,
    draining: AtomicBool,
}

impl Shared {
    /// Joins the parts.
    pub(crate) fn new(brain: Arc<Brain>, ports: PortFactory) -> Self {
        Self {
            brain,
            registry: Registry::new(),
            ports,
            draining: AtomicBool::new(false),
        }
    }

    /// A way to the engine for one worker with at most `capacity` clients waiting.
    ///
    /// # Errors
    /// No eventfd could be made (the process's limit of open files).
    pub fn handoff_port(&self, capacity: usize) -> std::io::Result<HandoffPort> {
        self.ports.port(capacity)
    }

    /// The same for a task of an async runtime.
    pub(crate) fn task_port(&self, capacity: usize) -> TaskPort {
        self.ports.task_port(capacity)
    }

    /// Where workers leave the questions that are to be refreshed.
    pub(crate) const fn refresher(&self) -> &Refresher {
        self.ports.refresher()
    }

    /// The time that answers age by, in whole seconds of the monotonic clock; read it once for each batch.
    pub fn now(&self) -> Now {
        // The coarse clock costs a few nanoseconds and no system call; seconds are all that TTLs need.
        Now {
            secs: clock_gettime(ClockId::MonotonicCoarse)
                .tv_sec
                .cast_unsigned() as u32,
        }
    }

    /// Whether the server is ending: workers take nothing new and answer those who wait, for at most
    /// [`DRAIN_LIMIT`](crate::DRAIN_LIMIT).
    pub fn is_draining(&self) -> bool {
        self.draining.load(Relaxed)
    }

    /// From now on the server is ending. Whoever calls it also wakes the workers.
    pub(crate) fn start_draining(&self) {
        self.draining.store(true, Relaxed);
    }
}
