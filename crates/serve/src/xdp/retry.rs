use std::time::{Duration, Instant};

use super::Reason;

/// When an interface that could not be started is tried again.
///
/// News of the interface (it came up, its MTU or addresses changed, a foreign program went away) allows
/// another try soon. Without news the tries grow rarer, and with news they do so up to [`LONGEST_QUIET`]. Attaching a
/// program resets some NICs: after a try that did, what a reset changes is no news (`Waiting::is_news`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    tried: Instant,
    failures: u32,
    longest: Duration,
    at_once: bool,
}

/// The least time between two tries, doubled with each.
const SETTLE: Duration = Duration::from_millis(200);
/// The first wait without news.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait where a try leaves the interface as it was.
const LONGEST_QUIET: Duration = Duration::from_secs(4);
/// The longest wait where a try attaches and detaches a program.
const LONGEST: Duration = Duration::from_mins(1);
/// Where each try loses packets: only news allows another.
const NEVER: Duration = Duration::from_hours(24 * 365);
/// A start that held for less than this has failed.
const STEADY: Duration = Duration::from_secs(5);

/// Whether an interface ended because queries were lost on it.
pub(super) const fn swallows(reason: &Reason) -> bool {
    matches!(reason, Reason::Mute { .. } | Reason::Stuck { .. })
}

impl Retry {
    /// A first failure, or one more after `before`.
    pub(super) fn after(before: Option<Self>, reason: &Reason, now: Instant) -> Self {
        let longest = match reason {
            Reason::Rungs(_) | Reason::Queue { .. } => LONGEST,
            reason if swallows(reason) => NEVER,
            _ => LONGEST_QUIET,
        };
        Self {
            tried: now,
            failures: before.map_or(0, |before| before.failures.saturating_add(1)),
            longest,
            at_once: false,
        }
    }

    /// The same where a program was attached and is off again, whatever the reason.
    pub(super) fn after_touch(before: Option<Self>, reason: &Reason, now: Instant) -> Self {
        let retry = Self::after(before, reason, now);
        Self {
            longest: retry.longest.max(LONGEST),
            ..retry
        }
    }

    /// The end of an interface that ran for `lived`, after its start had been tried as `before` says. The first
    /// end, and the end of a steady interface, allow another try at once; one soon after a start counts as
    /// a failure, or a worker that fails each time would attach and detach without a pause. One that
    /// swallowed packets has always failed: it takes longer than a steady start to see that.
    pub(super) fn after_end(
        before: Option<Self>,
        reason: &Reason,
        lived: Duration,
        now: Instant,
    ) -> Self {
        let swallowed = swallows(reason);
        let before = before.filter(|_| lived < STEADY || swallowed);
        Self {
            at_once: before.is_none() && !swallowed,
            ..Self::after(before, reason, now)
        }
    }

    /// It isn't its turn yet: it is looked at again soon, and that was no failure.
    pub(super) fn turn(before: Option<Self>, now: Instant) -> Self {
        Self {
            tried: now + SETTLE,
            failures: before.map_or(0, |before| before.failures),
            longest: LONGEST_QUIET,
            at_once: true,
        }
    }

