use std::time::{Duration, Instant};

/// Looks whether what the program redirects arrives at the sockets.
///
/// Once the look-up in the XSKMAP has found a socket, a redirect that fails is a drop, and neither bind nor statistics
/// tell: a bond's own queues, for one, take a socket and give it nothing. An interface that swallows queries so is worse
/// than one without a fast path.
#[derive(Debug)]
pub(super) struct Watch {
    since: Instant,
    /// When one arrived last.
    redirected: u64,
    arrived: u64,
    /// Whether enough had been redirected by the end of the period before, without any arriving since.
    mute: bool,
}

/// Workers publish their counts once a second, later when they are kept from running: after two such periods
/// whatever arrived has been counted.
const PERIOD: Duration = Duration::from_secs(5);
/// Fewer than these prove nothing, however long it takes.
const ENOUGH: u64 = 8;

impl Watch {
    /// Nothing has been redirected yet.
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            since: now,
            redirected: 0,
            arrived: 0,
            mute: false,
        }
    }

    /// Takes the present sums: packets redirected by the program, packets that came to the sockets or were dropped by
    /// them. How many were lost, if enough have been redirected since one arrived and for one period more none has.
    pub(super) fn look(&mut self, now: Instant, redirected: u64, arrived: u64) -> Option<u64> {
        if arrived != self.arrived {
            (self.arrived, self.mute) = (arrived, false);
            (self.since, self.redirected) = (now, redirected);
            return None;
        }
        if now.duration_since(self.since) < PERIOD {
            return None;
        }
        let lost = redirected.saturating_sub(self.redirected);
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

    /// One look a second.
    fn outcome(counts: impl IntoIterator<Item = (u64, u64)>) -> Option<u64> {
        let start = Instant::now();
        let mut watch = Watch::new(start);
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
