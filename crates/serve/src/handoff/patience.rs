use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::time::Instant;

use sluicegate_answer::Question;

/// The clients that get an expired answer when they have waited too long for a fresh one (RFC 8767, 5: the client
/// response timer). `T` names a client.
///
/// The fresh one is returned to them all the same when it comes: where the expired one is gone, they have waited on.
///
/// Bounded by those who may wait for the engine at all.
pub(super) struct Patience<T> {
    /// In the order of asking. All wait equally long but for a change of the configuration.
    order: VecDeque<(Instant, T)>,
    waiting: HashMap<T, Question>,
}

impl<T: Copy + Eq + Hash> Patience<T> {
    pub(super) fn new() -> Self {
        Self {
            order: VecDeque::new(),
            waiting: HashMap::new(),
        }
    }

    /// Adds a client.
    pub(super) fn insert(&mut self, client: T, question: Question, until: Instant) {
        self.order.push_back((until, client));
        self.waiting.insert(client, question);
    }

    /// Takes out a client that is answered.
    pub(super) fn settle(&mut self, client: T) {
        self.waiting.remove(&client);
    }

    /// The next client whose patience has ended, and its question.
    pub(super) fn expire(&mut self, now: Instant) -> Option<(T, Question)> {
        while let Some(&(until, client)) = self.order.front()
            && until <= now
        {
            self.order.pop_front();
            if let Some(question) = self.waiting.remove(&client) {
                return Some((client, question));
            }
        }
        None
    }

    /// When the first client's patience ends.
    pub(super) fn next_deadline(&mut self) -> Option<Instant> {
        while let Some((until, client)) = self.order.front() {
            if self.waiting.contains_key(client) {
                return Some(*until);
            }
            self.order.pop_front();
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sluicegate_dns::Name;

    use super::*;

    fn question(letter: u8) -> Question {
        Question {
            name: Name::from_wire(&[1, letter, 0]).unwrap(),
            qtype: 1,
            qclass: 1,
            dnssec_ok: false,
            cd: false,
            stale: true,
        }
    }

    #[test]
    fn who_has_an_answer_in_time_is_not_told_another() {
        let start = Instant::now();
        let at = |secs| start + Duration::from_secs(secs);
        let mut patience = Patience::new();
        patience.insert(1, question(b'a'), at(1));
        patience.insert(2, question(b'b'), at(2));
        patience.settle(1);
        assert_eq!(patience.next_deadline(), Some(at(2)));
        assert_eq!(patience.expire(at(1)), None);
        assert_eq!(patience.expire(at(2)), Some((2, question(b'b'))));
        assert_eq!(patience.expire(at(9)), None);
        assert_eq!(patience.next_deadline(), None);
        patience.settle(2);
        assert!(patience.waiting.is_empty() && patience.order.is_empty());
    }
}
