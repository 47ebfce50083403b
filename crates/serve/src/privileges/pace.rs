use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Bounds how often the privileged process acts: [`BURST`] times at once, which any start needs less of, then
/// [`PER_SEC`] times a second. Who asks more often waits; nobody is refused.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the whole burst will be there again.
    full_at: Instant,
}

/// Bounds how often programs are attached to one interface, which resets some NICs, each time for seconds:
/// [`ATTACH_BURST`] times at once, then once in [`ATTACH_EACH`]. A server in its right mind tries far less often. Who asks
/// more often is refused, so that nobody else has to wait.
#[derive(Debug, Default)]
pub(super) struct AttachPace {
    /// When an interface's whole burst will be there again, for those that lack some of it.
    full_at: BTreeMap<u32, Instant>,
}

const ATTACH_BURST: u32 = 12;
const ATTACH_EACH: Duration = Duration::from_secs(10);

const BURST: u32 = 2048;
const PER_SEC: u32 = 64;
const EACH: Duration = Duration::from_nanos(1_000_000_000 / PER_SEC as u64);

impl Pace {
    pub(super) const fn new(now: Instant) -> Self {
        Self { full_at: now }
    }

    /// Notes one act; how long to wait before it.
    pub(super) fn wait(&mut self, now: Instant) -> Duration {
        self.full_at = self.full_at.max(now) + EACH;
        (self.full_at - now).saturating_sub(EACH * BURST)
    }
}

impl AttachPace {
    /// Whether another attachment may be tried. That alone costs nothing.
    ///
    /// # Errors
    /// It comes too soon: how long to wait.
    pub(super) fn check(&mut self, ifindex: u32, now: Instant) -> Result<(), Duration> {
        // Interfaces that come and go leave nothing behind for longer than their burst takes to fill up.
        self.full_at.retain(|_, full_at| *full_at > now);
        let full_at = self.full_at.get(&ifindex).copied().unwrap_or(now) + ATTACH_EACH;
        let wait = (full_at - now).saturating_sub(ATTACH_EACH * ATTACH_BURST);
        if wait > Duration::ZERO {
            return Err(wait);
        }
        Ok(())
    }

    /// Notes one attachment.
    pub(super) fn note(&mut self, ifindex: u32, now: Instant) {
        let full_at = self.full_at.entry(ifindex).or_insert(now);
        *full_at = (*full_at).max(now) + ATTACH_EACH;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl AttachPace {
        fn take(&mut self, ifindex: u32, now: Instant) -> Result<(), Duration> {
            self.check(ifindex, now)?;
            self.note(ifindex, now);
            Ok(())
        }
    }

    #[test]
    fn an_interface_is_attached_to_at_its_pace_and_others_at_theirs() {
        let start = Instant::now();
        let mut pace = AttachPace::default();
        for _ in 0..ATTACH_BURST {
            assert_eq!(pace.take(7, start), Ok(()));
        }
        assert_eq!(pace.take(7, start), Err(ATTACH_EACH));
        assert_eq!(pace.take(8, start), Ok(()));
        // A refusal costs nothing: asking on and on puts nothing off.
        let soon = Duration::from_secs(1);
        assert_eq!(
            pace.take(7, start + soon),
            Err(ATTACH_EACH.saturating_sub(soon))
        );
        assert_eq!(pace.take(7, start + ATTACH_EACH), Ok(()));
        assert!(pace.take(7, start + ATTACH_EACH).is_err());
        let hour = Duration::from_hours(1);
        let allowed =
            (0..3600).filter(|s| pace.take(7, start + hour + Duration::from_secs(*s)).is_ok());
        let allowed = allowed.count() as u32;
        assert!(allowed <= ATTACH_BURST + 360, "{allowed} in an hour");
        assert_eq!(pace.full_at.len(), 1, "the other's burst is full");
    }

    #[test]
    fn a_burst_is_free_and_what_follows_is_paced() {
        let start = Instant::now();
        let mut pace = Pace::new(start);
        for _ in 0..BURST {
            assert_eq!(pace.wait(start), Duration::ZERO);
        }
        assert_eq!(pace.wait(start), EACH);
        assert_eq!(pace.wait(start), EACH * 2);
        let later = start + EACH * (BURST + 2);
        assert_eq!(pace.wait(later), Duration::ZERO);
    }
}
