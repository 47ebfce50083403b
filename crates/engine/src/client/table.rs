//! The questions in flight and who waits for them.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::Question;

/// The questions in flight and who waits for them. Bounded: so many questions on each thread, so many waiters.
///
/// A question stays until the engine answers it, also when nobody waits any longer: it is still work in the
/// engine, and the next one to ask joins it.
#[derive(Debug)]
pub(super) struct Table<W> {
    slots: Vec<Slot<W>>,
    vacant: Vec<u32>,
    /// The questions that may be joined. Those left with an engine that is being replaced are not in it.
    index: HashMap<Question, Token>,
    per_thread: Vec<Load>,
    waiting: usize,
    limits: Limits,
}

/// What one thread has to do.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    questions: usize,
    /// Of these, refreshes.
    refreshes: usize,
}

/// Where a question is to go, and what for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errand {
    thread: usize,
    refresh: bool,
}

/// The table's bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) questions_per_thread: usize,
    pub(super) waiters: usize,
    pub(super) deadline: Duration,
}

/// A question's name towards the engine: the slot, and how often it was used before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token(pub(super) u64);

#[derive(Debug)]
struct Slot<W> {
    epoch: u32,
    entry: Option<Entry<W>>,
}

#[derive(Debug)]
struct Entry<W> {
    question: Question,
    waiters: Vec<(Instant, W)>,
    errand: Errand,
    /// The process that has it; `None`: waits for an engine to be there.
    engine: Option<u32>,
    sends: u8,
    asked: Instant,
}

/// What [`Table::ask`] did.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Asked<W> {
    /// Somebody has asked the same already.
    Joined,
    /// New: to be sent.
    New(Token),
    /// A bound is reached.
    Overloaded(W),
}

/// How often a question may be given to an engine: one that makes the engine crash must not do so for ever.
const MAX_SENDS: u8 = 3;
/// One part in so many of a thread's places is for refreshes.
const REFRESH_SHARE: usize = 8;
/// A question that nobody waits for and the engine does not answer is given up after this; libunbound
/// itself gives up sooner.
const LINGER: Duration = Duration::from_mins(5);

impl<W> Table<W> {
    pub(super) fn new(threads: usize, limits: Limits) -> Self {
        Self {
            slots: Vec::new(),
            vacant: Vec::new(),
            index: HashMap::new(),
            per_thread: vec![Load::default(); threads],
            waiting: 0,
            limits,
        }
    }

    pub(super) fn ask(
        &mut self,
        question: Question,
        waiter: W,
        errand: Errand,
        now: Instant,
    ) -> Asked<W> {
        if self.waiting >= self.limits.waiters {
            return Asked::Overloaded(waiter);
        }
        let deadline = now + self.limits.deadline;
        if let Some(&token) = self.index.get(&question)
            && let Some(entry) = self.entry_mut(token)
        {
            entry.waiters.push((deadline, waiter));
            self.waiting += 1;
            return Asked::Joined;
        }
        let load = &mut self.per_thread[errand.thread];
        if !load.takes(errand, &self.limits) {
            return Asked::Overloaded(waiter);
        }
        load.add(errand);
        self.waiting += 1;
        let token = self.insert(Entry {
            question: question.clone(),
            waiters: vec![(deadline, waiter)],
            errand,
            engine: None,
            sends: 0,
            asked: now,
        });
        self.index.insert(question, token);
        Asked::New(token)
    }

    /// Takes a question out, with who waits for it.
    pub(super) fn finish(&mut self, token: Token) -> Option<(Question, Vec<W>)> {
        let (index, epoch) = token.parts();
        let slot = self
            .slots
            .get_mut(index as usize)
            .filter(|slot| slot.epoch == epoch)?;
        let entry = slot.entry.take()?;
        slot.epoch = slot.epoch.wrapping_add(1);
        self.vacant.push(index);
        self.per_thread[entry.errand.thread].remove(entry.errand);
        self.waiting -= entry.waiters.len();
        if self.index.get(&entry.question) == Some(&token) {
            self.index.remove(&entry.question);
        }
        Some((
            entry.question,
            entry
                .waiters
                .into_iter()
                .map(|(_, waiter)| waiter)
                .collect(),
        ))
    }

    /// The question and its thread, to be sent to `engine`; it counts as sent.
    pub(super) fn send(&mut self, token: Token, engine: u32) -> Option<(&Question, usize)> {
        let entry = self.entry_mut(token)?;
        entry.engine = Some(engine);
        entry.sends += 1;
        Some((&entry.question, entry.errand.thread))
    }

    /// The questions that wait for an engine.
    pub(super) fn unsent(&self) -> Vec<Token> {
        self.tokens(|entry| entry.engine.is_none())
    }

