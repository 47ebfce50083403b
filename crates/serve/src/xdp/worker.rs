use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};

use sluicegate_telemetry::Counters;
use sluicegate_xsk::{Queue, QueueError};

use super::service::{Attendance, Service};
use super::stats::{Tally, queue_counts};
use crate::decide::Moment;
use crate::process::wall_in_worker;
use crate::{PENDING_PER_WORKER, Shared, Waker};

/// One AF_XDP queue and its thread.
pub(super) struct WorkerHandle {
    control: Arc<Control>,
    waker: Waker,
    thread: JoinHandle<Ended>,
}

/// What a worker leaves behind.
pub(super) struct Ended {
    /// Its queue, still bound. Close it after the program has been detached; some NICs hang otherwise.
    pub(super) queue: Option<Queue>,
    /// Why it ended, unless it was told to.
    pub(super) fault: Option<QueueError>,
}

/// Who a worker is.
pub(super) struct Identity {
    /// `xdp.IF.Q`, the name of its thread, its counters and its statistics.
    pub(super) name: String,
    /// Longest IP packet a reply may be.
    pub(super) mtu_bytes: u32,
    /// Woken when the worker ends.
    pub(super) gate: Waker,
    /// Where it publishes its queue's counts.
    pub(super) tally: Arc<Tally>,
    /// How long it looks for packets before it sleeps (`busy-poll`).
    pub(super) busy_poll: Duration,
}

/// What the gate tells a worker.
#[derive(Default)]
pub(super) struct Control {
    /// Set: end, by then at the latest.
    stop: OnceLock<Instant>,
    ended: AtomicBool,
}

/// The longest sleep of an idle worker. A deleted interface wakes nobody, so this bounds how late it is
/// noticed when rtnetlink says nothing.
const IDLE: Duration = Duration::from_secs(1);

/// Busy turns after which the clock is read, for the statistics.
const TURNS_PER_CLOCK: u32 = 64;

/// How often a worker publishes its queue's counts.
const PUBLISH_PERIOD: Duration = Duration::from_secs(1);

impl WorkerHandle {
    /// Starts a thread that opens its queue by `open` and then serves it. `open` tells its caller itself
    /// how it went, and gives nothing if it failed.
    ///
    /// # Errors
    /// Too many open files or threads.
    pub(super) fn start(
        shared: &Arc<Shared>,
        identity: Identity,
        open: impl FnOnce() -> Option<Queue> + Send + 'static,
    ) -> std::io::Result<Self> {
        let Identity {
            name,
            mtu_bytes,
            gate,
            tally,
            busy_poll,
        } = identity;
        let port = shared.handoff_port(PENDING_PER_WORKER as usize)?;
        let waker = port.waker();
        let control = Arc::new(Control::default());
        let counters = shared.registry.counters(&name);
        let service = Service::new(Arc::clone(&counters), port, mtu_bytes as usize);
        let (shared, told) = (Arc::clone(shared), Arc::clone(&control));
        let run = move || {
            let _farewell = Farewell {
                control: Arc::clone(&told),
                gate,
            };
            let Some(queue) = open() else {
                return Ended {
                    queue: None,
                    fault: None,
                };
            };
            wall_in_worker();
            Worker {
                shared,
                counters,
                control: told,
                service,
                tally,
                queue,
                busy_poll,
            }
            .run()
        };
        let thread = Builder::new().name(name).spawn(run)?;
        Ok(Self {
            control,
            waker,
            thread,
        })
    }

    /// Tells the worker to answer what it has and end, by `until` at the latest.
    pub(super) fn stop(&self, until: Instant) {
        // A second order changes nothing: the first one's limit holds.
        let _ = self.control.stop.set(until);
        self.waker.wake();
    }

    /// Whether the worker has ended, told to or not.
    pub(super) fn has_ended(&self) -> bool {
        self.control.ended.load(Relaxed)
    }

    /// Waits for its end; `None` if it panicked.
    pub(super) fn join(self) -> Option<Ended> {
        self.thread.join().ok()
    }
}

/// Tells the gate that a worker has ended, however it did.
struct Farewell {
    control: Arc<Control>,
    gate: Waker,
}

impl Drop for Farewell {
    fn drop(&mut self) {
        self.control.ended.store(true, Relaxed);
        self.gate.wake();
    }
}

/// One worker, in its thread.
pub(super) struct Worker {
    pub(super) shared: Arc<Shared>,
    pub(super) counters: Arc<Counters>,
    pub(super) control: Arc<Control>,
    pub(super) service: Service,
    pub(super) tally: Arc<Tally>,
    pub(super) queue: Queue,
    pub(super) busy_poll: Duration,
}

impl Worker {
    fn run(mut self) -> Ended {
        let fault = self.serve().and_then(|()| self.finish()).err();
        self.service.abandon();
        self.publish();
        self.tally.close();
        Ended {
            queue: Some(self.queue),
            fault,
        }
    }

    /// Turns until told to stop.
    fn serve(&mut self) -> Result<(), QueueError> {
        let mut published = Instant::now();
        let mut idle_since = None;
        let mut busy_turns = 0u32;
        loop {
            let busy = self.turn()?;
            if busy {
                idle_since = None;
                busy_turns = busy_turns.wrapping_add(1);
                if !busy_turns.is_multiple_of(TURNS_PER_CLOCK) {
                    continue;
                }
            }
            let now = Instant::now();
            if now.duration_since(published) >= PUBLISH_PERIOD {
                self.publish();
                published = now;
            }
            if busy {
                continue;
            }
            if let Some(until) = self.control.stop.get()
                && (self.service.is_idle() || now >= *until)
            {
                return Ok(());
            }
            let idle_since = *idle_since.get_or_insert(now);
            if now.duration_since(idle_since) >= self.busy_poll {
                self.rest(now)?;
            }
        }
    }

    /// One batch of packets and of answers that have come back; whether there was anything to do.
    pub(super) fn turn(&mut self) -> Result<bool, QueueError> {
        let Self {
            shared,
            counters,
            service,
            queue,
            ..
        } = self;
        let moment = Moment::new(shared, counters);
        let taken = queue.turn_ahead(&mut Attendance {
            service,
            moment: &moment,
        })?;
        let sent = service.settle(&moment, queue)? + service.expire(&moment, queue)?;
        if sent > 0 {
            queue.flush()?;
        }
        Ok(taken + sent > 0)
    }

    /// Sleeps until a packet or an answer comes, or a client's patience ends.
    fn rest(&mut self, now: Instant) -> Result<(), QueueError> {
        let patience = self
            .service
            .next_deadline()
            .map(|deadline| deadline.saturating_duration_since(now));
        let timeout = patience.map_or(IDLE, |patience| patience.min(IDLE));
        let woken = self.queue.idle(timeout, Some(self.service.port.as_fd()))?;
        if woken.wake {
            self.service.port.clear_wake();
        }
        Ok(())
    }

    fn publish(&self) {
        if let Some(counts) = queue_counts(&self.queue) {
            self.tally.publish(&counts);
        }
    }

    /// The last replies: to those who still wait, and of those that lie in the ring.
    fn finish(&mut self) -> Result<(), QueueError> {
        let moment = Moment::new(&self.shared, &self.counters);
        self.service.dismiss(&moment, &mut self.queue)?;
        // What the program redirected before it was told to stop has been taken: the slot can be emptied.
        self.queue.retire();
        Ok(())
    }
}
