//! The client: what the server calls.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::epoll;

use super::anchor_watch::AnchorWatch;
use super::bogus_log::BogusLog;
use super::process::{Body, Process, StartError};
use super::restart::Restart;
use super::table::{Asked, Bound, Errand, Limits, Purpose, Table};
use super::timer::Timer;
use crate::spread::{Spread, contexts};
use crate::wire::MAX_PACKET_BYTES;
use crate::{EngineOptions, Question, RelayCounts, Summary};

/// The parent's side of the engine: starts it, asks it, keeps it alive. `W` is whatever the caller wants
/// back with an answer.
///
/// Nothing here blocks but [`Client::start`] and [`Client::stop`]. The caller polls one descriptor (see
/// [`AsFd`]) and calls [`Client::turn`] when it is readable and after asking.
///
/// All calls must come from one thread that lives as long as the engine shall: the kernel ends the engine
/// when the thread that started it ends (`PR_SET_PDEATHSIG`; it would then be restarted).
pub struct Client<W> {
    pub(super) options: EngineOptions,
    pub(super) epoll: OwnedFd,
    pub(super) timer: Timer,
    pub(super) table: Table<W>,
    pub(super) spread: Spread,
    pub(super) engines: Engines,
    pub(super) restart: Restart,
    pub(super) reconfigured: Option<Result<(), StartError>>,
    pub(super) renewed_anchors: Option<Vec<String>>,
    pub(super) next_id: u32,
    pub(super) stats: Stats,
    pub(super) summary: Summary,
    pub(super) bogus_log: BogusLog,
    pub(super) watch: AnchorWatch,
    pub(super) buffer: Vec<u8>,
    pub(super) events: Vec<epoll::Event>,
}

/// The processes, by what they are doing.
#[derive(Debug, Default)]
pub(super) struct Engines {
    /// Gets the questions, once it is ready.
    pub(super) serving: Option<Process>,
    /// Starts beside the serving one, with another configuration.
    pub(super) candidate: Option<(Process, String)>,
    /// Was replaced, and finishes what it has, until then at the latest.
    pub(super) draining: Option<(Process, Instant)>,
    /// Killed or told to end, and not waited for yet.
    pub(super) ending: Vec<Body>,
}

/// A bound is reached: the waiter is handed back.
#[derive(Debug, PartialEq, Eq)]
pub struct Overloaded<W>(pub W);

/// What a client has counted since it was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Calls of [`Client::ask`] and [`Client::refresh`].
    pub asked: u64,
    /// Of these, calls of [`Client::refresh`].
    pub refreshes: u64,
    /// Of these, those that joined a question in flight.
    pub joined: u64,
    /// Of these, those refused because a bound was reached.
    pub overloaded: u64,
    /// Of these, those beyond [`EngineOptions::waiters`].
    pub shed_waiters: u64,
    /// Of these, those beyond [`EngineOptions::questions_per_thread`].
    pub shed_thread: u64,
    /// Of these, those beyond what one zone may have on a thread: as much as the thread has free.
    pub shed_zone: u64,
    /// Of these, refreshes beyond their eighth of a thread.
    pub shed_refreshes: u64,
    /// Questions the engine answered.
    pub answered: u64,
    /// Of these, those that nobody waited for any longer.
    pub late: u64,
    /// Of these, those whose data failed validation.
    pub bogus: u64,
    /// Waiters told [`crate::Failure::Deadline`].
    pub expired: u64,
    /// Questions ended by any other [`crate::Failure`].
    pub failed: u64,
    /// Questions sent again after an engine was lost.
    pub resent: u64,
    /// Engines lost and started again.
    pub restarts: u64,
    /// What the engines' relays to upstreams over TLS have counted, as of the last heartbeat.
    pub relay: RelayCounts,
    /// Questions in flight now.
    pub questions: usize,
    /// Waiters now.
    pub waiting: usize,
}

