//! `gate` compares the instructions of each operation with `bench/instructions.txt`; `gate --write` writes that file.
#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use sluicegate_inprocess::{Operation, Tally, compare, count, count_all, file};

/// The counts that are allowed, from this package's folder.
const STORED: &str = "../instructions.txt";

fn main() -> Result<()> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => gate(false),
        ["--write"] => gate(true),
        ["count", name] => count(Operation::named(name).context("no such operation")?),
        _ => bail!("usage: gate [--write]"),
    }
}

/// Without valgrind nothing is counted and the gate is open, with a line that says so; not where
/// `SLUICEGATE_ALL_NEEDS=1` says that all is there, as in CI.
fn gate(write: bool) -> Result<()> {
    let Some(counts) = count_all()? else {
        if env::var_os("SLUICEGATE_ALL_NEEDS").is_some_and(|value| value == "1") {
            bail!("the command valgrind is missing: run scripts/deps.sh test");
        }
        say("skipped: instruction counts: needs the command valgrind: run scripts/deps.sh test");
        return Ok(());
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(STORED);
    if write {
        fs::write(&path, file(&counts))?;
        say("bench/instructions.txt is written");
        return Ok(());
    }
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let mut tally = compare(&counts, &text)?;
    if !tally.above.is_empty() {
        tally = compare(&least(counts)?, &text)?;
    }
    let Tally {
        lines,
        above,
        below,
    } = tally;
    say(&lines);
    if !above.is_empty() {
        bail!(
            "more instructions than bench/instructions.txt allows: {}. \
             If it must be, say why in the commit, and `make gate-accept`",
            above.join(", ")
        );
    }
    if !below.is_empty() {
        say(&format!(
            "fewer instructions than before: {}. Keep it so: `make gate-accept`",
            below.join(", ")
        ));
    }
    Ok(())
}

/// These counts, or those of a second run where they are fewer: now and then a process counts a few instructions more,
/// for all that is done to make one like the other.
fn least(mut counts: BTreeMap<String, f64>) -> Result<BTreeMap<String, f64>> {
    let again = count_all()?.unwrap_or_default();
    for (name, count) in &mut counts {
        *count = again.get(name).map_or(*count, |other| count.min(*other));
    }
    Ok(counts)
}

/// Prints a line. A reader that has gone away is no fault of ours.
fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
