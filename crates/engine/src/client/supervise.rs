//! Keeping an engine alive: hand-over, losses, restarts, and what time demands.

use std::io;
use std::os::unix::process::ExitStatusExt as _;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::front::{Client, STOP_LIMIT};
use super::process::{Process, StartError};
use super::table::Blame;
use crate::anchors::trust_anchors;
use crate::outcome::{Failure, Outcome};

/// Why an engine is of no use any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Loss<'a> {
    why: &'a str,
    blame: Blame,
}

impl<'a> Loss<'a> {
    /// It crashed, got stuck or talks nonsense.
    pub(super) const fn of_its_own(why: &'a str) -> Self {
        let blame = Blame::Questions;
        Self { why, blame }
    }
}

impl<W> Client<W> {
    /// An engine is ready: a candidate replaces the serving one; what waits is sent.
    pub(super) fn take_over(
        &mut self,
        id: u32,
        now: Instant,
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) {
        if let Some((process, conf_text)) = self
            .engines
            .candidate
            .take_if(|(process, _)| process.id == id)
        {
            self.options.conf_text = conf_text;
            self.watch.begin(&self.options.conf_text);
            if self.watch.has_started(id) {
                self.renewed_anchors = Some(trust_anchors(&self.options.conf_text));
            }
            self.tell(id, Ok(()));
            self.restart.cancel();
            if let Some(old) = self.engines.serving.replace(process) {
                self.table.stop_joining(old.id);
                let earlier = self
                    .engines
                    .draining
                    .replace((old, now + self.options.deadline));
                if let Some((earlier, _)) = earlier {
                    self.give_up(earlier, Blame::Nobody, on_answer);
                }
            }
        }
        if self
            .engines
            .serving
            .as_ref()
            .is_some_and(|process| process.id == id)
        {
            self.table.serve_by(id, now);
        }
    }

    /// A process has ended: first take what it still said.
    pub(super) fn take_exit(
        &mut self,
        id: u32,
        now: Instant,
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) {
        self.engines
            .ending
            .retain_mut(|body| body.id != id || body.reap().is_none());
        let Some(process) = self.engines.find(id) else {
            return;
        };
        let threads = process.threads();
        process.log.read();
        for number in 0..threads {
            // Its answers count, its closed socket doesn't matter any more.
            let _ = self.read_link(id, number, on_answer);
        }
        if self
            .engines
            .find(id)
            .is_some_and(|process| process.starting_since().is_some())
        {
            self.read_control(id, now, on_answer);
        }
        let Some(process) = self.engines.find(id) else {
            return;
        };
        let ended = process.exit_status();
        let status = ended.map_or_else(|| "unknown".to_owned(), |status| status.to_string());
        let blame = match ended.and_then(|status| status.signal()) {
            Some(signal) if signal == Signal::KILL.as_raw() => Blame::Nobody,
            _ => Blame::Questions,
        };
        if process.starting_since().is_some() {
            let log = process.log.tail();
            let error = StartError::Ended { status, log };
            if blame == Blame::Questions || self.engines.is_candidate(id) {
                self.fail_start(id, error, now, on_answer);
            } else {
                let why = &error.to_string();
                self.lose(id, Loss { why, blame }, now, on_answer);
            }
        } else {
            self.lose(
                id,
                Loss {
                    why: &status,
                    blame,
                },
                now,
                on_answer,
            );
        }
    }

    /// An engine did not get ready.
    pub(super) fn fail_start(
        &mut self,
        id: u32,
        error: StartError,
        now: Instant,
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) {
        let candidate = self
            .engines
            .candidate
            .take_if(|(process, _)| process.id == id);
        if let Some((process, _)) = candidate {
            self.engines.ending.push(process.kill());
            self.reap_ended();
            self.tell(id, Err(error));
        } else {
            let why = error.to_string();
            self.lose(id, Loss::of_its_own(&why), now, on_answer);
        }
    }

    /// A process is of no use any more, whatever the reason.
    pub(super) fn lose(
        &mut self,
        id: u32,
        Loss { why, blame }: Loss<'_>,
        now: Instant,
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) {
        if let Some(process) = self.engines.serving.take_if(|process| process.id == id) {
            self.restart.lost(now, process.lived(now), blame);
            self.stats.restarts += 1;
            tracing::error!(pid = process.pid(), why, "engine lost, starting another");
            self.watch.learn_from(&process.log.tail());
            self.give_up(process, blame, on_answer);
        } else if let Some((process, _)) = self
            .engines
            .draining
            .take_if(|(process, _)| process.id == id)
        {
            self.give_up(process, blame, on_answer);
        } else if self.engines.is_candidate(id) {
            let error = StartError::Ended {
                status: why.to_owned(),
                log: String::new(),
            };
            self.fail_start(id, error, now, on_answer);
        }
    }

