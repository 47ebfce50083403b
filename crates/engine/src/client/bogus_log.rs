//! The log lines that `val-log-level` asks for.

use std::time::{Duration, Instant};

use crate::{Answer, Question};

/// Logs bogus answers: so many lines in a second at most, since whoever asks for names below a broken zone
/// decides how many there are.
#[derive(Debug, Default)]
pub(super) struct BogusLog {
    second: Option<Instant>,
    lines: u32,
    left_out: u64,
}

const LINES_PER_SECOND: u32 = 100;

impl BogusLog {
    /// Logs one answer: at level 1 the question, from level 2 on libunbound's words too, which name the
    /// servers the data came from.
    pub(super) fn tell(&mut self, question: &Question, answer: &Answer, level: u64) {
        if level == 0 || !self.may_log(Instant::now()) {
            return;
        }
        match &answer.why_bogus {
            Some(why) if level > 1 => {
                tracing::info!(ede = answer.ede(), "{}", why.escape_debug());
            }
            _ => tracing::info!(ede = answer.ede(), "validation failure {question}"),
        }
    }

    fn may_log(&mut self, now: Instant) -> bool {
        let same_second = self
            .second
            .is_some_and(|second| now.saturating_duration_since(second) < Duration::from_secs(1));
        if !same_second {
            if self.left_out > 0 {
                tracing::info!("validation failures not logged: {}", self.left_out);
            }
            *self = Self {
                second: Some(now),
                ..Self::default()
            };
        }
        self.lines += 1;
        let may = self.lines <= LINES_PER_SECOND;
        self.left_out += u64::from(!may);
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_bounded_in_each_second() {
        let (mut log, now) = (BogusLog::default(), Instant::now());
        let logged = (0..LINES_PER_SECOND * 2).filter(|_| log.may_log(now));
        assert_eq!(logged.count(), LINES_PER_SECOND as usize);
        assert_eq!(log.left_out, u64::from(LINES_PER_SECOND));
        assert!(log.may_log(now + Duration::from_secs(1)));
        assert_eq!(log.left_out, 0);
    }
}