    /// An engine is gone: what it had waits for the next one. Returned is what must not be sent again:
    /// nobody waits for it, or it was sent too often.
    pub(super) fn lose_engine(&mut self, engine: u32) -> Vec<Token> {
        for entry in self.slots.iter_mut().filter_map(|slot| slot.entry.as_mut()) {
            if entry.engine == Some(engine) && entry.sends < MAX_SENDS && !entry.waiters.is_empty()
            {
                entry.engine = None;
            }
        }
        self.tokens(|entry| entry.engine == Some(engine))
    }

    /// An engine is being replaced: nobody joins what it has any more, since it may answer by other rules.
    pub(super) fn stop_joining(&mut self, engine: u32) {
        let slots = &self.slots;
        self.index.retain(|_, token| {
            let entry = slots[token.parts().0 as usize].entry.as_ref();
            entry.is_some_and(|entry| entry.engine != Some(engine))
        });
    }

    /// Whether anybody waits for something this engine has.
    pub(super) fn is_waited_for(&self, engine: u32) -> bool {
        self.entries()
            .any(|entry| entry.engine == Some(engine) && !entry.waiters.is_empty())
    }

    /// Takes out the waiters whose deadline has passed, question by question; and forgets questions that
    /// nobody will answer.
    pub(super) fn expire(&mut self, now: Instant, mut expired: impl FnMut(&Question, Vec<W>)) {
        let mut forgotten = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let Some(entry) = slot.entry.as_mut() else {
                continue;
            };
            // Waiters stand in the order of asking, and all wait equally long.
            let late = entry
                .waiters
                .partition_point(|(deadline, _)| *deadline <= now);
            if late > 0 {
                self.waiting -= late;
                let waiters = entry
                    .waiters
                    .drain(..late)
                    .map(|(_, waiter)| waiter)
                    .collect();
                expired(&entry.question, waiters);
            }
            let abandoned =
                entry.engine.is_none() || now.saturating_duration_since(entry.asked) > LINGER;
            if entry.waiters.is_empty() && abandoned {
                forgotten.push(Token::new(index as u32, slot.epoch));
            }
        }
        for token in forgotten {
            self.finish(token);
        }
    }

    /// Takes out every waiter.
    pub(super) fn drain(&mut self) -> Vec<W> {
        let all = self.tokens(|_| true);
        all.into_iter()
            .filter_map(|token| self.finish(token))
            .flat_map(|(_, waiters)| waiters)
            .collect()
    }

    /// Questions in flight or waiting for an engine.
    pub(super) fn questions(&self) -> usize {
        self.per_thread.iter().map(|load| load.questions).sum()
    }

    /// Waiters in all.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    fn insert(&mut self, entry: Entry<W>) -> Token {
        if let Some(index) = self.vacant.pop() {
            let slot = &mut self.slots[index as usize];
            slot.entry = Some(entry);
            return Token::new(index, slot.epoch);
        }
        self.slots.push(Slot {
            epoch: 0,
            entry: Some(entry),
        });
        Token::new((self.slots.len() - 1) as u32, 0)
    }

    fn entry_mut(&mut self, token: Token) -> Option<&mut Entry<W>> {
        let (index, epoch) = token.parts();
        self.slots
            .get_mut(index as usize)
            .filter(|slot| slot.epoch == epoch)?
            .entry
            .as_mut()
    }

    fn entries(&self) -> impl Iterator<Item = &Entry<W>> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref())
    }

    fn tokens(&self, wanted: impl Fn(&Entry<W>) -> bool) -> Vec<Token> {
        let with_index = self.slots.iter().enumerate();
        with_index
            .filter(|(_, slot)| slot.entry.as_ref().is_some_and(&wanted))
            .map(|(index, slot)| Token::new(index as u32, slot.epoch))
            .collect()
    }
}

impl Errand {
    /// A question that clients wait for.
    pub(super) const fn resolve(thread: usize) -> Self {
        let refresh = false;
        Self { thread, refresh }
    }

    /// A refresh, for which nobody should have to wait.
    pub(super) const fn refresh(thread: usize) -> Self {
        let refresh = true;
        Self { thread, refresh }
    }
}

impl Load {
    fn takes(&self, errand: Errand, limits: &Limits) -> bool {
        let refreshes = limits.questions_per_thread.div_ceil(REFRESH_SHARE);
        self.questions < limits.questions_per_thread
            && !(errand.refresh && self.refreshes >= refreshes)
    }

    fn add(&mut self, errand: Errand) {
        self.questions += 1;
        self.refreshes += usize::from(errand.refresh);
    }

    fn remove(&mut self, errand: Errand) {
        self.questions -= 1;
        self.refreshes -= usize::from(errand.refresh);
    }
}

impl Token {
    fn new(index: u32, epoch: u32) -> Self {
        Self(u64::from(epoch) << 32 | u64::from(index))
    }

    fn parts(self) -> (u32, u32) {
        (self.0 as u32, (self.0 >> 32) as u32)
    }
}

#[cfg(test)]
mod tests;
