//! The questions in flight and who waits for them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::{Duration, Instant};

use foldhash::quality::RandomState;

use super::pace::{Pace, Record};
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
    index: HashMap<Question, Token, RandomState>,
    per_thread: Vec<Load>,
    /// Questions of each zone on each thread.
    zones: HashMap<(usize, ZoneId), usize, RandomState>,
    waiting: usize,
    /// The engine that gets what is sent.
    serving: Option<u32>,
    pace: Pace,
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

/// What may have ended an engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// One of the questions it had: it crashed, or got stuck.
    Questions,
    /// Nothing it did: it was killed from outside, or replaced.
    Nobody,
}

/// What becomes of the questions of an engine that is gone.
#[derive(Debug)]
pub(super) struct Lost {
    /// So many are sent again.
    pub(super) again: usize,
    /// These are not: nobody waits for them, or too many engines crashed with them.
    pub(super) hopeless: Vec<Token>,
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
    /// Engines that crashed with it.
    crashes: u8,
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

/// How many engines may crash with a question: one that makes them crash must not do so for ever.
const MAX_CRASHES: u8 = 3;
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
            index: HashMap::default(),
            per_thread: vec![Load::default(); threads],
            zones: HashMap::default(),
            waiting: 0,
            serving: None,
            pace: Pace::new(threads),
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
            crashes: 0,
            asked: now,
        });
        self.index.insert(question, token);
        self.pace.push(errand.thread, token, Record::Clean);
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
        if entry.engine.is_some() && entry.engine == self.serving {
            self.pace.settled(entry.errand.thread, entry.record());
        }
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

    /// Another engine serves from now on.
    pub(super) fn serve_by(&mut self, engine: u32, now: Instant) {
        self.serving = Some(engine);
        self.pace.begin(now);
    }

    /// The next question for a thread of the serving engine, if one waits and its turn has come; it counts as
    /// sent.
    pub(super) fn send_next(&mut self, thread: usize, now: Instant) -> Option<(Token, &Question)> {
        let serving = self.serving?;
        let token = loop {
            let token = self.pace.next(thread, now)?;
            // It may have been given up while it waited.
            if let Some(entry) = self.entry_mut(token)
                && entry.engine.is_none()
            {
                entry.engine = Some(serving);
                let record = entry.record();
                self.pace.sent(thread, record);
                break token;
            }
        };
        self.entry_mut(token).map(|entry| (token, &entry.question))
    }

    /// Questions that wait for an engine or for their turn; some may have been given up meanwhile.
    pub(super) fn queued(&self) -> usize {
        self.pace.queued()
    }

    /// An engine is gone: what it had waits for the next one.
    pub(super) fn lose_engine(&mut self, engine: u32, blame: Blame) -> Lost {
        if self.serving == Some(engine) {
            self.serving = None;
        }
        let mut again = Vec::new();
        for (index, slot) in self.slots.iter_mut().enumerate() {
            let epoch = slot.epoch;
            let entry = slot.entry.as_mut();
            let Some(entry) = entry.filter(|entry| entry.engine == Some(engine)) else {
                continue;
            };
            entry.crashes += u8::from(blame == Blame::Questions);
            if entry.crashes < MAX_CRASHES && !entry.waiters.is_empty() {
                entry.engine = None;
                let errand = (entry.errand.thread, entry.record());
                again.push((entry.asked, Token::new(index as u32, epoch), errand));
            }
        }
        // Who has waited longest comes first.
        again.sort_unstable_by_key(|(asked, ..)| *asked);
        for (_, token, (thread, record)) in &again {
            self.pace.push(*thread, *token, *record);
        }
        Lost {
            again: again.len(),
            hopeless: self.tokens(|entry| entry.engine == Some(engine)),
        }
    }

    /// An engine is being replaced: nobody joins what it has any more, since it may answer by other rules.
    pub(super) fn stop_joining(&mut self, engine: u32) {
        let slots = &self.slots;
        self.index.retain(|_, token| {
            let entry = slots[token.parts().0 as usize].entry.as_ref();
            entry.is_some_and(|entry| entry.engine != Some(engine))
        });
    }

    /// Whether a question is with an engine that has been replaced.
    pub(super) fn is_superseded(&self, token: Token) -> bool {
        let (index, epoch) = token.parts();
        let slot = self.slots.get(index as usize);
        let slot = slot.filter(|slot| slot.epoch == epoch);
        let engine = slot.and_then(|slot| slot.entry.as_ref()?.engine);
        engine.is_some() && engine != self.serving
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
        self.forget_tokens();
    }

    /// Takes out of the queues the tokens of questions that have been given up. [`Table::send_next`] passes over
    /// them, but while no engine serves, nothing is sent, and the queues would grow for ever. They are looked
    /// through only when they hold more than there are questions.
    fn forget_tokens(&mut self) {
        if self.pace.queued() <= self.questions() {
            return;
        }
        let slots = &self.slots;
        self.pace.retain(|token| {
            let (index, epoch) = token.parts();
            let slot = slots.get(index as usize);
            let slot = slot.filter(|slot| slot.epoch == epoch);
            slot.and_then(|slot| slot.entry.as_ref())
                .is_some_and(|entry| entry.engine.is_none())
        });
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

impl<W> Pending<W> {
    fn record(&self) -> Record {
        if self.crashes == 0 {
            Record::Clean
        } else {
            Record::Suspect
        }
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