impl<W> Client<W> {
    /// Starts the engine and waits until it is ready.
    ///
    /// # Errors
    /// See [`StartError`]. Nothing is left running.
    pub fn start(options: EngineOptions) -> Result<Self, StartError> {
        let mut client = Self::idle(options)?;
        let text = client.options.conf_text.clone();
        client.begin_reconfigure(text)?;
        loop {
            if let Some(result) = client.reconfigured() {
                result?;
                return Ok(client);
            }
            let mut poll = [rustix::event::PollFd::from_borrowed_fd(
                client.epoll.as_fd(),
                rustix::event::PollFlags::IN,
            )];
            match rustix::event::poll(&mut poll, None) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(io::Error::from(errno).into()),
            }
            // There are no questions yet.
            client.turn(Instant::now(), &mut |_, _| ());
        }
    }

    /// Asks. The question leaves with the next [`Client::turn`], together with all others asked before it.
    /// If the same is in flight, the waiter joins it. If no engine is there at the moment, it waits for one.
    ///
    /// A zone may have as many questions in flight on its thread as the thread has places free: one dead zone
    /// takes half of them at most, two take two thirds, and there is always room for the next. (Unbound lets
    /// new queries push out older ones after `jostle-timeout`; libunbound's event API can't take a question
    /// back.) What is shed is the newest question of the fullest zone.
    ///
    /// # Errors
    /// [`Overloaded`] when the zone's share, [`EngineOptions::questions_per_thread`] or
    /// [`EngineOptions::waiters`] is reached.
    pub fn ask(&mut self, question: Question, waiter: W) -> Result<(), Overloaded<W>> {
        let zone = self.spread.zone(&question);
        let thread = zone.thread(self.options.threads);
        let errand = Errand {
            thread,
            zone,
            purpose: Purpose::Resolve,
        };
        self.put(question, waiter, errand)
    }

    /// Asks for an answer newer than the one the caller holds.
    ///
    /// libunbound answers from its cache while it can, and has no way to be told not to. So a refresh goes to
    /// the context that did *not* give the last answer: `generation` counts the refreshes of one cache entry,
    /// from 1 for the first after an [`Client::ask`] (it may wrap; only whether it is odd counts). Odd ones
    /// are asked of the context after the question's own, even ones of its own, whose copy has expired by
    /// then: an entry that lives for `t` seconds is refreshed near its end, so each of the two is asked every
    /// `2 t` seconds. Should the context hold a copy all the same, the answer has what is left of its TTL.
    ///
    /// A refresh joins the same question in flight, whoever asked it, and is joined by others. Refreshes take
    /// at most an eighth of a thread's places: clients that wait come first.
    ///
    /// # Errors
    /// [`Overloaded`] as for [`Client::ask`], and when that eighth is taken.
    pub fn refresh(
        &mut self,
        question: Question,
        generation: u8,
        waiter: W,
    ) -> Result<(), Overloaded<W>> {
        self.stats.refreshes += 1;
        let zone = self.spread.zone(&question);
        let thread = zone.refreshing_thread(self.options.threads, generation);
        let errand = Errand {
            thread,
            zone,
            purpose: Purpose::Refresh,
        };
        self.put(question, waiter, errand)
    }

    fn put(&mut self, question: Question, waiter: W, errand: Errand) -> Result<(), Overloaded<W>> {
        self.stats.asked += 1;
        let now = Instant::now();
        match self.table.ask(question, waiter, errand, now) {
            Asked::Joined => self.stats.joined += 1,
            Asked::New(_) => self.release(errand.thread, now),
            Asked::Overloaded(waiter, bound) => {
                self.stats.overloaded += 1;
                *match bound {
                    Bound::Waiters => &mut self.stats.shed_waiters,
                    Bound::Thread => &mut self.stats.shed_thread,
                    Bound::Zone => &mut self.stats.shed_zone,
                    Bound::Refreshes => &mut self.stats.shed_refreshes,
                } += 1;
                return Err(Overloaded(waiter));
            }
        }
        Ok(())
    }

    /// Starts an engine with another configuration beside the serving one. When it is ready it takes over
    /// and the old one finishes what it has; if it does not get ready, the old one stays. Either is told by
    /// [`Client::reconfigured`] after some later [`Client::turn`].
    ///
    /// A candidate still starting from an earlier call is given up.
    ///
    /// # Errors
    /// [`StartError::Spawn`] when the process can't be started at all; the old one stays.
    pub fn begin_reconfigure(&mut self, conf_text: impl Into<String>) -> Result<(), StartError> {
        self.start_candidate(conf_text.into())?;
        self.reconfigured = None;
        Ok(())
    }

    /// How the last [`Client::begin_reconfigure`] ended: once, when it has.
    pub fn reconfigured(&mut self) -> Option<Result<(), StartError>> {
        self.reconfigured.take()
    }

    /// The trust anchors, as [`trust_anchors`](crate::trust_anchors) tells them: once after they have changed by
    /// themselves (RFC 5011) and an engine that has the new ones serves.
    pub fn renewed_anchors(&mut self) -> Option<Vec<String>> {
        self.renewed_anchors.take()
    }

    /// What has been counted.
    pub fn stats(&self) -> Stats {
        Stats {
            questions: self.table.questions(),
            waiting: self.table.waiting(),
            ..self.stats
        }
    }

    /// The serving process; `None` while there is none.
    pub fn pid(&self) -> Option<u32> {
        self.engines.serving.as_ref().map(Process::pid)
    }

    /// Whether an engine is there and ready; questions wait for it otherwise.
    pub fn is_ready(&self) -> bool {
        self.engines.serving.as_ref().is_some_and(Process::is_ready)
    }

    /// What the serving engine said about itself when it started.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// Ends the engine and waits for it, for a second at most before it is killed. Returns the waiters that
    /// got no answer.
    pub fn stop(mut self) -> Vec<W> {
        let kill_at = Instant::now() + STOP_LIMIT;
        for process in self.engines.take_all() {
            self.engines.ending.push(process.retire(kill_at));
        }
        for mut body in self.engines.ending.drain(..) {
            let limit = kill_at.saturating_duration_since(Instant::now());
            let limit = rustix::event::Timespec::try_from(limit).ok();
            let mut poll = [rustix::event::PollFd::from_borrowed_fd(
                body.exit(),
                rustix::event::PollFlags::IN,
            )];
            let ended =
                matches!(rustix::event::poll(&mut poll, limit.as_ref()), Ok(count) if count > 0);
            if !ended {
                body.kill();
            }
            body.wait();
        }
        self.table.drain()
    }

    fn idle(options: EngineOptions) -> Result<Self, StartError> {
        if options.threads == 0 || options.threads > EngineOptions::MAX_THREADS {
            return Err(StartError::Threads(options.threads));
        }
        let limits = Limits {
            questions_per_thread: options.questions_per_thread,
            waiters: options.waiters,
            deadline: options.deadline,
        };
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(io::Error::from)?;
        let timer = Timer::new()?;
        let data = epoll::EventData::new_u64(TIMER);
        epoll::add(&epoll, &timer, data, epoll::EventFlags::IN).map_err(io::Error::from)?;
        Ok(Self {
            table: Table::new(contexts(options.threads), limits),
            options,
            epoll,
            timer,
            spread: Spread::default(),
            engines: Engines::default(),
            restart: Restart::default(),
            reconfigured: None,
            renewed_anchors: None,
            next_id: 1,
            stats: Stats::default(),
            summary: Summary::default(),
            bogus_log: BogusLog::default(),
            watch: AnchorWatch::default(),
            buffer: vec![0; MAX_PACKET_BYTES],
            events: Vec::with_capacity(EVENTS_PER_TURN),
        })
    }
}