    /// Kills a process; what it had is sent to the next one, or has failed.
    fn give_up(
        &mut self,
        process: Process,
        blame: Blame,
        on_answer: &mut impl FnMut(&Outcome, Vec<W>),
    ) {
        let lost = self.table.lose_engine(process.id, blame);
        self.stats.resent += lost.again as u64;
        self.engines.ending.push(process.kill());
        self.reap_ended();
        for token in lost.hopeless {
            let Some((question, waiters)) = self.table.finish(token) else {
                continue;
            };
            if waiters.is_empty() {
                continue;
            }
            self.stats.failed += 1;
            on_answer(
                &Outcome {
                    question,
                    result: Err(Failure::EngineEnded),
                    superseded: false,
                },
                waiters,
            );
        }
    }

    fn reap_ended(&mut self) {
        self.engines.ending.retain_mut(|body| body.reap().is_none());
    }

    pub(super) fn start_if_due(&mut self, now: Instant) {
        if !self.restart.take_due(now) || self.engines.serving.is_some() {
            return;
        }
        let conf_text = std::mem::take(&mut self.options.conf_text);
        match self.spawn(&conf_text) {
            Ok(process) => self.engines.serving = Some(process),
            Err(error) => {
                tracing::error!(%error, "can't start the engine process");
                self.restart.lost(now, None, Blame::Questions);
            }
        }
        self.options.conf_text = conf_text;
    }

    /// What time demands: deadlines, heartbeats, starts that take too long, the end of draining.
    pub(super) fn tick(&mut self, now: Instant, on_answer: &mut impl FnMut(&Outcome, Vec<W>)) {
        let stats = &mut self.stats;
        self.table.expire(now, |question, waiters| {
            stats.expired += waiters.len() as u64;
            let outcome = Outcome {
                question: question.clone(),
                result: Err(Failure::Deadline),
                superseded: false,
            };
            on_answer(&outcome, waiters);
        });
        let heartbeat = self.options.heartbeat;
        let start_limit = self.options.start_limit;
        let (mut stuck, mut slow) = (Vec::new(), Vec::new());
        for process in self.engines.living() {
            match process.starting_since() {
                Some(since) if now.saturating_duration_since(since) > start_limit => {
                    slow.push(process.id);
                }
                Some(_) => {}
                None => {
                    // Every link is pinged, also after one that is stuck.
                    let silent = process
                        .links()
                        .filter_map(|link| (!link.beat(now, heartbeat)).then_some(()))
                        .count();
                    if silent > 0 {
                        stuck.push(process.id);
                    }
                }
            }
        }
        for id in slow {
            self.fail_start(id, StartError::TimedOut, now, on_answer);
        }
        for id in stuck {
            let why = "it does not answer its heartbeat";
            self.lose(id, Loss::of_its_own(why), now, on_answer);
        }
        self.end_draining(now);
        self.renew_if_anchors_changed(now);
        for body in &mut self.engines.ending {
            if body.kill_at.is_some_and(|at| at <= now) {
                body.kill();
            }
        }
        self.reap_ended();
    }

    fn end_draining(&mut self, now: Instant) {
        let table = &self.table;
        let done = self
            .engines
            .draining
            .take_if(|(process, until)| *until <= now || !table.is_waited_for(process.id));
        if let Some((process, _)) = done {
            // Nobody waits for what is left, or the deadlines have passed.
            for token in self.table.lose_engine(process.id, Blame::Nobody).hopeless {
                self.table.finish(token);
            }
            self.engines.ending.push(process.retire(now + STOP_LIMIT));
        }
    }

    /// Starts a process; nothing is sent to it before it is ready.
    pub(super) fn spawn(&mut self, conf_text: &str) -> io::Result<Process> {
        let id = self.next_id;
        self.next_id = self.next_id.checked_add(1).unwrap_or(1);
        Process::spawn(
            &self.options,
            (conf_text, self.watch.keep()),
            id,
            &self.epoll,
        )
    }

    /// Sees to it that [`Client::turn`] is called in time for deadlines, heartbeats and restarts.
    pub(super) fn set_timer(&mut self, now: Instant) {
        let engines = &self.engines;
        let serving = self.is_ready();
        let settled = serving && engines.candidate.is_none() && engines.draining.is_none();
        let quiet = settled && engines.ending.is_empty() && self.table.waiting() == 0;
        let tick = if serving && self.table.queued() > 0 {
            PACE_TICK
        } else if quiet {
            self.options.heartbeat.interval
        } else {
            self.tick_length()
        };
        let at = self
            .restart
            .due()
            .map_or(now + tick, |due| due.min(now + tick));
        if let Err(error) = self.timer.ring_by(at, now) {
            tracing::error!(%error, "can't set the engine client's timer");
        }
    }

    /// How late a deadline may be noticed.
    fn tick_length(&self) -> Duration {
        (self.options.deadline / 32).clamp(Duration::from_millis(5), Duration::from_millis(100))
    }
}

/// How often the window of a new engine is looked at while questions wait for it to open.
const PACE_TICK: Duration = Duration::from_millis(20);
