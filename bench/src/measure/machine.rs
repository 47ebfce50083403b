use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::thread;

use anyhow::Result;
use sluicegate_lab::{peers, workspace_root};

use super::Machine;
use crate::plan::Effort;

/// How each program is asked for its version.
const PROGRAMS: [(&str, &str); 6] = [
    ("kxdpgun", "--version"),
    ("dnsperf", "-h"),
    ("knotd", "--version"),
    ("unbound", "-V"),
    ("dnsdist", "--version"),
    ("pdns_recursor", "--version"),
];

impl Machine {
    /// Looks at this machine and the programs on it.
    pub(crate) fn look(effort: Effort) -> Result<Self> {
        let versions: BTreeMap<String, String> = PROGRAMS
            .iter()
            .map(|(name, flag)| ((*name).to_owned(), version(name, flag)))
            .collect();
        Ok(Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: thread::available_parallelism()?.get(),
            memory: field("/proc/meminfo", "MemTotal"),
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease")?
                .trim()
                .to_owned(),
            effort: format!("{effort:?}").to_lowercase(),
            revision: output(
                Command::new("git")
                    .args(["log", "-1", "--format=%h of %cs"])
                    .current_dir(workspace_root()),
            ),
            versions,
        })
    }
}

fn version(name: &str, flag: &str) -> String {
    let Ok(mut command) = peers::command(name) else {
        return "missing".to_owned();
    };
    let text = output(command.arg(flag));
    // The first word that looks like a version number, wherever the program puts it.
    let mut words = text.split(|c: char| c.is_whitespace() || c == ')' || c == '(');
    words
        .find(|word| word.starts_with(|c: char| c.is_ascii_digit()) && word.split('.').count() == 3)
        .unwrap_or("unknown")
        .to_owned()
}

fn output(command: &mut Command) -> String {
    command.output().map_or_else(
        |_| String::new(),
        |output| {
            let text = [output.stdout, output.stderr].concat();
            String::from_utf8_lossy(&text).trim().to_owned()
        },
    )
}

/// The value behind `label:` in a file of `/proc`.
fn field(path: &str, label: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .find(|line| line.starts_with(label))
        .and_then(|line| line.split_once(':'))
        .map_or_else(
            || "unknown".to_owned(),
            |(_, value)| value.trim().to_owned(),
        )
}
