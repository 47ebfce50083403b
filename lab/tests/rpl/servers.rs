use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use sluicegate_conf::table;
use sluicegate_lab::netns::Process;
use sluicegate_lab::peers;
use sluicegate_lab::rpl::{Setting, World};
use sluicegate_lab::server::{Server, server};

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    Unbound,
    Sluicegate,
}

/// A server that runs in a scenario's world, until the value is dropped.
pub(crate) enum Running {
    Unbound(Process),
    Sluicegate(Server),
}

/// The version of Debian's Unbound, and of the libunbound below Sluicegate.
const VERSION: &str = "1.17.1";
const START_LIMIT: Duration = Duration::from_secs(20);

impl Who {
    /// In the order of the columns.
    pub(crate) const ALL: [Self; 2] = [Self::Unbound, Self::Sluicegate];

    /// Starts the server on a scenario's configuration.
    pub(crate) fn start(self, setting: &Setting, world: &World) -> Result<Running> {
        match self {
            Self::Unbound => start_unbound(setting, world).map(Running::Unbound),
            // Errors are explained unless that is switched off; in Unbound it is off unless switched on.
            Self::Sluicegate => server(&format!("server:\n\tede: no\n{}", setting.config))
                .arg("--no-xdp")
                .start(world.netns())
                .map(Running::Sluicegate),
        }
    }
}

impl Running {
    /// The last lines that the server printed.
    pub(crate) fn log(&self, lines: usize) -> String {
        let process = match self {
            Self::Unbound(process) => process,
            Self::Sluicegate(server) => server.process(),
        };
        let all = process.lines_with("");
        all[all.len().saturating_sub(lines)..].join("\n")
    }
}

fn start_unbound(setting: &Setting, world: &World) -> Result<Process> {
    let config = format!(
        "server:\n\tusername: \"\"\n\tchroot: \"\"\n\tdirectory: \"\"\n\tpidfile: \"\"\n\tuse-syslog: no\n\
         remote-control:\n\tcontrol-enable: no\n{}",
        without_newer(&setting.config)?
    );
    let path = setting.file("unbound.conf");
    fs::write(&path, config)?;
    let mut command = peers::command("unbound")?;
    command.args(["-d", "-c"]).arg(path);
    let process = world.netns().spawn(&command)?;
    process.wait_for_line("start of service", START_LIMIT)?;
    Ok(process)
}

/// The configuration without the lines of keywords that are newer than Debian's Unbound and unknown to it: security
/// fixes bring some to older versions.
fn without_newer(config: &str) -> Result<String> {
    let mut kept = String::new();
    for line in config.lines() {
        let keyword = line.split(':').next().unwrap_or_default().trim();
        let version = VERSION.parse().context("a version")?;
        if table::keyword(keyword).is_none_or(|row| row.since <= version) || is_known(keyword)? {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    Ok(kept)
}

/// Whether Debian's Unbound knows a keyword, asked once.
fn is_known(keyword: &str) -> Result<bool> {
    static KNOWN: Mutex<BTreeMap<String, bool>> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = known.get(keyword) {
        return Ok(*known);
    }
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rpl-{keyword}.conf"));
    fs::write(&path, format!("server:\n\t{keyword}: yes\n"))?;
    let output = peers::command("unbound-checkconf")?.arg(&path).output()?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let is_known = !said.contains("unknown keyword");
    known.insert(keyword.to_owned(), is_known);
    Ok(is_known)
}
