use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What the relay to upstreams over TLS has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RelayCounts {
    /// Queries that libunbound sent.
    pub queries: u64,
    /// Of these, those that an upstream answered.
    pub answered: u64,
    /// Connections opened.
    pub connections: u64,
    /// Of these, those that resumed an earlier one's session.
    pub resumed: u64,
    /// Connections that could not be opened or secured, and those that ended before the first answer.
    pub failures: u64,
}

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Query,
    Answer,
    Connection,
    Resumption,
    Failure,
}

/// The process has one relay at most.
static COUNTS: [AtomicU64; RelayCounts::NUMBERS] =
    [const { AtomicU64::new(0) }; RelayCounts::NUMBERS];

/// Counts an event.
pub(super) fn count(event: Event) {
    COUNTS[event as usize].fetch_add(1, Relaxed);
}

impl RelayCounts {
    /// How many numbers these are.
    pub(crate) const NUMBERS: usize = 5;

    /// Those of this process.
    pub(crate) fn of_process() -> Self {
        Self::from_numbers(COUNTS.each_ref().map(|count| count.load(Relaxed)))
    }

    pub(crate) const fn from_numbers(numbers: [u64; Self::NUMBERS]) -> Self {
        let [queries, answered, connections, resumed, failures] = numbers;
        Self {
            queries,
            answered,
            connections,
            resumed,
            failures,
        }
    }

    pub(crate) const fn numbers(self) -> [u64; Self::NUMBERS] {
        let Self {
            queries,
            answered,
            connections,
            resumed,
            failures,
        } = self;
        [queries, answered, connections, resumed, failures]
    }

    /// Adds what has been counted since `earlier`.
    pub(crate) fn add_since(&mut self, now: Self, earlier: Self) {
        let mut numbers = self.numbers();
        for ((sum, now), earlier) in numbers.iter_mut().zip(now.numbers()).zip(earlier.numbers()) {
            *sum += now.saturating_sub(earlier);
        }
        *self = Self::from_numbers(numbers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_outlive_the_process_that_counted() {
        let counts = |number| RelayCounts::from_numbers([number; RelayCounts::NUMBERS]);
        let mut sum = RelayCounts::default();
        sum.add_since(counts(3), counts(0));
        sum.add_since(counts(5), counts(3));
        // The next process begins with nothing.
        sum.add_since(counts(2), RelayCounts::default());
        assert_eq!(sum, counts(7));
    }

    #[test]
    fn events_have_their_places() {
        let before = RelayCounts::of_process();
        count(Event::Failure);
        let mut since = RelayCounts::default();
        since.add_since(RelayCounts::of_process(), before);
        // Other tests may run relays meanwhile.
        assert!(since.failures >= 1);
        assert_eq!(
            RelayCounts::from_numbers([1, 2, 3, 4, 5]).numbers(),
            [1, 2, 3, 4, 5]
        );
        assert_eq!(Event::Failure as usize, 4);
    }
}
