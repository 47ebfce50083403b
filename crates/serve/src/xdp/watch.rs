use std::time::{Duration, Instant};

use super::Reason;

/// Looks whether what the program redirects to a queue arrives at its socket, and whether what is sent there leaves.
///
/// Once the look-up in the XSKMAP has found a socket, a redirect that fails is a drop, and neither bind nor statistics
/// tell: a bond's own queues, for one, take a socket and give it nothing. An interface that swallows queries so is worse
/// than one without a fast path. Nor does anything tell of a driver that takes packets to be sent and never sends one.
#[derive(Debug)]
pub(super) struct QueueWatch {
    queue: u32,
    /// Packets that may wait for long while the device is well.
    batch: u64,
    redirected: u64,
    /// As it was counted last; wraps.
    counted: u32,
    received: Watch,
    sent: Watch,
}

/// What is known of a queue at one moment; all of these only grow.
#[derive(Clone, Copy, Debug)]
pub(super) struct QueueCounts {
    /// Packets redirected to it, wrapping; `None` if the program doesn't count them.
    pub(super) redirected: Option<u32>,
    /// Packets that came to the socket or were dropped by it.
    pub(super) arrived: u64,
    /// Packets handed to the kernel to be sent.
    pub(super) sent: u64,
    /// Those of them that it has done with.
    pub(super) completed: u64,
}

impl QueueWatch {
    /// Of a queue that is enabled now, with these counts from before. As many packets as are in a `batch` may wait for
    /// more to be sent: some drivers look at what they have sent once a quarter of their ring is in use.
    pub(super) const fn new(now: Instant, queue: u32, batch: u32, before: QueueCounts) -> Self {
        Self {
            queue,
            batch: batch as u64,
            redirected: 0,
            counted: 0,
            received: Watch::new(now, 0, before.arrived),
            sent: Watch::new(now, before.sent, before.completed),
        }
    }

    /// Takes the present counts.
    ///
    /// # Errors
    /// The queue is dead; the interface is to be given up.
    pub(super) fn look(&mut self, now: Instant, counts: QueueCounts) -> Result<(), Reason> {
        let queue = self.queue;
        if let Some(redirected) = counts.redirected {
            self.redirected += u64::from(redirected.wrapping_sub(self.counted));
            self.counted = redirected;
            if let Some(lost) = self.received.look(now, self.redirected, counts.arrived) {
                return Err(Reason::Mute { queue, lost });
            }
        }
        let stuck = self.sent.look(now, counts.sent, counts.completed);
        if stuck.is_none() {
            return Ok(());
        }
        // Those that waited before the look that saw one leave last wait still.
        let stuck = self.sent.inside(counts.sent);
        if stuck < self.batch {
            return Ok(());
        }
        Err(Reason::Stuck { queue, stuck })
    }
}

/// Looks whether what goes in comes out.
#[derive(Debug)]
struct Watch {
    since: Instant,
    /// How many had gone in and come out at the start.
    start: (u64, u64),
    /// When one came out last.
    went_in: u64,
    came_out: u64,
    /// Whether enough had gone in by the end of the period before, without any coming out since.
    mute: bool,
}

/// Workers publish their counts once a second, later when they are kept from running: after two such periods
/// whatever arrived has been counted.
const PERIOD: Duration = Duration::from_secs(5);
/// Fewer than these prove nothing, however long it takes.
const ENOUGH: u64 = 8;

impl Watch {
    const fn new(now: Instant, went_in: u64, came_out: u64) -> Self {
        Self {
            since: now,
            start: (went_in, came_out),
            went_in,
            came_out,
            mute: false,
        }
    }

    /// How many have not come out since the start, as of the last look.
    const fn inside(&self, went_in: u64) -> u64 {
        let (in_before, out_before) = self.start;
        (went_in - in_before).saturating_sub(self.came_out - out_before)
    }

