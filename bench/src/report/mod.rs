//! Tables, plots and targets made of the results.

mod table;
mod targets;

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::measure::Results;

/// Makes the report below `out`; also as a page of the documentation, if wanted.
pub(crate) fn write(out: &Path, page: Option<&Path>) -> Result<()> {
    let results = Results::read(&out.join("results.json"))?;
    let text = table::markdown(&results) + &targets::markdown(&results);
    fs::write(out.join("results.md"), &text)?;
    say(&text);
    if let Some(page) = page {
        fs::write(page, &text)?;
    }
    Ok(())
}

/// Prints a line. A reader that has gone away is no fault of ours.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
