use std::fmt::Write as _;
use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use sluicegate_conf::XdpEnable;
use sluicegate_doctor::{Facts, Finding, Group, Verdict, Wanted, examine_without_interfaces};
use sluicegate_serve::{check, load};

use crate::cli::CheckconfArgs;

/// Checks a configuration with the server's own code.
///
/// What is wrong goes to standard error, what was asked for to standard output, as with `unbound-checkconf`.
pub(crate) fn run(arguments: &CheckconfArgs, default: &Path) -> ExitCode {
    let file = arguments.file.as_deref().unwrap_or(default);
    let checked = check(file, stderr().is_terminal());
    let quiet = arguments.quiet && checked.usable;
    if !quiet {
        // A closed pipe is no reason to fail.
        let _ = stderr().write_all(checked.text.as_bytes());
    }
    if !checked.usable {
        return ExitCode::FAILURE;
    }
    let said = match &arguments.option {
        None if quiet => return ExitCode::SUCCESS,
        None => {
            let mut lines = vec![format!(
                "sluicegate checkconf: no errors in {}{}",
                file.display(),
                place(file)
            )];
            lines.extend(checked.places());
            Ok(lines.join("\n"))
        }
        Some(option) => checked.value_of(option).ok_or(option),
    };
    let (code, _) = match said {
        Ok(text) => (ExitCode::SUCCESS, writeln!(stdout(), "{text}")),
        Err(option) => {
            let told = writeln!(
                stderr(),
                "sluicegate checkconf: there is no option '{option}'"
            );
            (ExitCode::FAILURE, told)
        }
    };
    code
}

/// What of this machine would keep the fast path away, a line each: the checks of `doctor` that need no interface. What a
/// person's shell may do says nothing of what the service may, so that is left out.
fn place(file: &Path) -> String {
    let Ok(loaded) = load(file) else {
        return String::new();
    };
    if loaded.config.xdp.enable == XdpEnable::No {
        return String::new();
    }
    let facts = Facts::gather_host(Wanted::from_config(&loaded.config));
    let is_root = nix::unistd::geteuid().is_root();
    let told = |finding: &Finding| {
        let of_process = finding.group == Group::Privileges && finding.check != "memlock";
        finding.verdict >= Verdict::Warn && (!of_process || is_root || facts.process.under_systemd)
            || finding.check == "memlock" && finding.verdict == Verdict::Info
    };
    let mut lines = String::new();
    for finding in examine_without_interfaces(&facts)
        .iter()
        .filter(|finding| told(finding))
    {
        let word = finding.verdict.word().to_uppercase();
        let _ = write!(
            lines,
            "\nsluicegate checkconf: [{word}] {}: {}",
            finding.check, finding.says
        );
    }
    lines
}
