//! The command line.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use sluicegate_inprocess::Operation;

use crate::plan::Effort;
use crate::{contender, report, run};

#[derive(Parser)]
#[command(name = "bench", about = "Measures Sluicegate beside its peers")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs the cases and writes results.json and the report.
    Run {
        /// How long it may take.
        #[arg(long, value_enum, default_value = "quick")]
        effort: Effort,
        /// Only these cases, by name, with commas between.
        #[arg(long, value_delimiter = ',')]
        cases: Vec<String>,
        /// Only contenders whose label contains one of these.
        #[arg(long, value_delimiter = ',')]
        only: Vec<String>,
        /// Keeps what was measured before; cases that are run now take the place of those of the same name.
        #[arg(long)]
        add: bool,
        /// Where the results go.
        #[arg(long, default_value = "target/bench")]
        out: PathBuf,
    },
    /// Makes tables, plots and the page for the documentation of results.json.
    Report {
        /// Where the results are.
        #[arg(long, default_value = "target/bench")]
        out: PathBuf,
        /// Also writes the page here.
        #[arg(long)]
        page: Option<PathBuf>,
    },
    /// Repeats an operation, to be counted.
    #[command(hide = true)]
    Count { operation: String },
    /// Lists the cases.
    Cases,
    /// Sends queries on the first queue of an interface back through `AF_XDP`.
    #[command(hide = true)]
    Echo { interface: String },
}

/// Does what the command line says.
pub(crate) fn run() -> Result<()> {
    match Cli::parse().command {
        Command::Run {
            effort,
            cases,
            only,
            add,
            out,
        } => {
            let choice = run::Choice {
                effort,
                cases,
                only,
                add,
            };
            run::run(&choice, &out)?;
            report::write(&out, None)
        }
        Command::Report { out, page } => report::write(&out, page.as_deref()),
        Command::Count { operation } => {
            sluicegate_inprocess::count(Operation::named(&operation).context("no such operation")?)
        }
        Command::Cases => {
            for case in &crate::plan::CASES {
                report::say(&format!("{:16} {}", case.name, case.title));
            }
            Ok(())
        }
        Command::Echo { interface } => contender::echo(&interface, || report::say("ready")),
    }
}
