use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::count::{Event, count};
use super::gate::Query;
use super::plan::{Place, Settings, Target};
use super::session::{Ended, Session};
use super::trust::Tls;

/// Queries on their way to one upstream; beyond it libunbound's connections are not read.
pub(super) const MAX_QUERIES: usize = 2048;
/// Connections to one upstream.
pub(super) const MAX_SESSIONS: usize = 4;
/// Queries without an answer on each connection before another is opened.
const BUSY: usize = 64;
/// Connections on which a query may be lost before it has failed.
const MAX_LOSSES: u8 = 3;
/// A query older than this is not sent again: libunbound is about to give up.
const RETRY_LIMIT: Duration = Duration::from_secs(2);
/// The pause after a first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause: an upstream that is back is asked again this soon.
const MAX_PAUSE: Duration = Duration::from_secs(2);
/// After so many failures no query waits for the next attempt: the pauses and attempts get long.
const MAX_BLIND_ATTEMPTS: u32 = 2;
/// How often a lasting failure is logged.
const LOG_PAUSE: Duration = Duration::from_mins(1);

/// An upstream, and the connections to it.
pub(super) struct Upstream {
    /// Places for queries on their way.
    pub(super) places: Arc<Semaphore>,
    /// Queries are padded to multiples of this.
    pub(super) padding_bytes: usize,
    /// See [`Settings::idle_limit`].
    pub(super) idle_limit: Duration,
    pub(super) tls: Tls,
    target: Target,
    /// Where it is, or why that is of no use.
    address: Result<SocketAddr, &'static str>,
    sources: Vec<SocketAddr>,
    sessions: RefCell<Vec<Rc<Session>>>,
    opened: Cell<u32>,
    trouble: RefCell<Trouble>,
}

/// Failures since the last answer.
#[derive(Default)]
struct Trouble {
    failures: u32,
    not_before: Option<Instant>,
    logged: Option<(Instant, String)>,
}

impl Upstream {
    pub(super) fn new(target: Target, settings: &Settings, tls: Tls) -> Self {
        let address = match target.place {
            Place::Address(address) if settings.allows(address) => Ok(address),
            Place::Address(address) if address.is_ipv4() => Err("`do-ip4` is off"),
            Place::Address(_) => Err("`do-ip6` is off"),
            Place::Host(..) => Err("its address is not known"),
        };
        let same_family = |source: &SocketAddr| {
            address.is_ok_and(|address| source.is_ipv4() == address.is_ipv4())
        };
        let sources = settings.sources.iter();
        Self {
            places: Arc::new(Semaphore::new(MAX_QUERIES)),
            padding_bytes: settings.padding_bytes(),
            idle_limit: settings.idle_limit,
            sources: sources
                .map(|source| SocketAddr::new(*source, 0))
                .filter(same_family)
                .collect(),
            address,
            target,
            tls,
            sessions: RefCell::default(),
            opened: Cell::new(0),
            trouble: RefCell::default(),
        }
    }

    /// Sends a query on its way. What becomes of it, its own connection is told.
    pub(super) fn ask(self: &Rc<Self>, query: Query) {
        match self.choose() {
            Some(session) => session.send(query),
            None => query.fail(),
        }
    }