    /// Takes the present sums. How many were lost, if enough have gone in since one came out and for one period more
    /// none has.
    fn look(&mut self, now: Instant, went_in: u64, came_out: u64) -> Option<u64> {
        if came_out != self.came_out {
            (self.came_out, self.mute) = (came_out, false);
            (self.since, self.went_in) = (now, went_in);
            return None;
        }
        if now.duration_since(self.since) < PERIOD {
            return None;
        }
        let lost = went_in.saturating_sub(self.went_in);
        if self.mute {
            return Some(lost);
        }
        (self.since, self.mute) = (now, lost >= ENOUGH);
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What becomes of a queue with these counts, one look a second.
    fn verdict(counts: impl Fn(u64) -> QueueCounts) -> Result<(), Reason> {
        verdict_within(60, 32, counts)
    }

    /// The same after so many seconds, with batches of this size.
    fn verdict_within(
        seconds: u64,
        batch: u32,
        counts: impl Fn(u64) -> QueueCounts,
    ) -> Result<(), Reason> {
        let start = Instant::now();
        let mut watch = QueueWatch::new(start, 3, batch, counts(0));
        (1..seconds).try_for_each(|second| {
            let now = start + Duration::from_secs(second);
            watch.look(now, counts(second))
        })
    }

    #[test]
    fn a_queue_that_works_or_has_nothing_to_do_is_left_alone() {
        let counts = |n: u64| QueueCounts {
            redirected: Some((n as u32 * 100).wrapping_add(u32::MAX - 2000)),
            arrived: 7 + n * 100,
            sent: 5 + n * 90,
            completed: 5 + n * 90,
        };
        let new = |n| QueueCounts {
            redirected: Some(n as u32 * 100),
            ..counts(n)
        };
        assert_eq!(verdict(new), Ok(()));
        assert_eq!(verdict(|_| new(0)), Ok(()), "idle");
        // Drivers that tell of what was sent when more is.
        let lazy = |n: u64| QueueCounts {
            completed: 5 + (n * 90).saturating_sub(30),
            ..new(n)
        };
        assert_eq!(verdict(lazy), Ok(()));
        let then_idle = |n: u64| lazy(n.min(10));
        assert_eq!(verdict(then_idle), Ok(()));
    }

    #[test]
    fn a_queue_that_receives_nothing_is_named() {
        let deaf = |n: u64| QueueCounts {
            redirected: Some(n as u32 * 10),
            arrived: 40,
            sent: 0,
            completed: 0,
        };
        assert_eq!(
            verdict(deaf),
            Err(Reason::Mute {
                queue: 3,
                lost: 100
            })
        );
        // A program of somebody else's doesn't tell.
        let unknown = |n| QueueCounts {
            redirected: None,
            ..deaf(n)
        };
        assert_eq!(verdict(unknown), Ok(()));
    }

    #[test]
    fn a_queue_that_sends_nothing_is_named() {
        let stuck = |n: u64| QueueCounts {
            redirected: Some(n as u32 * 10),
            arrived: n * 10,
            // The ring is full by then.
            sent: 100 + (n * 10).min(64),
            completed: 100,
        };
        let named = Reason::Stuck {
            queue: 3,
            stuck: 64,
        };
        assert_eq!(verdict(stuck), Err(named));
    }

    #[test]
    fn completes_in_quarters_of_a_ring_of_2048_at_one_a_second_is_left_alone() {
        let quarters = |n: u64| QueueCounts {
            redirected: Some(n as u32),
            arrived: n,
            sent: n,
            completed: n / 512 * 512,
        };
        assert_eq!(verdict_within(3000, 1024, quarters), Ok(()));
        // One that does nothing any more is found all the same, once half the ring waits.
        let dead = |n: u64| QueueCounts {
            completed: n.min(600) / 512 * 512,
            ..quarters(n)
        };
        let named = Reason::Stuck {
            queue: 3,
            stuck: 1024,
        };
        assert_eq!(verdict_within(3000, 1024, dead), Err(named));
        // What an earlier life of the queue never took back is none of this one's.
        let later = |n: u64| QueueCounts {
            sent: n + 5000,
            ..quarters(n)
        };
        assert_eq!(verdict_within(3000, 1024, later), Ok(()));
    }

    /// One look a second.
    fn outcome(counts: impl IntoIterator<Item = (u64, u64)>) -> Option<u64> {
        let start = Instant::now();
        let mut watch = Watch::new(start, 0, 0);
        let mut looks = counts.into_iter().zip(1..);
        looks.find_map(|((redirected, arrived), second)| {
            watch.look(start + Duration::from_secs(second), redirected, arrived)
        })
    }

    #[test]
    fn packets_that_arrive_late_are_no_loss() {
        assert_eq!(outcome((0..60).map(|n| (n * 100, n * 100))), None);
        // Nothing for nine seconds, then all at once.
        let late = (0..60).map(|n| (n * 10, if n < 9 { 0 } else { n * 10 }));
        assert_eq!(outcome(late), None);
        assert_eq!(outcome((0..60).map(|_| (0, 0))), None, "nothing is asked");
        let once = (0..60).map(|n| (u64::from(n > 3), 0));
        assert_eq!(outcome(once), None, "one packet proves nothing");
    }

    #[test]
    fn packets_that_never_arrive_are_found() {
        assert_eq!(outcome((0..60).map(|n| (n * 10, 0))), Some(90));
        let after_a_while = (0..60).map(|n| (n * 10, n.min(20) * 10));
        assert!(outcome(after_a_while).is_some());
        let burst = (0..60).map(|n| (if n > 2 { 500 } else { 0 }, 0));
        assert_eq!(outcome(burst), Some(500));
    }

    #[test]
    fn few_packets_are_found_in_time() {
        let every_third = |n: u64| n / 3;
        assert_eq!(
            outcome((0..60).map(|n| (every_third(n), 0))),
            Some(9),
            "fewer than enough in each period"
        );
        let arriving = (0..60).map(|n| (every_third(n), every_third(n)));
        assert_eq!(outcome(arriving), None);
        // One that arrives proves the way, and the count begins anew.
        let now_and_then = (0..60).map(|n| (every_third(n), n / 20));
        assert_eq!(outcome(now_and_then), None);
    }
}
