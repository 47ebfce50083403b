//! Sluicegate: a DNS server that answers at the speed of the network card.
//!
//! The command is thin: it reads its arguments, sets up logging and calls the crates that do the work.

#![forbid(unsafe_code)]

mod checkconf;
mod cli;
mod demo;
mod doctor;
mod generate;
mod health;
mod logging;
mod serve;
mod stats;

use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command};

fn main() -> ExitCode {
    sluicegate_serve::raise_permitted();
    // The server's own processes: started by it, not by people. They must come before anything that might
    // start a thread.
    let mut arguments = std::env::args_os().skip(1);
    match arguments.next() {
        Some(argument) if argument == "engine" => return sluicegate_engine::child_main(),
        Some(argument) if argument == "privileges" => {
            return sluicegate_serve::privileges::privileges_main(arguments);
        }
        _ => {}
    }
    let cli = Cli::parse();
    let result = match &cli.command {
        None => serve::run(&cli),
        Some(Command::Checkconf(arguments)) => return checkconf::run(arguments, &cli.config),
        Some(Command::Demo) => demo::run().map(|()| ExitCode::SUCCESS),
        Some(Command::Doctor(arguments)) => doctor::run(arguments, &cli.config),
        Some(Command::Generate(arguments)) => {
            generate::run(&arguments.directory).map(|()| ExitCode::SUCCESS)
        }
        Some(Command::Health) => health::run(&cli.config),
        Some(Command::Stats(arguments)) => stats::run(arguments, &cli.config),
    };
    match result {
        Ok(code) => code,
        Err(error) => {
            #[expect(
                clippy::print_stderr,
                reason = "logging may not be up, or go to a file"
            )]
            {
                eprintln!("sluicegate: {error:#}");
            }
            // 1 is a verdict of doctor's: that there are warnings.
            if matches!(cli.command, Some(Command::Doctor(_))) {
                ExitCode::from(2)
            } else {
                ExitCode::FAILURE
            }
        }
    }
}
