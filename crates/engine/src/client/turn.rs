//! A turn of the client: what was asked goes out, what has come is taken.

use std::io;
use std::time::Instant;

use rustix::event::{Timespec, epoll};

use super::front::{Client, TIMER};
use super::log;
use super::process::{Part, epoll_source};
use super::supervise::Loss;
use super::table::Token;
use crate::RelayCounts;
use crate::outcome::{Answer, Failure, Outcome, Security};
use crate::spread::contexts;
use crate::wire::{Garbled, Reply, ShedReason};

/// Packets read from one thread in one turn; more wait for the next.
const PACKETS_PER_TURN: usize = 64;

impl<W> Client<W> {
    /// Sends what was asked, takes what has come, and does what time demands. Never blocks.
    ///
    /// `on_answer` gets each question that ended, with all who wait for it. It also gets answers that nobody
    /// waits for any longer (an empty list): they are as good for a cache as any.
    pub fn turn(&mut self, now: Instant, on_answer: &mut impl FnMut(&Outcome, Vec<W>)) {
        self.flush();
        self.take_events(now, on_answer);
        self.start_if_due(now);
        self.send(now);
    }

    /// Sends what was asked: all that a turn has to do while the descriptor is not readable.
    pub fn send(&mut self, now: Instant) {
        self.release_all(now);
        self.flush();
        self.set_timer(now);
    }

    /// Takes what has come.
    fn take_events(&mut self, now: Instant, on_answer: &mut impl FnMut(&Outcome, Vec<W>)) {
        let mut events = std::mem::take(&mut self.events);
        events.clear();
        let zero = Timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // An interrupted call leaves the list empty: the descriptor stays readable.
        let _ = epoll::wait(
            &self.epoll,
            rustix::buffer::spare_capacity(&mut events),
            Some(&zero),
        );
        let mut rang = false;
        for event in &events {
            match event.data.u64() {
                TIMER => rang = true,
                data => {
                    let (id, part) = epoll_source(data);
                    self.take_event(id, part, now, on_answer);
                }
            }
        }
        self.events = events;
        if rang {
            self.timer.clear();
            self.tick(now, on_answer);
        }
    }

    fn take_event(
        &mut self,
        id: u32,
        part: Part,
        now: Instant,
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) {
        match part {
            Part::Link(number) => match self.read_link(id, number, on_answer) {
                Ok(()) => {}
                Err(Broken::Garbled(error)) => {
                    let why = error.to_string();
                    self.lose(id, Loss::of_its_own(&why), now, on_answer);
                }
                // Closed: its end is reported as `Part::Exit`, with the reason.
                Err(Broken::Io(_)) => self.stop_polling(id, part),
            },
            Part::Control => self.read_control(id, now, on_answer),
            Part::Log => {
                if self
                    .engines
                    .find(id)
                    .is_some_and(|process| !process.log.read())
                {
                    self.stop_polling(id, part);
                }
            }
            Part::Exit => self.take_exit(id, now, on_answer),
        }
    }

    fn stop_polling(&mut self, id: u32, part: Part) {
        if let Some(process) = self.engines.find(id) {
            process.stop_polling(&self.epoll, part);
        }
    }

    /// Puts the questions of a thread on their way whose turn has come, if an engine is ready.
    pub(super) fn release(&mut self, thread: usize, now: Instant) {
        let serving = self.engines.serving.as_mut();
        let Some(process) = serving.filter(|process| process.is_ready()) else {
            return;
        };
        while let Some((token, question)) = self.table.send_next(thread, now) {
            process.ask(token, question, thread);
        }
    }

    /// The same for all threads.
    fn release_all(&mut self, now: Instant) {
        if self.table.queued() > 0 {
            (0..contexts(self.options.threads)).for_each(|thread| self.release(thread, now));
        }
    }

    fn flush(&mut self) {
        let epoll = &self.epoll;
        self.engines
            .living()
            .for_each(|process| process.flush(epoll));
    }

