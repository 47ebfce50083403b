use std::collections::BTreeMap;
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::workspace_root;

use super::operation::{ALL, Operation};
use crate::report::say;

/// Two runs of different length: their difference has none of what comes before and after.
const FEW: u32 = 1000;
const MANY: u32 = 5000;
/// By how much a count may be off.
const TOLERANCE_PERCENT: f64 = 3.0;

/// Repeats an operation; run under callgrind.
pub(crate) fn count(operation: Operation, repeats: u32) -> Result<()> {
    let mut step = operation.prepare()?;
    for _ in 0..repeats {
        step();
    }
    Ok(())
}

/// Counts the instructions of each operation and compares them with the file `bench/instructions.txt`, or writes that.
///
/// Without valgrind nothing is counted and the gate is open, with a line that says so.
///
/// # Errors
/// If a count is more than 3 % above the file's. Fewer instructions only ask for a new file.
pub(crate) fn gate(write: bool) -> Result<()> {
    let counts = count_all()?;
    if counts.is_empty() {
        return Ok(());
    }
    let path = workspace_root().join("bench/instructions.txt");
    if write {
        fs::write(&path, file(&counts))?;
        say(&format!("{} is written", path.display()));
        return Ok(());
    }
    compare(&counts, &path)
}

fn compare(counts: &BTreeMap<String, f64>, path: &Path) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let mut above = Vec::new();
    for (name, stored) in read(&text) {
        let counted = *counts
            .get(name)
            .with_context(|| format!("nothing counts {name:?}"))?;
        let percent = (counted / stored - 1.0) * 100.0;
        say(&format!(
            "{name:24} {counted:6.0} stored {stored:6.0} {percent:+6.1} %"
        ));
        if percent > TOLERANCE_PERCENT {
            above.push(name);
        }
        if percent < -TOLERANCE_PERCENT {
            say(&format!(
                "  fewer than before: keep it so with `bench gate --write`, in {}",
                path.display()
            ));
        }
    }
    if !above.is_empty() {
        bail!(
            "more instructions than {} allows: {}",
            path.display(),
            above.join(", ")
        );
    }
    Ok(())
}

fn file(counts: &BTreeMap<String, f64>) -> String {
    let mut text = "# Instructions of one operation, counted by callgrind in release mode: `bench gate --write`.\n".to_owned();
    for (name, count) in counts {
        let _ = writeln!(text, "{name} = {count:.0}");
    }
    text
}

fn read(text: &str) -> impl Iterator<Item = (&str, f64)> {
    text.lines().filter_map(|line| {
        let (name, count) = line.split_once('=')?;
        Some((name.trim(), count.trim().parse().ok()?))
    })
}

/// Instructions of each operation; none without valgrind, with a line that says so.
pub(crate) fn count_all() -> Result<BTreeMap<String, f64>> {
    let mut counts = BTreeMap::new();
    if Command::new("valgrind").arg("--version").output().is_err() {
        say("skipped: instruction counts: needs the command valgrind: run scripts/deps.sh test");
        return Ok(counts);
    }
    let mut copy = 0.0;
    for operation in ALL {
        let more = callgrind(operation, MANY)? - callgrind(operation, FEW)?;
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let each = more as f64 / f64::from(MANY - FEW);
        if operation == Operation::Copy {
            copy = each;
        } else {
            counts.insert(format!("instructions {}", operation.name()), each - copy);
        }
    }
    Ok(counts)
}

fn callgrind(operation: Operation, repeats: u32) -> Result<u64> {
    let own: PathBuf = env::current_exe()?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(own)
        .args(["count", operation.name(), &repeats.to_string()])
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "valgrind: {text}");
    let line = text.lines().find_map(|line| line.split_once("Collected :"));
    let (_, count) = line.with_context(|| format!("valgrind said {text}"))?;
    Ok(count.trim().parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let counts = BTreeMap::from([("instructions whole".to_owned(), 512.0)]);
        let text = file(&counts);
        let read: Vec<_> = read(&text).collect();
        assert_eq!(read, [("instructions whole", 512.0)]);
    }

    #[test]
    fn a_count_above_the_file_closes_the_gate() {
        let path = env::temp_dir().join(format!("sluicegate-gate-{}", std::process::id()));
        fs::write(&path, "instructions whole = 100\n").unwrap();
        let with = |count| {
            compare(
                &BTreeMap::from([("instructions whole".to_owned(), count)]),
                &path,
            )
        };
        assert!(with(102.0).is_ok());
        assert!(with(104.0).is_err());
        assert!(with(50.0).is_ok());
        fs::remove_file(path).unwrap();
    }
}
