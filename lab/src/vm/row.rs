use std::env;
use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

/// What was seen of one kind of interface: a row of the table at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The interface and what is around it.
    pub kind: String,
    /// The driver that the server's program was attached to, as `ethtool -i` names it.
    pub driver: String,
    /// The kernel's release.
    pub kernel: String,
    /// The mode that was reached, as the server says it.
    pub mode: String,
    /// What came of it.
    pub verdict: String,
}

/// Where the guest's tests leave their rows.
pub(super) const VARIABLE: &str = "SLUICEGATE_VM_ROWS";

/// Adds a row to the table; outside of the virtual machine it goes nowhere.
///
/// # Errors
/// The file can't be written.
pub fn record(kind: &str, driver: &str, mode: &str, verdict: &str) -> Result<()> {
    let Some(path) = env::var_os(VARIABLE) else {
        return Ok(());
    };
    let mut file = OpenOptions::new().create(true).append(true).open(path)?;
    let kernel = super::kernel()?;
    // A tab in a reason would be a column more.
    let cells = [kind, driver, &kernel, mode, verdict].map(|cell| cell.replace(['\t', '\n'], " "));
    Ok(writeln!(file, "{}", cells.join("\t"))?)
}

/// Reads what the guest left; no file, no rows.
pub(super) fn read(path: &Path) -> Result<Vec<Row>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("the guest's rows"),
    };
    text.lines()
        .map(|line| {
            let cells: Vec<&str> = line.split('\t').collect();
            let [kind, driver, kernel, mode, verdict] =
                <[&str; 5]>::try_from(cells).map_err(|_| anyhow::anyhow!("a row {line:?}"))?;
            Ok(Row {
                kind: kind.to_owned(),
                driver: driver.to_owned(),
                kernel: kernel.to_owned(),
                mode: mode.to_owned(),
                verdict: verdict.to_owned(),
            })
        })
        .collect()
}

/// The rows as a table of text, as Markdown has them.
pub fn table(rows: &[Row]) -> String {
    let head = ["kind", "driver", "kernel", "mode reached", "verdict"].map(str::to_owned);
    let cells: Vec<[String; 5]> = rows
        .iter()
        .map(|row| {
            [
                row.kind.clone(),
                row.driver.clone(),
                row.kernel.clone(),
                row.mode.clone(),
                row.verdict.clone(),
            ]
        })
        .collect();
    let width = |column: usize| {
        cells
            .iter()
            .chain([&head])
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: [usize; 5] = std::array::from_fn(width);
    let mut text = String::new();
    let rule = widths.map(|width| "-".repeat(width));
    for row in [&head, &rule].into_iter().chain(&cells) {
        for (cell, width) in row.iter().zip(widths) {
            let _ = write!(text, "| {cell:width$} ");
        }
        text.push_str("|\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_make_an_even_table() {
        let row = Row {
            kind: "NIC".into(),
            driver: "igb".into(),
            kernel: "6.12".into(),
            mode: "copy".into(),
            verdict: "answers".into(),
        };
        let text = table(&[row]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines.iter().all(|line| line.len() == lines[0].len()));
        assert_eq!(
            lines[2],
            "| NIC  | igb    | 6.12   | copy         | answers |"
        );
    }
}
