use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use sluicegate_serve::control;

use crate::cli::StatsArgs;

/// Prints the counters of a running server.
pub(crate) fn run(arguments: &StatsArgs, config: &Path) -> anyhow::Result<ExitCode> {
    let socket = match &arguments.socket {
        Some(socket) => socket.clone(),
        None => configured_socket(config)?,
    };
    let text = control::request(&socket, "stats")?;
    #[expect(clippy::print_stdout, reason = "this is what the command is for")]
    {
        print!("{text}");
    }
    Ok(ExitCode::SUCCESS)
}

/// The socket that the configuration names.
fn configured_socket(config: &Path) -> anyhow::Result<PathBuf> {
    let loaded = sluicegate_serve::load(config)?;
    control::socket_path(&loaded.config.control)
        .context("the configuration says `control-enable: no`: there is no control socket")
}