    /// Where it is, or why that is of no use.
    pub(super) fn address(&self) -> Result<SocketAddr, &'static str> {
        self.address
    }

    /// Where the next connection comes from, if that was said.
    pub(super) fn source(&self) -> Option<SocketAddr> {
        let turn = self.opened.get() as usize;
        self.sources.get(turn % self.sources.len().max(1)).copied()
    }

    /// A session is open.
    pub(super) fn opened(&self, resumed: bool) {
        self.opened.set(self.opened.get().wrapping_add(1));
        count(Event::Connection);
        if resumed {
            count(Event::Resumption);
        }
        let (number, how) = (self.opened.get(), if resumed { ", resumed" } else { "" });
        self.log("debug", &format!("connection {number} is open{how}"));
    }

    /// An answer has come.
    pub(super) fn answered(&self) {
        count(Event::Answer);
        let trouble = std::mem::take(&mut *self.trouble.borrow_mut());
        if trouble.logged.is_some() {
            self.log("info", "answers again");
        }
    }

    /// A session gets no more queries.
    pub(super) fn forget(&self, session: &Rc<Session>) {
        self.sessions
            .borrow_mut()
            .retain(|known| !Rc::ptr_eq(known, session));
    }

    /// The session for the next query: the least busy one, or a new one. `None` while the upstream is in trouble; now
    /// and then a session is opened all the same, to see whether it still is.
    fn choose(self: &Rc<Self>) -> Option<Rc<Session>> {
        let sessions = self.sessions.borrow();
        let count = sessions.len();
        let may_open = count < MAX_SESSIONS;
        // When no other may be opened, a doubtful one is better than none: it may be names that are slow, not servers.
        let usable = sessions
            .iter()
            .filter(|session| !may_open || !session.is_doubtful());
        let least = usable
            .min_by_key(|session| (session.is_doubtful(), session.load()))
            .cloned();
        drop(sessions);
        if self.trouble.borrow().failures > MAX_BLIND_ATTEMPTS {
            if count == 0 && self.pause().is_zero() {
                self.open();
            }
            return least.filter(|session| session.is_open());
        }
        match least {
            Some(session) if session.load() < BUSY || !may_open => Some(session),
            _ if may_open => Some(self.open()),
            least => least,
        }
    }

    /// How long no session may be opened.
    fn pause(&self) -> Duration {
        let not_before = self.trouble.borrow().not_before;
        not_before.map_or(Duration::ZERO, |at| {
            at.saturating_duration_since(Instant::now())
        })
    }

    fn open(self: &Rc<Self>) -> Rc<Session> {
        let (session, queue) = Session::new();
        self.sessions.borrow_mut().push(Rc::clone(&session));
        let not_before = Instant::now() + self.pause();
        let (upstream, running) = (Rc::clone(self), Rc::clone(&session));
        tokio::task::spawn_local(async move {
            let ended = running.run(&upstream, queue, not_before).await;
            upstream.close(&running, ended);
        });
        session
    }

    /// A session is over: its queries are sent again, or have failed.
    fn close(self: &Rc<Self>, session: &Rc<Session>, ended: Ended) {
        self.forget(session);
        if let Ended::Lost(why) = &ended {
            self.log("debug", why);
        }
        let again = match ended {
            Ended::Idle | Ended::Unanswered => true,
            Ended::NotOpened(why) => {
                self.fail(&why);
                false
            }
            Ended::Lost(why) => {
                // Servers may close when they like, as long as they answer.
                if !session.has_answered() {
                    self.fail(&why);
                }
                true
            }
        };
        for mut query in session.take_pending() {
            query.losses += 1;
            if again && query.losses < MAX_LOSSES && query.since.elapsed() < RETRY_LIMIT {
                self.ask(query);
            } else {
                query.fail();
            }
        }
    }

    /// Counts a failure: the next attempt has to wait, and the reason is logged, if it is news.
    fn fail(&self, why: &str) {
        count(Event::Failure);
        let mut trouble = self.trouble.borrow_mut();
        let now = Instant::now();
        let pause = FIRST_PAUSE.saturating_mul(1 << trouble.failures.min(10));
        trouble.not_before = Some(now + pause.min(MAX_PAUSE));
        trouble.failures += 1;
        let is_news = trouble
            .logged
            .as_ref()
            .is_none_or(|(at, said)| said != why || at.elapsed() >= LOG_PAUSE);
        if is_news {
            trouble.logged = Some((now, why.to_owned()));
            self.log("warning", why);
        }
    }

    /// Writes a line to standard error, which is the parent's log.
    fn log(&self, level: &str, what: &str) {
        let line = format!("{level}: TLS upstream {}: {what}\n", self.target);
        // Nobody is there to be told that the log is full.
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
