//! This test program as a process of its own: one that is killed, or that lacks something.

use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result};
use sluicegate_xsk::QueueBuilder;
use sluicegate_xsk::nic::{self, Nic};
use sluicegate_xsk::prog::AttachMode;

use crate::scene::{SERVER, load, reflect};

const ROLE: &str = "XSK_FAULTS_ROLE";
/// What a role prints when all went well.
pub(crate) const READY: &str = "ready";

/// What a process of its own does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// Serves the interface's first queue until it is killed.
    Serve,
    /// Opens the interface's first queue and says how that went.
    Open,
    /// Asks what there is to know of the interface.
    Nic,
}

/// Plays a role, if this process was started for one.
pub(crate) fn main() -> Option<ExitCode> {
    let role = std::env::var(ROLE).ok()?;
    let outcome = match role.as_str() {
        "Serve" => open(true),
        "Open" => open(false),
        _ => ask(),
    };
    let line = match &outcome {
        Ok(()) => READY.to_owned(),
        Err(error) => format!("{error:#}"),
    };
    say(&line);
    Some(ExitCode::from(u8::from(outcome.is_err())))
}

/// The command that starts this program in a role, behind `wrapper` (which may take something away).
pub(crate) fn command(role: Role, wrapper: &[&str]) -> Result<Command> {
    let this = std::env::current_exe()?;
    let mut command = match wrapper {
        [] => Command::new(this),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
    };
    command.env(ROLE, format!("{role:?}"));
    Ok(command)
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

fn open(serve: bool) -> Result<()> {
    let nic = Nic::by_name(SERVER)?;
    let program = load().context("load")?;
    let _link = program.attach(&nic, AttachMode::Native).context("attach")?;
    let xsks = program.xskmap("xsks")?;
    let builder = QueueBuilder::new(&nic, 0)
        .frames(1024)
        .patience(Duration::from_millis(300));
    let (mut queue, _) = builder.open(&xsks).context("open")?;
    program
        .map("queues")?
        .set(&0u32.to_ne_bytes(), &1u32.to_ne_bytes())?;
    if !serve {
        return Ok(());
    }
    say(READY);
    loop {
        if queue.turn(&mut reflect)? == 0 {
            queue.idle(Duration::from_millis(100), None)?;
        }
    }
}

fn ask() -> Result<()> {
    let nic = Nic::by_name(SERVER)?;
    say(&format!("features {:?}", nic.caps().features.is_some()));
    say(&format!("queues {}", nic.caps().rx_queues()));
    say(&format!("driver {:?}", nic.caps().driver));
    say(&format!("links {}", nic::links()?.len()));
    say(&format!("addresses {}", nic::addresses()?.len()));
    nic::Monitor::open()?;
    Ok(())
}
