use std::collections::{BTreeMap, VecDeque};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::rpl::{Event, Scenario, World, play, setting};
use sluicegate_lab::shared_data;

use crate::servers::Who;
use crate::table::DIFFERENT;

/// What came of a scenario.
#[derive(Debug)]
enum Outcome {
    Pass,
    Fail(String),
}

struct Job {
    name: String,
    scenario: Scenario,
}

/// Scenarios under way at once: most of the time of each is waiting.
const THREADS: usize = 16;
/// The longest time that a scenario may let pass, since here it really does.
const MAX_WAIT: Duration = Duration::from_secs(20);

pub(crate) fn all() -> Result<()> {
    let start = Instant::now();
    let only = env::var("RPL").ok();
    let folder = shared_data("rpl").context("the folder is gone")?;
    let mut jobs = Vec::new();
    let mut impossible = Vec::new();
    for path in files(&folder)? {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        if only
            .as_ref()
            .is_some_and(|parts| !parts.split(',').any(|part| name.contains(part)))
        {
            continue;
        }
        let text = fs::read(&path)?;
        let scenario = Scenario::parse(&String::from_utf8_lossy(&text));
        let scenario = scenario.with_context(|| format!("{name} can't be read"))?;
        match obstacle(&scenario) {
            Some(reason) => impossible.push((name, reason)),
            None => jobs.push(Job { name, scenario }),
        }
    }
    let count = jobs.len();
    let outcomes = play_all(jobs, only.is_some());
    let report = Report {
        outcomes: &outcomes,
        impossible: &impossible,
    };
    report.print(start.elapsed());
    ensure!(
        outcomes.len() == count,
        "only {} of {count} were played",
        outcomes.len()
    );
    report.judge()
}

fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|end| end == "rpl" || end == "crpl")
        {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Why a scenario can't be played over real sockets.
fn obstacle(scenario: &Scenario) -> Option<String> {
    let reasons = scenario.steps.iter().find_map(|step| match &step.event {
        Event::Impossible(reason) => Some(reason.clone()),
        _ => None,
    });
    let waits = scenario.waits();
    reasons.or_else(|| {
        (waits > MAX_WAIT).then(|| format!("needs a clock of its own: {} s pass", waits.as_secs()))
    })
}

/// By scenario: of [`Who::ALL`].
type Outcomes = BTreeMap<String, Vec<(Who, Outcome)>>;

/// Plays each scenario against both servers, the longest first.
fn play_all(mut jobs: Vec<Job>, verbose: bool) -> Outcomes {
    jobs.sort_by_key(|job| std::cmp::Reverse(job.scenario.waits()));
    let both = |job| Who::ALL.map(|who| (who, job));
    let queue: Mutex<VecDeque<(Who, &Job)>> = Mutex::new(jobs.iter().flat_map(both).collect());
    let outcomes = Mutex::new(Outcomes::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                loop {
                    let next = locked(&queue).pop_front();
                    let Some((who, job)) = next else {
                        return;
                    };
                    let outcome = play_one(&job.scenario, who, verbose);
                    let mut outcomes = locked(&outcomes);
                    let both = outcomes.entry(job.name.clone()).or_default();
                    both.push((who, outcome));
                    both.sort_by_key(|(who, _)| *who);
                }
            });
        }
    });
    outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn play_one(scenario: &Scenario, who: Who, verbose: bool) -> Outcome {
    let run = || -> Result<()> {
        let world = World::new(scenario)?;
        let setting = setting(scenario)?;
        let server = who.start(&setting, &world)?;
        play(scenario, &setting, &world).map_err(|error| {
            let log = if verbose {
                server.log(60)
            } else {
                String::new()
            };
            error.context(log)
        })
    };
    match run() {
        Ok(()) => Outcome::Pass,
        Err(error) => Outcome::Fail(format!("{error:#}")),
    }
}

struct Report<'r> {
    outcomes: &'r Outcomes,
    impossible: &'r [(String, String)],
}

impl Report<'_> {
    fn print(&self, took: Duration) {
        let mut lines = vec![format!("{:44} {:10} sluicegate", "scenario", "unbound")];
        let mut passes = [0, 0];
        for (name, both) in self.outcomes {
            let word = |(_, outcome): &(Who, Outcome)| match outcome {
                Outcome::Pass => "pass",
                Outcome::Fail(_) => "FAIL",
            };
            let words: Vec<&str> = both.iter().map(word).collect();
            for (passes, word) in passes.iter_mut().zip(&words) {
                *passes += usize::from(*word == "pass");
            }
            let reason = reason(name).unwrap_or_default();
            lines.push(format!(
                "{name:44} {:10} {:10} {reason}",
                words[0], words[1]
            ));
        }
        for (name, reason) in self.impossible {
            lines.push(format!("{name:44} not applicable: {reason}"));
        }
        let played = self.outcomes.len();
        lines.push(format!(
            "{} scenarios, {played} played in {} s: unbound passes {}, sluicegate {}",
            played + self.impossible.len(),
            took.as_secs(),
            passes[0],
            passes[1]
        ));
        let _ = writeln!(std::io::stderr().lock(), "{}", lines.join("\n"));
    }

    /// Unbound passes all, we what has no row in the table, and no row is idle.
    fn judge(&self) -> Result<()> {
        let mut wrong = Vec::new();
        for (name, both) in self.outcomes {
            for (who, outcome) in both {
                match (outcome, reason(name).filter(|_| *who == Who::Sluicegate)) {
                    (Outcome::Fail(what), None) => wrong.push(format!("{name}: {who:?}: {what}")),
                    (Outcome::Pass, Some(reason)) => {
                        wrong.push(format!("{name} passes, but was not to: {reason}"));
                    }
                    _ => {}
                }
            }
        }
        ensure!(
            wrong.is_empty(),
            "{} are otherwise:\n{}",
            wrong.len(),
            wrong.join("\n")
        );
        Ok(())
    }
}

fn reason(name: &str) -> Option<&'static str> {
    let row = DIFFERENT.iter().find(|(file, _)| *file == name);
    row.map(|(_, reason)| *reason)
}
