use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

/// Who may be connected, and for how long without asking anything.
#[derive(Debug)]
pub(super) struct Limits {
    max: Cell<usize>,
    idle: Cell<Duration>,
    open: Cell<usize>,
    /// A connection has ended.
    freed: Notify,
    /// The connection idle for longest is to end. Waiters are served first come, first served, and a
    /// connection begins to wait when it becomes idle.
    pressure: Notify,
}

impl Limits {
    /// At most `max` connections, each idle for at most `idle`.
    pub(super) fn new(max: usize, idle: Duration) -> Rc<Self> {
        let (max, idle) = (Cell::new(max), Cell::new(idle));
        Rc::new(Self {
            max,
            idle,
            open: Cell::new(0),
            freed: Notify::new(),
            pressure: Notify::new(),
        })
    }

    /// New limits, for connections from now on.
    pub(super) fn set(&self, max: usize, idle: Duration) {
        self.max.set(max);
        self.idle.set(idle);
        self.freed.notify_waiters();
    }

    /// How many are open.
    pub(super) fn open(&self) -> usize {
        self.open.get()
    }

    /// Room for one more connection; asks the one idle for longest to go if there is none.
    pub(super) async fn admit(self: &Rc<Self>) -> Admission {
        while self.is_full() {
            let freed = self.freed.notified();
            // At least one connection is told; if none is idle, the next that becomes idle is.
            self.pressure.notify_one();
            freed.await;
        }
        self.open.set(self.open.get() + 1);
        Admission(Rc::clone(self))
    }

    /// How long this connection may stay idle: the fewer places are left, the shorter.
    pub(super) fn idle_limit(&self) -> Duration {
        let (open, max, idle) = (self.open.get(), self.max.get(), self.idle.get());
        if open * 2 <= max {
            idle
        } else if open * 5 <= max * 4 {
            idle / 4
        } else {
            idle / 16
        }
        .max(SHORTEST_IDLE.min(idle))
    }

    /// Ends when this connection, idle since the call, must make room for another.
    pub(super) async fn must_leave(&self) {
        loop {
            self.pressure.notified().await;
            // A request that somebody else's end has already met is void.
            if self.is_full() {
                return;
            }
        }
    }

    fn is_full(&self) -> bool {
        self.open.get() >= self.max.get()
    }
}

/// A client gets at least this long for its first query, however crowded it is.
const SHORTEST_IDLE: Duration = Duration::from_millis(200);

/// One connection's place; dropping it makes room.
#[derive(Debug)]
pub(super) struct Admission(Rc<Limits>);

impl Drop for Admission {
    fn drop(&mut self) {
        self.0.open.set(self.0.open.get() - 1);
        self.0.freed.notify_one();
    }
}
