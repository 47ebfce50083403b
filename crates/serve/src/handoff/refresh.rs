use std::collections::HashSet;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use foldhash::quality::RandomState;
use sluicegate_answer::{Question, Refresh};
use sluicegate_engine::Question as Asked;

use crate::Waker;

/// Refreshes on their way from the workers to the hand-off thread.
const QUEUE: usize = 1024;

/// Questions whose refreshes are counted at a time; two that share a slot count anew.
const SLOTS: usize = 4096;

/// Where workers leave the questions whose answers are to be refreshed. Whoever leaves one does not wait: if the
/// queue is full, the answer is refreshed another time, or ends.
#[derive(Debug)]
pub(crate) struct Refresher {
    questions: SyncSender<Question>,
    hub: Waker,
    shed: Arc<AtomicU64>,
}

/// The hand-off thread's end.
#[derive(Debug)]
pub(crate) struct RefreshEnd {
    questions: Receiver<Question>,
    shed: Arc<AtomicU64>,
}

/// What the hand-off thread knows of refreshes.
pub(super) struct Refreshes {
    in_flight: HashSet<Asked, RandomState>,
    generations: Generations,
    counts: RefreshCounts,
}

/// What has been counted of refreshes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct RefreshCounts {
    /// Given to the engine.
    pub(super) asked: u64,
    /// Left alone: the question is being refreshed, or has failed a moment ago.
    pub(super) spared: u64,
    /// Left alone: over the bound.
    pub(super) shed: u64,
    /// Refreshes that brought a good answer.
    pub(super) fresh: u64,
}

impl Refresher {
    /// Both ends; the hand-off thread is woken through `hub`.
    pub(crate) fn new(hub: Waker) -> (Self, RefreshEnd) {
        let (sender, questions) = sync_channel(QUEUE);
        let shed = Arc::new(AtomicU64::new(0));
        let end = RefreshEnd {
            questions,
            shed: Arc::clone(&shed),
        };
        let refresher = Self {
            questions: sender,
            hub,
            shed,
        };
        (refresher, end)
    }
}

impl Refresh for Refresher {
    fn refresh(&self, question: Question) {
        match self.questions.try_send(question) {
            Ok(()) => self.hub.wake(),
            Err(_) => drop(self.shed.fetch_add(1, Relaxed)),
        }
    }
}

impl RefreshEnd {
    /// The next question, if there is one.
    pub(super) fn next(&self) -> Option<Question> {
        self.questions.try_recv().ok()
    }
}

impl Refreshes {
    pub(super) fn new() -> Self {
        Self {
            in_flight: HashSet::default(),
            generations: Generations::new(),
            counts: RefreshCounts::default(),
        }
    }

    /// Notes that a client's question has gone to the context that all such questions go to.
    pub(super) fn asked_plainly(&mut self, question: &Asked) {
        self.generations.restart(question);
    }

    /// The generation of this refresh; `None`: there is one in flight already.
    pub(super) fn begin(&mut self, question: &Asked) -> Option<u8> {
        if !self.in_flight.insert(question.clone()) {
            self.counts.spared += 1;
            return None;
        }
        self.counts.asked += 1;
        Some(self.generations.next(question))
    }

    /// The engine had no room for it.
    pub(super) fn shed(&mut self, question: &Asked) {
        self.in_flight.remove(question);
        self.counts.asked -= 1;
        self.counts.shed += 1;
    }

    /// The question has failed a moment ago: this is not the time.
    pub(super) fn spare(&mut self) {
        self.counts.spared += 1;
    }

    /// A refresh has ended.
    pub(super) fn end(&mut self, question: &Asked, is_good: bool) {
        self.in_flight.remove(question);
        self.counts.fresh += u64::from(is_good);
    }

    pub(super) fn counts(&self, end: &RefreshEnd) -> RefreshCounts {
        RefreshCounts {
            shed: self.counts.shed + end.shed.load(Relaxed),
            ..self.counts
        }
    }
}

/// How often each of the latest questions was refreshed in a row, direct-mapped.
struct Generations {
    hasher: RandomState,
    slots: Box<[(u32, u8)]>,
}

impl Generations {
    fn new() -> Self {
        Self {
            hasher: RandomState::default(),
            slots: vec![(0, 0); SLOTS].into(),
        }
    }

    fn slot(&mut self, question: &Asked) -> (&mut (u32, u8), u32) {
        let hash = self.hasher.hash_one(question);
        (&mut self.slots[hash as usize % SLOTS], (hash >> 32) as u32)
    }

    fn restart(&mut self, question: &Asked) {
        let (slot, mark) = self.slot(question);
        if slot.0 == mark {
            slot.1 = 0;
        }
    }

    fn next(&mut self, question: &Asked) -> u8 {
        let (slot, mark) = self.slot(question);
        if slot.0 != mark {
            *slot = (mark, 0);
        }
        slot.1 = slot.1.wrapping_add(1);
        slot.1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_refresh_of_a_question_is_in_flight() {
        let mut refreshes = Refreshes::new();
        let question = Asked::new(b"\x01a\0", 1, 1).unwrap();
        let other = Asked::new(b"\x01b\0", 1, 1).unwrap();
        assert_eq!(refreshes.begin(&question), Some(1));
        assert_eq!(refreshes.begin(&question), None);
        assert_eq!(refreshes.begin(&other), Some(1));
        refreshes.end(&question, true);
        assert_eq!(refreshes.begin(&question), Some(2));
        refreshes.end(&question, false);
        refreshes.asked_plainly(&question);
        assert_eq!(refreshes.begin(&question), Some(1));
        refreshes.shed(&question);
        let RefreshCounts {
            asked,
            spared,
            shed,
            fresh,
        } = refreshes.counts;
        assert_eq!((asked, spared, shed, fresh), (3, 1, 1, 1));
    }

    #[test]
    fn a_full_queue_sheds() {
        let (refresher, end) = Refresher::new(Waker::new().unwrap());
        let question = Question {
            name: sluicegate_dns::Name::from_wire(b"\x01a\0").unwrap(),
            qtype: 1,
            qclass: 1,
            dnssec_ok: false,
            cd: false,
            stale: false,
        };
        for _ in 0..QUEUE + 2 {
            refresher.refresh(question.clone());
        }
        assert_eq!(Refreshes::new().counts(&end).shed, 2);
        assert_eq!(end.next(), Some(question));
    }
}
