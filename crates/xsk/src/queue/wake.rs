//! Waking the kernel, and what its answers mean.

use super::error::QueueError;
use super::outlet::Outlet;
use crate::sys::Errno;

/// Calls of `sendto` in one go, at most. In copy mode each takes a budget of packets; what is left goes with the next turn.
const KICKS_AT_ONCE: u32 = 16;

/// When the kernel is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kick {
    /// If packets wait and the kernel says that it sleeps.
    IfAsked,
    /// If packets wait or completions are due, whatever the kernel says: mends wake-ups that a driver lost.
    Always,
}

/// What an error number of a kick means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meaning {
    /// Look again whether there is progress.
    Retry,
    /// Nothing can be done now.
    Stop,
    /// Nothing can be done ever.
    Fatal(QueueError),
}

impl Outlet {
    /// Makes the kernel transmit what lies in the TX ring, as long as it gets on with it.
    pub(super) fn kick(&mut self, when: Kick) -> Result<(), QueueError> {
        for _ in 0..KICKS_AT_ONCE {
            let waiting = self.tx.outstanding();
            let due = match when {
                Kick::IfAsked => waiting > 0 && self.tx.needs_wakeup(),
                Kick::Always => waiting > 0 || self.umem.in_tx() > 0,
            };
            if !due {
                return Ok(());
            }
            self.counters.kicks_tx += 1;
            let answer = self.kernel.kick_tx();
            let harvested = self.harvest();
            let left = self.tx.outstanding();
            let progress = left < waiting || harvested > 0;
            match answer {
                Err(errno) => match self.weigh("sendto", errno) {
                    Meaning::Fatal(error) => return Err(error),
                    Meaning::Stop => return Ok(()),
                    Meaning::Retry if !progress && errno.number() != libc::EINTR => return Ok(()),
                    Meaning::Retry => {}
                },
                Ok(()) if !progress => return Ok(()),
                Ok(()) => {}
            }
            if left == 0 {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Makes the kernel look at the fill ring; finds out whether the socket is still bound.
    pub(super) fn probe(&mut self) -> Result<(), QueueError> {
        self.counters.kicks_rx += 1;
        match self.kernel.kick_rx() {
            Ok(()) => Ok(()),
            Err(errno) => match self.weigh("recvfrom", errno) {
                Meaning::Fatal(error) => Err(error),
                Meaning::Retry | Meaning::Stop => Ok(()),
            },
        }
    }

    fn weigh(&mut self, call: &'static str, errno: Errno) -> Meaning {
        match errno.number() {
            libc::EAGAIN | libc::ENOBUFS => {
                self.counters.kicks_again += 1;
                Meaning::Retry
            }
            libc::EBUSY => {
                self.counters.kicks_busy += 1;
                Meaning::Retry
            }
            libc::EINTR => Meaning::Retry,
            // Down, and perhaps up again later; a deleted interface says so once before it says ENXIO.
            libc::ENETDOWN => {
                self.counters.kicks_down += 1;
                Meaning::Stop
            }
            libc::ENXIO => Meaning::Fatal(QueueError::Gone),
            // A descriptor at the head of the TX ring that the kernel will never take.
            libc::EINVAL => Meaning::Fatal(QueueError::Poisoned),
            _ => Meaning::Fatal(QueueError::Os { call, errno }),
        }
    }
}