/// The timer's epoll data; processes are numbered from 1.
pub(super) const TIMER: u64 = 0;
/// Descriptors looked at in one turn; more wait for the next.
pub(super) const EVENTS_PER_TURN: usize = 64;
/// How long an engine that was told to end may take.
pub(super) const STOP_LIMIT: Duration = Duration::from_secs(1);

/// One descriptor stands for all: readable whenever [`Client::turn`] has something to do, timers included.
impl<W> AsFd for Client<W> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

impl<W> std::fmt::Debug for Client<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client")
            .field("pid", &self.pid())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<W> Drop for Client<W> {
    /// Kills what runs and waits for it.
    fn drop(&mut self) {
        for process in self.engines.take_all() {
            self.engines.ending.push(process.kill());
        }
        for mut body in self.engines.ending.drain(..) {
            body.kill();
            body.wait();
        }
    }
}

impl Engines {
    /// Every living process, taken out of its place.
    pub(super) fn take_all(&mut self) -> Vec<Process> {
        let candidate = self.candidate.take().map(|(process, _)| process);
        let draining = self.draining.take().map(|(process, _)| process);
        [self.serving.take(), candidate, draining]
            .into_iter()
            .flatten()
            .collect()
    }

    pub(super) fn is_candidate(&self, id: u32) -> bool {
        let candidate = self.candidate.as_ref();
        candidate.is_some_and(|(process, _)| process.id == id)
    }

    pub(super) fn find(&mut self, id: u32) -> Option<&mut Process> {
        self.living().find(|process| process.id == id)
    }

    pub(super) fn living(&mut self) -> impl Iterator<Item = &mut Process> {
        let candidate = self.candidate.as_mut().map(|(process, _)| process);
        let draining = self.draining.as_mut().map(|(process, _)| process);
        [self.serving.as_mut(), candidate, draining]
            .into_iter()
            .flatten()
    }
}
