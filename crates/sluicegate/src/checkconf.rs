use std::io::{IsTerminal, Write, stderr, stdout};
use std::path::Path;
use std::process::ExitCode;

use sluicegate_serve::check;

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
        None => Ok(format!(
            "sluicegate checkconf: no errors in {}",
            file.display()
        )),
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