    /// Reads the answers of one thread.
    pub(super) fn read_link(
        &mut self,
        id: u32,
        number: usize,
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) -> Result<(), Broken> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_packets(id, number, &mut buffer, on_answer);
        self.buffer = buffer;
        result
    }

    fn read_packets(
        &mut self,
        id: u32,
        number: usize,
        buffer: &mut [u8],
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) -> Result<(), Broken> {
        for _ in 0..PACKETS_PER_TURN {
            let Some(link) = self
                .engines
                .find(id)
                .and_then(|process| process.link(number))
            else {
                return Ok(());
            };
            let Some(mut packet) = link.receive(buffer)? else {
                return Ok(());
            };
            while let Some(reply) = Reply::read(&mut packet)? {
                if let Reply::Pong { relay, .. } = reply {
                    self.take_counts(id, relay);
                }
                self.take_reply(&reply, on_answer);
            }
        }
        Ok(())
    }

    /// An engine has said what its relay has counted so far.
    fn take_counts(&mut self, id: u32, relay: RelayCounts) {
        if let Some(process) = self.engines.find(id) {
            let earlier = std::mem::replace(&mut process.relay, relay);
            self.stats.relay.add_since(relay, earlier);
        }
    }

    fn take_reply(&mut self, reply: &Reply<'_>, on_answer: &mut impl FnMut(&Outcome, Vec<W>)) {
        let (token, result) = match *reply {
            Reply::Pong { .. } => return,
            Reply::Answer {
                token,
                rcode,
                security,
                ratelimited,
                why,
                wire,
            } => {
                let why_bogus = (!why.is_empty()).then(|| String::from_utf8_lossy(why).into());
                let answer = Answer {
                    rcode,
                    security,
                    why_bogus,
                    ratelimited,
                    wire: wire.to_vec(),
                };
                (token, Ok(answer))
            }
            Reply::Shed {
                token,
                reason: ShedReason::Full,
            } => (token, Err(Failure::EngineFull)),
            Reply::Shed {
                token,
                reason: ShedReason::Refused,
            } => (token, Err(Failure::Refused)),
        };
        let superseded = self.table.is_superseded(Token(token));
        // Unknown: the question was given up long ago.
        let Some((question, waiters)) = self.table.finish(Token(token)) else {
            return;
        };
        match &result {
            Ok(_) => self.stats.answered += 1,
            Err(_) => self.stats.failed += 1,
        }
        if result.is_ok() && waiters.is_empty() {
            self.stats.late += 1;
        }
        if let Ok(answer) = &result
            && answer.security == Security::Bogus
        {
            self.stats.bogus += 1;
            self.bogus_log
                .tell(&question, answer, self.summary.val_log_level);
        }
        let outcome = Outcome {
            question,
            result,
            superseded,
        };
        on_answer(&outcome, waiters);
    }

    pub(super) fn read_control(
        &mut self,
        id: u32,
        now: Instant,
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) {
        let Some(process) = self.engines.find(id) else {
            return;
        };
        match process.read_verdict(now) {
            Some(Ok(summary)) => {
                // Once, not with every restart.
                if summary.notes != self.summary.notes {
                    summary.notes.lines().for_each(log::emit);
                }
                tracing::info!(
                    pid = process.pid(),
                    libunbound = crate::version(),
                    threads = summary.threads,
                    message_cache_bytes_per_thread = summary.message_cache_bytes,
                    rrset_cache_bytes_per_thread = summary.rrset_cache_bytes,
                    key_cache_bytes_per_thread = summary.key_cache_bytes,
                    outgoing_range_per_thread = summary.outgoing_range,
                    memory_limit_bytes = summary.memory_bytes,
                    "engine ready"
                );
                self.summary = summary;
                self.take_over(id, now, on_answer);
            }
            Some(Err(error)) => self.fail_start(id, error, now, on_answer),
            None => self.stop_polling(id, Part::Control),
        }
    }
}

/// A link that is closed or carries nonsense.
#[derive(Debug, thiserror::Error)]
pub(super) enum Broken {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Garbled(#[from] Garbled),
}