    /// From when on another try may be made.
    pub(super) fn due(&self, news: bool) -> Instant {
        if self.at_once {
            return self.tried;
        }
        let (first, longest) = match (news, self.longest) {
            (false, NEVER) => return self.tried + NEVER,
            (true, NEVER) => (SETTLE, LONGEST),
            (true, _) => (SETTLE, LONGEST_QUIET),
            (false, longest) => (FIRST, longest),
        };
        self.tried
            + first
                .saturating_mul(1 << self.failures.min(10))
                .min(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xdp::reason::Failures;

    #[test]
    fn waits_grow_to_their_bound() {
        let now = Instant::now();
        let reason = Reason::Rungs(Failures::default());
        let mut retry = Retry::after(None, &reason, now);
        assert_eq!(retry.due(false), now + FIRST);
        assert_eq!(retry.due(true), now + SETTLE);
        for _ in 0..40 {
            let before = retry.due(false);
            retry = Retry::after(Some(retry), &reason, now);
            assert!(retry.due(false) >= before);
        }
        assert_eq!(retry.due(false), now + LONGEST);
        assert_eq!(retry.due(true), now + LONGEST_QUIET);
    }

    /// A worker that ends as soon as it has been started.
    #[test]
    fn short_lives_make_tries_rarer() {
        let now = Instant::now();
        let reason = Reason::Queue {
            queue: 0,
            what: String::new(),
        };
        let short = Duration::from_millis(1);
        let first = Retry::after_end(None, &reason, short, now);
        assert_eq!(first.due(false), now);
        let waits: Vec<_> = (0..20)
            .scan(first, |retry, _| {
                *retry = Retry::after_end(Some(*retry), &reason, short, now);
                Some(retry.due(false) - now)
            })
            .collect();
        assert!(waits[0] >= FIRST && waits.is_sorted());
        assert_eq!(waits.last(), Some(&LONGEST));
    }

    #[test]
    fn steady_interface_is_made_anew_at_once() {
        let now = Instant::now();
        let failed = (0..9)
            .fold(None, |before, _| {
                Some(Retry::after(before, &Reason::NoAddress, now))
            })
            .unwrap();
        let retry = Retry::after_end(Some(failed), &Reason::Gone, STEADY, now);
        assert_eq!(retry.due(false), now);
    }

    /// A socket that may not be locked in memory, say: each try resets some cards.
    #[test]
    fn tries_that_attach_grow_rare_whatever_the_reason() {
        let now = Instant::now();
        let reason = Reason::NotPermitted(String::new());
        let tries = (0..20).scan(None, |before, _| {
            *before = Some(Retry::after_touch(*before, &reason, now));
            *before
        });
        let waits: Vec<_> = tries.map(|retry| retry.due(false) - now).collect();
        assert!(waits[0] == FIRST && waits.is_sorted());
        assert_eq!(waits.last(), Some(&LONGEST));
        let mute = Reason::Mute { queue: 0, lost: 9 };
        assert!(Retry::after_touch(None, &mute, now).due(false) > now + LONGEST);
    }

    /// Its return may look like what was there before, and must be followed within five seconds.
    #[test]
    fn interface_that_left_is_looked_for_often() {
        let now = Instant::now();
        let retry = (0..40)
            .fold(None, |before, _| {
                Some(Retry::after_end(before, &Reason::Gone, Duration::ZERO, now))
            })
            .unwrap();
        assert_eq!(retry.due(false), now + LONGEST_QUIET);
    }

    /// Packets were lost until that was noticed: it is not tried again as long as all is as it was.
    #[test]
    fn interface_that_swallows_packets_waits_for_news() {
        let now = Instant::now();
        let retry = Retry::after_end(None, &Reason::Mute { queue: 0, lost: 9 }, STEADY, now);
        assert!(retry.due(false) > now + Duration::from_hours(24));
        assert_eq!(retry.due(true), now + SETTLE);
    }

    /// News or not: each try loses queries for seconds, for it takes as long to see that they are lost.
    #[test]
    fn tries_that_swallow_packets_grow_rare_however_long_each_lives() {
        let now = Instant::now();
        let stuck = Reason::Stuck { queue: 0, stuck: 9 };
        let ends = (0..20).scan(None, |before, _| {
            *before = Some(Retry::after_end(*before, &stuck, STEADY * 2, now));
            *before
        });
        let waits: Vec<_> = ends.map(|retry| retry.due(true) - now).collect();
        assert!(waits[0] == SETTLE && waits.is_sorted());
        assert_eq!(waits.last(), Some(&LONGEST));
    }

    #[test]
    fn waiting_for_a_turn_is_no_failure() {
        let now = Instant::now();
        let retry = (0..40).fold(None, |before, _| Some(Retry::turn(before, now)));
        let retry = retry.unwrap();
        assert_eq!((retry.failures, retry.due(false)), (0, now + SETTLE));
        assert_eq!(retry.due(true), now + SETTLE);
    }

    /// A foreign program may go at any time, and looking for it costs the NIC nothing.
    #[test]
    fn what_costs_nothing_is_tried_within_five_seconds() {
        let now = Instant::now();
        let reason = Reason::Foreign {
            id: Some(1),
            name: None,
            mode: None,
        };
        let retry = (0..40)
            .fold(None, |before, _| Some(Retry::after(before, &reason, now)))
            .unwrap();
        assert!(retry.due(false) <= now + Duration::from_secs(5));
    }
}
