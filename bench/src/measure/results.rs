use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

/// All that a run gave; what `bench report` reads back.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Results {
    pub(crate) machine: Machine,
    pub(crate) cases: Vec<CaseResult>,
    /// Measured without a network, by name.
    #[serde(default)]
    pub(crate) in_process: BTreeMap<String, f64>,
}

/// What it was measured on and with.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory: String,
    pub(crate) kernel: String,
    /// How long: `quick` or `full`.
    pub(crate) effort: String,
    /// Date and commit.
    pub(crate) revision: String,
    /// Each program's version, by its name.
    pub(crate) versions: BTreeMap<String, String>,
}

/// A case and its contenders.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CaseResult {
    pub(crate) name: String,
    pub(crate) title: String,
    /// How many names there are.
    pub(crate) names: u32,
    pub(crate) rows: Vec<Row>,
}

/// One contender in a case.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) contender: String,
    /// Why it was not measured.
    pub(crate) missing: Option<String>,
    /// The server's command, and its configuration.
    #[serde(default)]
    pub(crate) server: Option<String>,
    pub(crate) rounds: Vec<Round>,
}

/// One measurement.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) load: Load,
    pub(crate) figures: BTreeMap<Figure, f64>,
    /// What was run.
    pub(crate) command: String,
}

/// How a server is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// As fast as the generator can.
    Flat,
    /// At the same rate for all.
    Paced,
    /// As fast as dnsperf can from many sockets, which the kernel spreads over all queues.
    Flows,
    /// One query at a time, from a client that sleeps until the answer comes.
    Single,
    /// One query at a time, from a client that looks again and again.
    Polled,
    /// Nobody asks.
    Idle,
    /// One query at a time, while dnsperf asks at half of what it can get.
    Half,
    /// Names that were never asked for, many at once.
    Misses,
    /// Of ten queries one for such a name.
    Mixed,
    /// Such names, one at a time.
    LoneMiss,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Figure {
    /// Answers per second.
    Rate,
    /// Of 100 queries so many were answered.
    AnsweredPercent,
    /// Processor time of the whole machine for each answer, in us.
    CpuUs,
    /// Of it the server's processes.
    ServerUs,
    /// Of it software interrupts.
    SoftirqUs,
    /// Round trip time in us.
    P50Us,
    P90Us,
    P99Us,
    /// The generator's own mean of it.
    MeanUs,
    /// Of 100 parts of one processor's time so many are the server's.
    ServerPercent,
    /// Memory of the server's processes, in MiB: what is resident, and each one's part of pages that are shared.
    MemoryMib,
}

/// Median, least and most of the rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Results {
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        fs::write(path, serde_json::to_string_pretty(self)?)
            .with_context(|| format!("writing {}", path.display()))
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("reading {}: run `make bench` first", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    /// Enters a case, in place of one of the same name.
    pub(crate) fn enter(&mut self, case: CaseResult) {
        self.cases.retain(|other| other.name != case.name);
        self.cases.push(case);
    }

    /// The case of this name.
    pub(crate) fn case(&self, name: &str) -> Option<&CaseResult> {
        self.cases.iter().find(|case| case.name == name)
    }

    /// A figure of a contender in a case.
    pub(crate) fn figure(
        &self,
        case: &str,
        contender: &str,
        load: Load,
        figure: Figure,
    ) -> Option<Spread> {
        self.case(case)?.row(contender)?.spread(load, figure)
    }
}

impl CaseResult {
    pub(crate) fn row(&self, contender: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.contender == contender)
    }
}

impl Row {
    /// A figure over all rounds of a load.
    pub(crate) fn spread(&self, load: Load, figure: Figure) -> Option<Spread> {
        let rounds = self.rounds.iter().filter(|round| round.load == load);
        Spread::of(
            rounds
                .filter_map(|round| round.figures.get(&figure).copied())
                .collect(),
        )
    }
}

impl Spread {
    fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (min, max) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between() {
        assert_eq!(Spread::of(vec![]), None);
        let of = |values: &[f64]| Spread::of(values.to_vec()).unwrap().median.to_bits();
        assert_eq!(of(&[3.0, 1.0, 2.0]), 2.0f64.to_bits());
        assert_eq!(of(&[4.0, 1.0, 2.0, 3.0]), 2.5f64.to_bits());
    }
}
