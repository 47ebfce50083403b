use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use sluicegate_serve::{Ended, Server, ServerOptions, Signals, UsePidFile, UseXdp};

use crate::cli::Cli;
use crate::logging::{Log, Target};

/// Serves until a signal says to end.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    // First: from here on a signal finds a server that ends well, however early it comes.
    let signals = Signals::register().context("signals can't be heeded")?;
    let log = Log::start();
    let (more, target) = (
        cli.verbose,
        if cli.debug > 1 {
            Target::Stderr
        } else {
            Target::Configured
        },
    );
    let mut options = ServerOptions::new(&cli.config);
    options.xdp = if cli.no_xdp {
        UseXdp::Never
    } else {
        UseXdp::Configured
    };
    options.pid_file = if cli.no_pid_file {
        UsePidFile::Never
    } else {
        UsePidFile::Configured
    };
    options.on_config = Arc::new(move |config| log.configure(&config.log, more, target));
    let server = Server::start(options).context("cannot start")?;
    match server.run(signals) {
        Ended::Asked => Ok(ExitCode::SUCCESS),
        Ended::Broken => Ok(ExitCode::FAILURE),
    }
}
