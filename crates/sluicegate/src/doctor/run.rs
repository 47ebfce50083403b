use std::io::Write;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use sluicegate_conf::Config;
use sluicegate_doctor::{CHECKS, Facts, Finding, Undo, Verdict, Wanted, examine, json, text};
use sluicegate_serve::{check, control, load};

use super::{mend, trial};
use crate::cli::DoctorArgs;

/// Looks, judges and tells; mends if asked to.
pub(crate) fn run(arguments: &DoctorArgs, config: &Path) -> anyhow::Result<ExitCode> {
    let undo = Undo::new(&arguments.state);
    // JSON is to stand alone.
    let mut told: Box<dyn Write> = if arguments.json {
        Box::new(std::io::stderr())
    } else {
        Box::new(std::io::stdout())
    };
    if arguments.undo {
        let left = mend::undo(&undo, arguments.force, &mut *told)?;
        return Ok(ExitCode::from(u8::from(left > 0)));
    }
    for name in &arguments.checks {
        ensure!(
            CHECKS.contains(&name.as_str()),
            "there is no check '{name}'"
        );
    }
    let mut findings = look(arguments, config)?;
    if arguments.fix {
        mend::fix(&findings, &arguments.checks, &undo, &mut *told)?;
        findings = look(arguments, config)?;
    }
    let shown = if arguments.json {
        json(&findings)
    } else {
        text(&findings)
    };
    // A closed pipe is no reason to fail.
    let _ = std::io::stdout().write_all(shown.as_bytes());
    Ok(ExitCode::from(status(&findings)))
}

fn look(arguments: &DoctorArgs, config: &Path) -> anyhow::Result<Vec<Finding>> {
    let (read, first) = configuration(config);
    let server = read.as_ref().and_then(server);
    let wanted = read.as_ref().map(Wanted::from_config).unwrap_or_default();
    let told = server.as_ref().map(|(pid, stats)| (*pid, stats.as_str()));
    let facts = Facts::gather(wanted, told).context("the interfaces can't be listed")?;
    let mut findings = vec![first];
    findings.extend(examine(&facts));
    let names = &arguments.checks;
    if !arguments.no_trial && (names.is_empty() || names.iter().any(|name| name == trial::CHECK)) {
        findings.push(trial::trial());
    }
    if names.is_empty() {
        return Ok(findings);
    }
    findings.retain(|finding| names.iter().any(|name| name == finding.check));
    Ok(findings)
}

/// 0: nothing to mend; 1: warnings; 2: failures.
fn status(findings: &[Finding]) -> u8 {
    match findings.iter().map(|finding| finding.verdict).max() {
        Some(Verdict::Fail) => 2,
        Some(Verdict::Warn) => 1,
        _ => 0,
    }
}

/// The configuration, and what is to be said of it.
fn configuration(file: &Path) -> (Option<Config>, Finding) {
    if !file.exists() {
        return (None, Finding::no_configuration(file));
    }
    match load(file) {
        Ok(loaded) => (Some(loaded.config), Finding::configuration(file, None)),
        Err(_) => (
            None,
            Finding::configuration(file, Some(&check(file, false).text)),
        ),
    }
}

/// The process that answers on the control socket, and what its `stats` prints.
fn server(config: &Config) -> Option<(u32, String)> {
    let path = control::socket_path(&config.control)?;
    let stats = control::request(&path, "stats").ok()?;
    let socket = UnixStream::connect(&path).ok()?;
    let peer = getsockopt(&socket, PeerCredentials).ok()?;
    Some((u32::try_from(peer.pid()).ok()?, stats))
}
