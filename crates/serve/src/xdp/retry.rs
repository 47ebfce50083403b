use std::time::{Duration, Instant};

use super::Reason;

/// When an interface that could not be started is tried again.
///
/// News of the interface (it came up, its MTU or addresses changed, a foreign program went away) allows
/// another try soon. Without news the tries grow rarer, and with news they do so up to [`LONGEST_QUIET`]:
/// attaching a program resets some NICs, which is news in itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Retry {
    tried: Instant,
    failures: u32,
    longest: Duration,
}

/// The least time between two tries, doubled with each.
const SETTLE: Duration = Duration::from_millis(200);
/// The first wait without news.
const FIRST: Duration = Duration::from_millis(500);
/// The longest wait where a try leaves the interface as it was.
const LONGEST_QUIET: Duration = Duration::from_secs(4);
/// The longest wait where a try attaches and detaches a program.
const LONGEST: Duration = Duration::from_mins(1);

impl Retry {
    /// A first failure, or one more after `before`.
    pub(super) fn after(before: Option<Self>, reason: &Reason, now: Instant) -> Self {
        let quiet = !matches!(reason, Reason::Rungs(_) | Reason::Queue { .. });
        Self {
            tried: now,
            failures: before.map_or(0, |before| before.failures.saturating_add(1)),
            longest: if quiet { LONGEST_QUIET } else { LONGEST },
        }
    }

    /// From when on another try may be made.
    pub(super) fn due(&self, news: bool) -> Instant {
        let (first, longest) = if news {
            (SETTLE, LONGEST_QUIET)
        } else {
            (FIRST, self.longest)
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

    /// A foreign program may go at any time, and looking for it costs the NIC nothing.
    #[test]
    fn what_costs_nothing_is_tried_within_five_seconds() {
        let now = Instant::now();
        let reason = Reason::Foreign {
            id: Some(1),
            name: None,
        };
        let retry = (0..40)
            .fold(None, |before, _| Some(Retry::after(before, &reason, now)))
            .unwrap();
        assert!(retry.due(false) <= now + Duration::from_secs(5));
    }
}
