//! When a lost engine is started again.

use std::time::{Duration, Instant};

use super::table::Blame;

/// Back-off: the first restart at once, then after 0.1 s, doubling to 5 s; to 1 s for an engine that had been
/// ready, so that misses are answered again within 2 s of a crash, however many there were before; to 0.2 s for
/// one that was killed from outside, which says nothing against the next. An engine that was ready for a second
/// starts the count anew.
#[derive(Debug, Default)]
pub(super) struct Restart {
    due: Option<Instant>,
    losses: u32,
}

const FIRST_DELAY: Duration = Duration::from_millis(100);
/// After an engine that never got ready.
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// After one that did.
const LONGEST_DELAY_IF_READY: Duration = Duration::from_secs(1);
/// After one that was killed.
const LONGEST_DELAY_IF_KILLED: Duration = Duration::from_millis(200);
/// An engine that was ready for this long was a good one.
const GOOD_LIFE: Duration = Duration::from_secs(1);

impl Restart {
    /// An engine was lost at `now`, having been ready for `lived`; `None`: it never was.
    pub(super) fn lost(&mut self, now: Instant, lived: Option<Duration>, blame: Blame) {
        if lived.is_some_and(|lived| lived >= GOOD_LIFE) {
            self.losses = 0;
        }
        let longest = match (blame, lived) {
            (Blame::Nobody, _) => LONGEST_DELAY_IF_KILLED,
            (Blame::Questions, Some(_)) => LONGEST_DELAY_IF_READY,
            (Blame::Questions, None) => LONGEST_DELAY,
        };
        let delay = match self.losses {
            0 => Duration::ZERO,
            losses => FIRST_DELAY
                .saturating_mul(1 << (losses - 1).min(16))
                .min(longest),
        };
        self.losses = self.losses.saturating_add(1);
        self.due = Some(now + delay);
    }

    /// When the next start is due, if one is.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// True once when the start is due.
    pub(super) fn take_due(&mut self, now: Instant) -> bool {
        self.due.take_if(|due| *due <= now).is_some()
    }

    /// No start is needed: an engine is there.
    pub(super) fn cancel(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(restart: &mut Restart, lived: Option<Duration>, blame: Blame) -> Vec<u128> {
        let now = Instant::now();
        let mut delay = || {
            restart.lost(now, lived, blame);
            (restart.due().unwrap() - now).as_millis()
        };
        (0..9).map(|_| delay()).collect()
    }

    #[test]
    fn first_at_once_then_doubling_to_a_bound() {
        let (mut restart, now) = (Restart::default(), Instant::now());
        assert_eq!(
            delays(&mut restart, None, Blame::Questions),
            [0, 100, 200, 400, 800, 1600, 3200, 5000, 5000]
        );
        restart.lost(now, Some(Duration::from_secs(1)), Blame::Questions);
        assert_eq!(restart.due(), Some(now));
        assert!(restart.take_due(now) && !restart.take_due(now));
        let short = Some(Duration::from_millis(10));
        assert_eq!(
            delays(&mut restart, short, Blame::Questions),
            [100, 200, 400, 800, 1000, 1000, 1000, 1000, 1000]
        );
    }

    #[test]
    fn killing_does_not_slow_the_next() {
        let killed = delays(&mut Restart::default(), None, Blame::Nobody);
        assert_eq!(killed, [0, 100, 200, 200, 200, 200, 200, 200, 200]);
    }
}
