use std::io::Write;
use std::process::{Command as Process, Stdio};

use anyhow::{Context, bail, ensure};
use sluicegate_doctor::{Change, Finding, Mend, Undo, Verdict};

/// Makes the changes that findings want, and writes each down first. Those that interrupt traffic are made only if their
/// check is among the `named`.
///
/// # Errors
/// A change can't be written down: nothing more is changed then.
pub(super) fn fix(
    findings: &[Finding],
    named: &[String],
    undo: &Undo,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let mut made: Vec<&Change> = Vec::new();
    for finding in findings {
        let by_name = named.iter().any(|name| name == finding.check);
        if finding.verdict < Verdict::Warn && !by_name {
            continue;
        }
        for mend in &finding.mend {
            match mend {
                Mend::ByHand(_) => {
                    let _ = writeln!(
                        out,
                        "by hand: {}",
                        mend.command().replace('\n', "\n         ")
                    );
                }
                Mend::Change(change) if change.interrupts() && !by_name => {
                    let name = finding.check;
                    let _ = writeln!(
                        out,
                        "left:    {}    # interrupts traffic; `sluicegate doctor --fix {name}` does it",
                        change.command()
                    );
                }
                Mend::Change(change) if !made.contains(&change) => {
                    made.push(change);
                    make(change, undo, out)?;
                }
                Mend::Change(_) => {}
            }
        }
    }
    if made.is_empty() {
        let _ = writeln!(out, "nothing to change");
    }
    Ok(())
}

fn make(change: &Change, undo: &Undo, out: &mut dyn Write) -> anyhow::Result<()> {
    ensure!(
        change.is_sound(),
        "{}: an odd name or value",
        change.command()
    );
    undo.record(change).context("nothing was changed")?;
    let (from, to) = change.values();
    match run(change) {
        Ok(()) => {
            let _ = writeln!(
                out,
                "changed: {}    # was {from}, is {to}",
                change.command()
            );
        }
        Err(error) => {
            let _ = writeln!(out, "failed:  {}: {error:#}", change.command());
            undo.forget(change)?;
        }
    }
    Ok(())
}

/// Puts back what `fix` has changed, last change first; how many could not be.
///
/// # Errors
/// The file of changes can't be used.
pub(super) fn undo(undo: &Undo, out: &mut dyn Write) -> anyhow::Result<usize> {
    let (changes, elsewhere) = undo.pending()?;
    let mut failed = 0;
    for change in &changes {
        let back = change.reversed();
        let (from, to) = back.values();
        match run(&back) {
            Ok(()) => {
                undo.forget(change)?;
                let _ = writeln!(out, "put back: {}    # was {from}, is {to}", back.command());
            }
            Err(error) => {
                failed += 1;
                let _ = writeln!(out, "failed:   {}: {error:#}", back.command());
            }
        }
    }
    if changes.is_empty() {
        let _ = writeln!(out, "nothing to put back");
    }
    if elsewhere > 0 {
        let _ = writeln!(
            out,
            "{elsewhere} changes were made in another network namespace; undo them there"
        );
    }
    Ok(failed)
}

/// Runs the very command that was shown.
fn run(change: &Change) -> anyhow::Result<()> {
    let command = change.command();
    let output = Process::new(command.program())
        .args(command.arguments())
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("the command `{}` is needed", command.program()))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    bail!(
        "{}",
        said.trim()
            .lines()
            .last()
            .unwrap_or("it failed without a word")
    )
}
