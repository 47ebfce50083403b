//! A client with what it was told.

use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use sluicegate_engine::{Answer, Client, EngineOptions, Failure, Outcome, Overloaded, Question};

use crate::upstream::name;

/// A client, and every outcome it has handed over with its waiters.
pub(crate) struct Rig {
    pub(crate) client: Client<u32>,
    pub(crate) outcomes: Vec<(Outcome, Vec<u32>)>,
}

/// How long a test waits for what must come; only reached when it fails.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// The argument that makes this program the engine; no filter of tests is called so.
pub(crate) const AS_ENGINE: &str = "--as-the-engine-of-a-test";

/// Options whose engine is this program.
pub(crate) fn options(conf_text: &str) -> EngineOptions {
    EngineOptions {
        program: std::env::current_exe().unwrap(),
        arguments: vec![AS_ENGINE.into()],
        ..EngineOptions::new(conf_text)
    }
}

pub(crate) fn question(text: &str) -> Question {
    Question::new(&name(text), 1, 1).unwrap()
}

impl Rig {
    pub(crate) fn start(options: EngineOptions) -> Self {
        Self {
            client: Client::start(options).unwrap(),
            outcomes: Vec::new(),
        }
    }

    pub(crate) fn ask(&mut self, question: &Question, waiter: u32) -> Result<(), Overloaded<u32>> {
        self.client.ask(question.clone(), waiter)
    }

    /// Asks for a newer answer and waits for it.
    pub(crate) fn refresh(&mut self, question: &Question, generation: u8) -> Answer {
        self.outcomes.clear();
        let asked = self.client.refresh(question.clone(), generation, 0);
        asked.unwrap();
        self.outcome(0).unwrap()
    }

    /// Turns until `done`.
    pub(crate) fn run_until(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> bool) {
        let end = Instant::now() + LIMIT;
        loop {
            let outcomes = &mut self.outcomes;
            self.client
                .turn(Instant::now(), &mut |outcome: &Outcome, waiters| {
                    outcomes.push((outcome.clone(), waiters));
                });
            if done(self) {
                return;
            }
            assert!(Instant::now() < end, "not in time: {what}");
            self.wait(Duration::from_millis(5));
        }
    }

    /// Waits until the client has something to do: without a limit of its own that would be enough, were
    /// not some tests waiting for other things too.
    fn wait(&self, limit: Duration) {
        let limit = Timespec::try_from(limit).unwrap();
        let mut poll = [PollFd::from_borrowed_fd(self.client.as_fd(), PollFlags::IN)];
        rustix::event::poll(&mut poll, Some(&limit)).unwrap();
    }

    /// Turns until a waiter is told, and returns what.
    pub(crate) fn outcome(&mut self, waiter: u32) -> Result<Answer, Failure> {
        let is_it = move |(_, waiters): &(Outcome, Vec<u32>)| waiters.contains(&waiter);
        self.run_until("an outcome", |rig| rig.outcomes.iter().any(is_it));
        self.outcomes
            .iter()
            .find(|told| is_it(told))
            .unwrap()
            .0
            .result
            .clone()
    }

    /// Asks and waits for the answer.
    pub(crate) fn resolve(&mut self, question: &Question) -> Answer {
        self.outcomes.clear();
        self.ask(question, 0).unwrap();
        self.outcome(0).unwrap()
    }
}

/// What was logged.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    /// Takes what `run` logs on this thread.
    pub(crate) fn logged_by(&self, run: impl FnOnce()) {
        let writer = self.clone();
        let log = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, run);
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A section's counts: answer, authority.
pub(crate) fn counts(wire: &[u8]) -> (u16, u16) {
    (
        u16::from_be_bytes([wire[6], wire[7]]),
        u16::from_be_bytes([wire[8], wire[9]]),
    )
}

pub(crate) fn contains(wire: &[u8], part: &[u8]) -> bool {
    wire.windows(part.len()).any(|window| window == part)
}

/// CPU time of all threads of the engine, from their schedstat.
pub(crate) fn cpu_of_engine(rig: &Rig) -> Duration {
    let tasks = format!("/proc/{}/task", rig.client.pid().unwrap());
    let nanoseconds = std::fs::read_dir(tasks).unwrap().map(|task| {
        let text = std::fs::read_to_string(task.unwrap().path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse::<u64>().unwrap()
    });
    Duration::from_nanos(nanoseconds.sum())
}
