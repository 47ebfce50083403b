//! When a question may leave for the engine.
//!
//! A new engine knows nothing of the upstreams' round-trip times, and after a loss all that was in flight wants
//! to be asked again at once: 2,000 queries in a millisecond overflow an upstream's socket, and what is lost
//! there looks to libunbound like a slow server. So each thread begins with a small window, which grows by one
//! with each answer, as TCP's does, and by some with time, so that dead upstreams don't keep it shut.
//!
//! Questions that an engine crashed with are suspects. Few of them are in flight at once, so that the one that
//! is guilty takes few with it.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::table::Token;

/// How many questions a thread of a new engine gets at first.
const FIRST_WINDOW: usize = 128;
/// The window grows by so many in each [`GROWTH_TIME`], whatever is answered.
const GROWTH: usize = 64;
const GROWTH_TIME: Duration = Duration::from_millis(100);
/// Suspects in flight on one thread.
const MAX_SUSPECTS: usize = 16;

/// The questions that wait for their turn, and how many are out.
#[derive(Debug)]
pub(super) struct Pace {
    lanes: Vec<Lane>,
    since: Option<Instant>,
}

/// Whether an engine crashed with a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Record {
    Clean,
    Suspect,
}

#[derive(Debug, Default)]
struct Lane {
    clean: VecDeque<Token>,
    suspects: VecDeque<Token>,
    out: usize,
    suspects_out: usize,
    answered: usize,
}

impl Pace {
    pub(super) fn new(threads: usize) -> Self {
        Self {
            lanes: (0..threads).map(|_| Lane::default()).collect(),
            since: None,
        }
    }

    /// Another engine serves from now on: nothing is out with it.
    pub(super) fn begin(&mut self, now: Instant) {
        self.since = Some(now);
        for lane in &mut self.lanes {
            (lane.out, lane.suspects_out, lane.answered) = (0, 0, 0);
        }
    }

    /// Puts a question at the end of its queue.
    pub(super) fn push(&mut self, thread: usize, token: Token, record: Record) {
        let lane = &mut self.lanes[thread];
        match record {
            Record::Clean => lane.clean.push_back(token),
            Record::Suspect => lane.suspects.push_back(token),
        }
    }

    /// Takes the next question that may leave. Whether it still waits is for the caller to see; if it does,
    /// [`Pace::sent`] follows.
    pub(super) fn next(&mut self, thread: usize, now: Instant) -> Option<Token> {
        let since = self.since?;
        let lane = &mut self.lanes[thread];
        let periods = now.saturating_duration_since(since).as_millis() / GROWTH_TIME.as_millis();
        let by_time = GROWTH.saturating_mul(periods as usize);
        let window = FIRST_WINDOW
            .saturating_add(lane.answered)
            .saturating_add(by_time);
        if lane.out >= window {
            return None;
        }
        let clean = lane.clean.pop_front();
        clean.or_else(|| {
            (lane.suspects_out < MAX_SUSPECTS)
                .then(|| lane.suspects.pop_front())
                .flatten()
        })
    }

    /// A question has left.
    pub(super) fn sent(&mut self, thread: usize, record: Record) {
        let lane = &mut self.lanes[thread];
        lane.out += 1;
        lane.suspects_out += usize::from(record == Record::Suspect);
    }

    /// A question that had left is settled.
    pub(super) fn settled(&mut self, thread: usize, record: Record) {
        let lane = &mut self.lanes[thread];
        lane.out = lane.out.saturating_sub(1);
        lane.answered = lane.answered.saturating_add(1);
        if record == Record::Suspect {
            lane.suspects_out = lane.suspects_out.saturating_sub(1);
        }
    }

    /// Takes out of the queues what is not wanted any more; the others keep their order.
    pub(super) fn retain(&mut self, wanted: impl Fn(Token) -> bool) {
        for lane in &mut self.lanes {
            lane.clean.retain(|token| wanted(*token));
            lane.suspects.retain(|token| wanted(*token));
        }
    }

    /// Questions that wait for their turn; some may have been given up meanwhile.
    pub(super) fn queued(&self) -> usize {
        let lanes = self.lanes.iter();
        lanes
            .map(|lane| lane.clean.len() + lane.suspects.len())
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(clean: u64, suspects: u64) -> Pace {
        let mut pace = Pace::new(1);
        (0..clean).for_each(|number| pace.push(0, Token(number), Record::Clean));
        (0..suspects).for_each(|number| pace.push(0, Token(1 << 40 | number), Record::Suspect));
        pace
    }

    fn release(pace: &mut Pace, now: Instant) -> usize {
        let mut count = 0;
        while let Some(Token(number)) = pace.next(0, now) {
            let suspect = number >= 1 << 40;
            let record = if suspect {
                Record::Suspect
            } else {
                Record::Clean
            };
            pace.sent(0, record);
            count += 1;
        }
        count
    }

    #[test]
    fn nothing_leaves_without_an_engine() {
        let mut pace = pace(5, 0);
        assert_eq!(release(&mut pace, Instant::now()), 0);
        assert_eq!(pace.queued(), 5);
    }

    #[test]
    fn the_window_opens_with_answers_and_with_time() {
        let (mut pace, now) = (pace(2000, 0), Instant::now());
        pace.begin(now);
        assert_eq!(release(&mut pace, now), FIRST_WINDOW);
        (0..FIRST_WINDOW).for_each(|_| pace.settled(0, Record::Clean));
        assert_eq!(release(&mut pace, now), FIRST_WINDOW * 2);
        assert_eq!(release(&mut pace, now + GROWTH_TIME * 3), GROWTH * 3);
        // Another engine begins anew.
        pace.begin(now);
        assert_eq!(release(&mut pace, now), FIRST_WINDOW);
    }

    #[test]
    fn suspects_come_last_and_few_at_a_time() {
        let (mut pace, now) = (pace(10, 50), Instant::now());
        pace.begin(now);
        assert_eq!(release(&mut pace, now), 10 + MAX_SUSPECTS);
        pace.settled(0, Record::Suspect);
        assert_eq!(release(&mut pace, now), 1);
        pace.settled(0, Record::Clean);
        assert_eq!(release(&mut pace, now), 0);
    }
}
