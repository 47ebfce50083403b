use std::collections::BTreeMap;
use std::fmt::Write;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::{env, fs, thread};

use anyhow::{Context, Result, ensure};

use crate::Operation;

/// An operation is prepared so often and then repeated so often, each time for another name: where a name lies in a hash
/// table, and what it costs to find it there, is a matter of luck, since each table draws a seed of its own.
const FIXTURES: usize = 64;
const REPEATS: usize = 64;
/// callgrind counts within this function only: what is prepared before costs much more.
const COUNTED: &str = "--toggle-collect=*gate::repeat*";
/// By how much a count may be off.
const TOLERANCE_PERCENT: f64 = 3.0;

/// Repeats an operation; run under callgrind.
///
/// # Errors
/// If the operation does not do what it is named for.
pub fn count(operation: Operation) -> Result<()> {
    for _ in 0..FIXTURES {
        repeat(&mut *operation.prepare(REPEATS)?);
    }
    Ok(())
}

#[inline(never)]
fn repeat(step: &mut dyn FnMut()) {
    for _ in 0..REPEATS {
        step();
    }
}

/// Counts beside those that are stored.
#[derive(Debug)]
pub struct Tally {
    /// A line for each of them.
    pub lines: String,
    /// The names of those that are more than 3 % above what is stored.
    pub above: Vec<String>,
    /// The names of those that are more than 3 % below it.
    pub below: Vec<String>,
}

/// Compares counts with those of a text as [`file()`] makes it.
///
/// # Errors
/// If the two have not the same names.
pub fn compare(counts: &BTreeMap<String, f64>, text: &str) -> Result<Tally> {
    let stored: BTreeMap<&str, f64> = read(text).collect();
    ensure!(
        counts.keys().eq(stored.keys()),
        "other operations are counted than stored: `make gate-accept`"
    );
    let mut tally = Tally {
        lines: String::new(),
        above: Vec::new(),
        below: Vec::new(),
    };
    for ((name, counted), stored) in counts.iter().zip(stored.values()) {
        let percent = (counted / stored - 1.0) * 100.0;
        let _ = writeln!(
            tally.lines,
            "{name:24} {counted:6.0} stored {stored:6.0} {percent:+6.1} %"
        );
        if percent > TOLERANCE_PERCENT {
            tally.above.push(name.clone());
        }
        if percent < -TOLERANCE_PERCENT {
            tally.below.push(name.clone());
        }
    }
    Ok(tally)
}

/// The counts as text, to be stored.
pub fn file(counts: &BTreeMap<String, f64>) -> String {
    let mut text =
        "# Instructions of one operation, counted by callgrind: `make gate-accept`.\n".to_owned();
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

/// Instructions of each operation; none without valgrind. This program is started anew for each, with the arguments
/// `count` and the operation's name, and must then [`count`] it.
///
/// # Errors
/// If valgrind fails.
pub fn count_all() -> Result<Option<BTreeMap<String, f64>>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        return Ok(None);
    }
    // Two at a time: a count is the same however long it takes.
    let (one, other) = Operation::ALL.split_at(Operation::ALL.len() / 2);
    let counted: Vec<(Operation, u64)> = thread::scope(|scope| {
        let other = scope.spawn(|| callgrind_each(other));
        let mut counted = callgrind_each(one)?;
        counted.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic))?);
        anyhow::Ok(counted)
    })?;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let each = |count: u64| count as f64 / (FIXTURES * REPEATS) as f64;
    let mut counts: BTreeMap<String, f64> = counted
        .into_iter()
        .map(|(operation, count)| (format!("instructions {}", operation.name()), each(count)))
        .collect();
    let copy = counts.remove("instructions copy").unwrap_or_default();
    for count in counts.values_mut() {
        *count -= copy;
    }
    Ok(Some(counts))
}

fn callgrind_each(operations: &[Operation]) -> Result<Vec<(Operation, u64)>> {
    let counted = operations
        .iter()
        .map(|operation| Ok((*operation, callgrind(*operation)?)));
    counted.collect()
}

/// The instructions of all repeats.
///
/// The environment is left out, and the program has the same short name wherever it lies: both stand at the top of the
/// stack and would move all that is below them.
fn callgrind(operation: Operation) -> Result<u64> {
    let own: PathBuf = env::current_exe()?;
    let path = env::var_os("PATH").unwrap_or_default();
    let output = Command::new("valgrind")
        .env_clear()
        .env("PATH", path)
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            COUNTED,
        ])
        .arg("/proc/self/fd/0")
        .stdin(fs::File::open(&own)?)
        .args(["count", operation.name()])
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

    fn counts(count: f64) -> BTreeMap<String, f64> {
        BTreeMap::from([("instructions whole".to_owned(), count)])
    }

    #[test]
    fn what_is_written_is_read() {
        let text = file(&counts(512.0));
        let read: Vec<_> = read(&text).collect();
        assert_eq!(read, [("instructions whole", 512.0)]);
    }

    #[test]
    fn only_counts_above_the_tolerance_close_the_gate() {
        let with = |count| {
            let tally = compare(&counts(count), "instructions whole = 100\n").unwrap();
            (tally.above.len(), tally.below.len())
        };
        assert_eq!(with(102.0), (0, 0));
        assert_eq!(with(104.0), (1, 0));
        assert_eq!(with(50.0), (0, 1));
        assert!(compare(&counts(1.0), "instructions other = 1\n").is_err());
    }
}
