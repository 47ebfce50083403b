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
    let command = change.command();
    let outcome = run(change).map(|()| change.present().unwrap_or(to.clone()));
    match outcome {
        Ok(now) if now == from => {
            let _ = writeln!(
                out,
                "failed:  {command}: it ran, and left the setting at {now}"
            );
            undo.forget(change)?;
        }
        Ok(now) => {
            let _ = writeln!(out, "changed: {command}    # was {from}, is {now}");
            if let Some(made) = change.reaching(&now).filter(|made| made != change) {
                undo.amend(change, &made)?;
            }
        }
        Err(error) => {
            let _ = writeln!(out, "failed:  {command}: {error:#}");
            undo.forget(change)?;
        }
    }
    Ok(())
}

/// Puts back what `fix` has changed, last change first; how many could not be, or were left. What has another value by now
/// than `fix` gave it is somebody else's: it is put back only if it is `forced`.
///
/// # Errors
/// The file of changes can't be used.
pub(super) fn undo(undo: &Undo, forced: bool, out: &mut dyn Write) -> anyhow::Result<usize> {
    let (changes, elsewhere) = undo.pending()?;
    let mut left = 0;
    for change in &changes {
        if !put_back(change, undo, forced, out)? {
            left += 1;
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
    Ok(left)
}

/// Puts one change back; whether it is as it was before.
fn put_back(
    change: &Change,
    undo: &Undo,
    forced: bool,
    out: &mut dyn Write,
) -> anyhow::Result<bool> {
    let back = change.reversed();
    let ((made, before), command) = (back.values(), back.command());
    let now = change.present().unwrap_or(made.clone());
    if now == before {
        let _ = writeln!(out, "as it was: {command}    # is {now} already");
        undo.forget(change)?;
        return Ok(true);
    }
    if now != made && !forced {
        let _ = writeln!(
            out,
            "left:     {command}    # somebody has set {now} since; doctor had set {made}. `sluicegate doctor --undo \
             --force` puts {before} back"
        );
        return Ok(false);
    }
    match run(&back) {
        Ok(()) => {
            undo.forget(change)?;
            let _ = writeln!(out, "put back: {command}    # was {now}, is {before}");
            Ok(true)
        }
        Err(error) => {
            let _ = writeln!(out, "failed:   {command}: {error:#}");
            Ok(false)
        }
    }
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
