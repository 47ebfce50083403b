use std::time::{Duration, Instant};

/// Bounds how often the privileged process acts: [`BURST`] times at once, which any start needs less of, then
/// [`PER_SEC`] times a second. Who asks more often waits; nobody is refused.
#[derive(Debug)]
pub(super) struct Pace {
    /// When the whole burst will be there again.
    full_at: Instant,
}

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

#[cfg(test)]
mod tests {
    use super::*;

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
