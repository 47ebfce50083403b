//! The questions in flight and who waits for them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use crate::Question;
use crate::spread::ZoneId;

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
    /// Questions of each zone on each thread.
    zones: HashMap<(usize, ZoneId), usize>,
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
    pub(super) thread: usize,
    pub(super) zone: ZoneId,
    pub(super) purpose: Purpose,
}

/// What a question is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Clients wait.
    Resolve,
    /// Nobody should have to wait for it.
    Refresh,
}

/// What was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bound {
    Waiters,
    Thread,
    Zone,
    Refreshes,
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
    entry: Option<Pending<W>>,
}

#[derive(Debug)]
struct Pending<W> {
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
    Overloaded(W, Bound),
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
            zones: HashMap::new(),
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
            return Asked::Overloaded(waiter, Bound::Waiters);
        }
        let deadline = now + self.limits.deadline;
        if let Some(&token) = self.index.get(&question)
            && let Some(entry) = self.entry_mut(token)
        {
            entry.waiters.push((deadline, waiter));
            self.waiting += 1;
            return Asked::Joined;
        }
        if let Some(bound) = self.bound(errand) {
            return Asked::Overloaded(waiter, bound);
        }
        self.count_in(errand);
        self.waiting += 1;
        let token = self.insert(Pending {
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
        self.count_out(entry.errand);
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

    /// What keeps a new question out.
    fn bound(&self, errand: Errand) -> Option<Bound> {
        let load = self.per_thread[errand.thread];
        let places = self.limits.questions_per_thread;
        let free = places.saturating_sub(load.questions);
        let of_zone = self.zones.get(&(errand.thread, errand.zone));
        if free == 0 {
            Some(Bound::Thread)
        } else if of_zone.is_some_and(|of_zone| *of_zone >= free) {
            Some(Bound::Zone)
        } else if errand.purpose == Purpose::Refresh
            && load.refreshes >= places.div_ceil(REFRESH_SHARE)
        {
            Some(Bound::Refreshes)
        } else {
            None
        }
    }

    fn count_in(&mut self, errand: Errand) {
        let load = &mut self.per_thread[errand.thread];
        load.questions += 1;
        load.refreshes += usize::from(errand.purpose == Purpose::Refresh);
        *self.zones.entry((errand.thread, errand.zone)).or_default() += 1;
    }

    fn count_out(&mut self, errand: Errand) {
        let load = &mut self.per_thread[errand.thread];
        load.questions -= 1;
        load.refreshes -= usize::from(errand.purpose == Purpose::Refresh);
        if let Entry::Occupied(mut of_zone) = self.zones.entry((errand.thread, errand.zone)) {
            *of_zone.get_mut() -= 1;
            if *of_zone.get() == 0 {
                of_zone.remove();
            }
        }
    }

    fn insert(&mut self, entry: Pending<W>) -> Token {
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

    fn entry_mut(&mut self, token: Token) -> Option<&mut Pending<W>> {
        let (index, epoch) = token.parts();
        self.slots
            .get_mut(index as usize)
            .filter(|slot| slot.epoch == epoch)?
            .entry
            .as_mut()
    }

    fn entries(&self) -> impl Iterator<Item = &Pending<W>> {
        self.slots.iter().filter_map(|slot| slot.entry.as_ref())
    }

    fn tokens(&self, wanted: impl Fn(&Pending<W>) -> bool) -> Vec<Token> {
        let with_index = self.slots.iter().enumerate();
        with_index
            .filter(|(_, slot)| slot.entry.as_ref().is_some_and(&wanted))
            .map(|(index, slot)| Token::new(index as u32, slot.epoch))
            .collect()
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
