//! Tables, plots and targets made of the results.

mod page;
mod plots;
mod svg;
mod table;
mod targets;

use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Result;

use crate::measure::Results;

/// Makes the report below `out`; with `page` also the page of the documentation, its plots in a folder beside it.
pub(crate) fn write(out: &Path, page: Option<&Path>) -> Result<()> {
    let results = Results::read(&out.join("results.json"))?;
    let tables = table::markdown(&results) + &targets::markdown(&results);
    fs::write(
        out.join("results.md"),
        tables.clone() + &page::in_process(&results),
    )?;
    let plots = plots::write(&results, out)?;
    say(&tables);
    if let Some(page) = page {
        let folder = page.with_extension("");
        fs::create_dir_all(&folder)?;
        for (file, _) in &plots {
            fs::copy(out.join(file), folder.join(file))?;
        }
        fs::write(page, page::page(&results, &tables, &plots))?;
    }
    Ok(())
}

/// Prints a line. A reader that has gone away is no fault of ours.
pub(crate) fn say(text: &str) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}
