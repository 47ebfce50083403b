//! Runs the cases.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::world::World;

use crate::contender::{Contender, Running};
use crate::data::{QueryFile, start_world};
use crate::inprocess;
use crate::load::{Target, Wait, check, flows, half_load, idle, kxdpgun, misses, single, warm};
use crate::measure::{CaseResult, Load, Machine, Results, Round, Row};
use crate::plan::{CASES, Case, Content, Effort, When};
use crate::report::say;
use crate::site::{Folder, Site};

/// What shall be run.
pub(crate) struct Choice {
    pub(crate) effort: Effort,
    /// All that the effort allows if empty.
    pub(crate) cases: Vec<String>,
    /// All if empty.
    pub(crate) only: Vec<String>,
    /// Whether what is in the folder already is kept.
    pub(crate) add: bool,
}

/// The name of what is measured without a network, among those of the cases.
const IN_PROCESS: &str = "in-process";

/// A contender that is ready, or why it is not.
struct Ready {
    contender: Contender,
    outcome: Result<(Site, Running)>,
}

/// Runs the chosen cases; the results are saved after each.
pub(crate) fn run(choice: &Choice, out: &Path) -> Result<()> {
    fs::create_dir_all(out)?;
    for wanted in &choice.cases {
        ensure!(
            wanted == IN_PROCESS || CASES.iter().any(|case| case.name == wanted),
            "there is no case {wanted:?}: see `bench cases`"
        );
    }
    let machine = Machine::look(choice.effort)?;
    let file = out.join("results.json");
    let mut results = if choice.add {
        let before = Results::read(&file)?;
        ensure!(
            before.machine.revision == machine.revision,
            "what is there was measured of another revision"
        );
        before
    } else {
        Results {
            machine,
            cases: Vec::new(),
            in_process: std::collections::BTreeMap::new(),
        }
    };
    if choice.takes_in_process() {
        say(&format!("\n{IN_PROCESS}: without a network"));
        results.in_process = inprocess::measure(choice.effort)?;
        match sluicegate_inprocess::count_all()? {
            Some(counts) => results.in_process.extend(counts),
            None => say("  no instruction counts: they need the command valgrind"),
        }
        results.save(&file)?;
    }
    let mut world = None;
    for case in CASES.iter().filter(|case| choice.takes(case)) {
        say(&format!("\n{}: {}", case.name, case.title));
        if case.content == Content::World && world.is_none() {
            world = Some(start_world()?);
        }
        results.enter(run_case(choice, case, world.as_ref())?);
        results.save(&file)?;
    }
    Ok(())
}

impl Choice {
    fn takes(&self, case: &Case) -> bool {
        if self.cases.is_empty() {
            return match case.when {
                When::Always => true,
                When::Full => self.effort == Effort::Full,
                When::Named => false,
            };
        }
        self.cases.iter().any(|wanted| wanted == case.name)
    }

    fn takes_in_process(&self) -> bool {
        self.cases.is_empty() || self.cases.iter().any(|wanted| wanted == IN_PROCESS)
    }

    fn takes_contender(&self, contender: Contender) -> bool {
        self.only.is_empty()
            || self
                .only
                .iter()
                .any(|part| contender.label().contains(part.as_str()))
    }
}

fn run_case(choice: &Choice, case: &Case, world: Option<&World>) -> Result<CaseResult> {
    let world = world.filter(|_| case.content == Content::World);
    let folder = Folder::new()?;
    let queries = case.queries.write(folder.path(), case.name)?;
    let chosen = case
        .contenders
        .iter()
        .filter(|contender| choice.takes_contender(**contender));
    let ready: Vec<Ready> = chosen
        .map(|contender| prepare(*contender, case, world))
        .collect();
    let mut rows: Vec<Row> = ready.iter().map(Ready::row).collect();
    // Round by round, so that what disturbs the machine for a while disturbs all alike.
    for round in 0..choice.effort.rounds(case) {
        for (ready, row) in ready.iter().zip(&mut rows) {
            // Once is enough to see what an idle server does.
            let loads = case
                .loads
                .iter()
                .filter(|load| **load != Load::Idle || round == 0);
            for load in loads {
                if let Some(target) = ready.target(case, &queries) {
                    match measure(&target, *load, round, choice.effort) {
                        Ok(measured) => {
                            say(&line(round, ready.contender, &measured));
                            row.rounds.push(measured);
                        }
                        Err(error) => say(&format!("  {}: {error:#}", ready.contender.label())),
                    }
                }
            }
        }
    }
    Ok(CaseResult {
        name: case.name.to_owned(),
        title: case.title.to_owned(),
        names: case.queries.names,
        rows,
    })
}

/// Starts a contender, fills its cache and looks whether it answers rightly.
fn prepare(contender: Contender, case: &Case, world: Option<&World>) -> Ready {
    let started = || -> Result<(Site, Running)> {
        let site = Site::new(case.queues, world)?;
        let server = contender.start(case, &site)?;
        if !contender.is_limit() {
            check(case, &site)?;
            if contender.is_cache() && case.content == Content::Cached {
                warm(case, &site).context("filling the cache")?;
            }
        }
        Ok((site, server))
    };
    let outcome = started();
    if let Err(error) = &outcome {
        say(&format!(
            "  {} is not measured: {error:#}",
            contender.label()
        ));
    }
    Ready { contender, outcome }
}

impl Ready {
    fn row(&self) -> Row {
        Row {
            contender: self.contender.label().to_owned(),
            missing: self
                .outcome
                .as_ref()
                .err()
                .map(|error| format!("{error:#}")),
            server: self
                .outcome
                .as_ref()
                .ok()
                .and_then(|(_, running)| running.told().map(str::to_owned)),
            rounds: Vec::new(),
        }
    }

    fn target<'a>(&'a self, case: &'a Case, queries: &'a QueryFile) -> Option<Target<'a>> {
        let (site, server) = self.outcome.as_ref().ok()?;
        Some(Target {
            case,
            site,
            server,
            queries,
        })
    }
}

fn measure(target: &Target<'_>, load: Load, round: u32, effort: Effort) -> Result<Round> {
    match load {
        Load::Flat | Load::Paced => kxdpgun(target, load, effort.secs()),
        Load::Single => single(target, load, Wait::Blocking, effort.singles()),
        Load::Polled => single(target, load, Wait::Polling, effort.singles()),
        Load::Flows => flows(target, effort.secs()),
        Load::Idle => idle(target),
        Load::Misses | Load::Mixed | Load::LoneMiss => misses(target, load, round),
        Load::Half => half_load(target, effort.secs(), effort.singles()),
    }
}

fn line(round: u32, contender: Contender, measured: &Round) -> String {
    let figures: Vec<String> = measured
        .figures
        .iter()
        .map(|(figure, value)| format!("{figure:?} {value:.2}"))
        .collect();
    format!(
        "  {} {} {:?}: {}",
        round + 1,
        contender.label(),
        measured.load,
        figures.join(", ")
    )
}
