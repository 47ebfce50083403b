//! What the tests of this file do in a machine again and again.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::machine::Machine;
use sluicegate_lab::netns::Netns;
use sluicegate_lab::peers;

/// How long systemd and the server may take for one step.
pub(crate) const LIMIT: Duration = Duration::from_mins(1);

/// Puts a file of the outside into the machine.
pub(crate) fn bring(machine: &Machine, file: &Path, inside: &str) -> Result<()> {
    fs::copy(file, machine.path(inside))
        .map(drop)
        .with_context(|| format!("{} to {inside}", file.display()))
}

/// Installs a package file that is in the machine, with what it depends on, as an operator would.
pub(crate) fn install(machine: &Machine, file: &str) -> Result<String> {
    machine.shell(&format!(
        "apt-get install -q -y --no-install-recommends {file}"
    ))
}

/// Waits until the service is active.
pub(crate) fn wait_active(machine: &Machine) -> Result<()> {
    let line =
        "systemctl is-active sluicegate.service || systemctl --no-pager status sluicegate.service";
    let printed = machine.wait_for(line, "active", LIMIT)?;
    ensure!(printed.trim() == "active", "{printed}");
    Ok(())
}

/// Asks for the address of `localhost`, which needs no upstream, until the answer is right.
pub(crate) fn answers(netns: &Netns, server: &str) -> Result<()> {
    let mut dig = peers::command("dig")?;
    dig.args([&format!("@{server}"), "localhost", "A"])
        .args(["+short", "+tries=20", "+time=1"]);
    let finished = netns.run(&dig)?;
    ensure!(
        finished.stdout == "127.0.0.1\n",
        "{server}: {}{}",
        finished.stdout,
        finished.stderr
    );
    Ok(())
}

/// Whether nobody answers there: one query, refused at once by the kernel.
pub(crate) fn is_silent(netns: &Netns, server: &str) -> Result<bool> {
    let mut dig = peers::command("dig")?;
    dig.args([&format!("@{server}"), "localhost", "A"])
        .args(["+short", "+tries=1", "+time=1"]);
    Ok(netns.run(&dig)?.stdout != "127.0.0.1\n")
}

/// Runs a command on this machine, not in a test's.
pub(crate) fn here(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("{command:?}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{command:?}: {}: {text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

/// The number of the service's main process, as the machine counts.
pub(crate) fn main_process(machine: &Machine) -> Result<String> {
    let printed = machine.shell("systemctl show --property MainPID --value sluicegate.service")?;
    Ok(printed.trim().to_owned())
}
