//! The clock that makes the client's descriptor readable when time is up.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};

/// A timerfd that is set as seldom as possible: only to an earlier time, or after it rang.
#[derive(Debug)]
pub(super) struct Timer {
    file: OwnedFd,
    rings: Option<Instant>,
}

impl Timer {
    pub(super) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let file = rustix::time::timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { file, rings: None })
    }

    /// Sees to it that it rings at `at` or before.
    pub(super) fn ring_by(&mut self, at: Instant, now: Instant) -> io::Result<()> {
        if self.rings.is_some_and(|rings| rings <= at) {
            return Ok(());
        }
        // Zero would stop the timer.
        let after = at
            .saturating_duration_since(now)
            .max(Duration::from_micros(1));
        let once = Itimerspec {
            it_interval: Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            },
            it_value: Timespec::try_from(after).unwrap_or(Timespec {
                tv_sec: 1,
                tv_nsec: 0,
            }),
        };
        rustix::time::timerfd_settime(&self.file, TimerfdTimerFlags::empty(), &once)?;
        self.rings = Some(at);
        Ok(())
    }

    /// Takes note that it rang.
    pub(super) fn clear(&mut self) {
        let mut count = [0; 8];
        // EAGAIN: it was set anew meanwhile.
        if rustix::io::read(&self.file, &mut count).is_ok() {
            self.rings = None;
        }
    }
}

impl AsFd for Timer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}
