use std::fmt::Write;

use crate::measure::{CaseResult, Figure, Load, Machine, Results, Row, Spread};

/// The columns of a table: load, figure, heading, digits after the point.
type Column = (Load, Figure, &'static str, usize);

const COLUMNS: [Column; 27] = [
    (Load::Flat, Figure::Rate, "answers/s, flat out", 0),
    (Load::Flat, Figure::AnsweredPercent, "% answered", 0),
    (Load::Flat, Figure::CpuUs, "CPU us/answer, flat out", 2),
    (Load::Paced, Figure::Rate, "answers/s at 150,000/s", 0),
    (Load::Paced, Figure::CpuUs, "CPU us/answer at 150,000/s", 2),
    (Load::Paced, Figure::ServerUs, "of it server", 2),
    (Load::Paced, Figure::SoftirqUs, "of it softirq", 2),
    (Load::Flows, Figure::Rate, "answers/s, 32 sockets", 0),
    (Load::Flows, Figure::CpuUs, "CPU us/answer", 2),
    (Load::Flows, Figure::ServerUs, "of it server", 2),
    (Load::Single, Figure::P50Us, "RTT p50 us", 1),
    (Load::Single, Figure::P90Us, "p90", 1),
    (Load::Single, Figure::P99Us, "p99", 1),
    (Load::Polled, Figure::P50Us, "polling client, RTT p50 us", 1),
    (Load::Polled, Figure::P90Us, "p90", 1),
    (Load::Polled, Figure::P99Us, "p99", 1),
    (Load::Half, Figure::Rate, "half load, answers/s", 0),
    (Load::Half, Figure::P50Us, "p50 us", 1),
    (Load::Half, Figure::P99Us, "p99", 1),
    (Load::Idle, Figure::ServerPercent, "idle, % of a core", 2),
    (Load::Misses, Figure::Rate, "misses/s", 0),
    (Load::Misses, Figure::ServerUs, "server CPU us/miss", 1),
    (Load::Misses, Figure::MemoryMib, "MiB after 40,000 names", 0),
    (Load::Mixed, Figure::Rate, "90 % hits: answers/s", 0),
    (Load::Mixed, Figure::ServerUs, "server CPU us/answer", 1),
    (Load::LoneMiss, Figure::P50Us, "lone miss, RTT p50 us", 0),
    (Load::LoneMiss, Figure::P99Us, "p99", 0),
];

/// All tables.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = machine(&results.machine);
    for case in &results.cases {
        text += &table(case);
    }
    text
}

fn machine(machine: &Machine) -> String {
    let versions: Vec<String> = machine
        .versions
        .iter()
        .map(|(name, version)| format!("{name} {version}"))
        .collect();
    format!(
        "Machine: {}, {} cores, {}. Kernel {}. Effort: {}. Sluicegate {}. {}.\n\n",
        machine.processor,
        machine.cores,
        machine.memory,
        machine.kernel,
        machine.effort,
        machine.revision,
        versions.join(", "),
    )
}

/// One case: median (least to most) of the rounds.
fn table(case: &CaseResult) -> String {
    let columns: Vec<&Column> = COLUMNS
        .iter()
        .filter(|(load, figure, ..)| {
            case.rows
                .iter()
                .any(|row| row.spread(*load, *figure).is_some())
        })
        .collect();
    let mut text = format!("### {}\n\n| |", case.title);
    for (_, _, heading, _) in &columns {
        let _ = write!(text, " {heading} |");
    }
    let _ = writeln!(text, "\n|---|{}", "--:|".repeat(columns.len()));
    for row in &case.rows {
        let _ = write!(text, "| {} |", row.contender);
        for column in &columns {
            let _ = write!(text, " {} |", cell(row, column));
        }
        text.push('\n');
    }
    for row in &case.rows {
        if let Some(reason) = &row.missing {
            let _ = writeln!(text, "\n{} is missing: {reason}", row.contender);
        }
    }
    text.push('\n');
    text
}

fn cell(row: &Row, (load, figure, _, digits): &Column) -> String {
    if row.missing.is_some() {
        return "missing".to_owned();
    }
    match row.spread(*load, *figure) {
        Some(Spread { median, min, max }) => format!(
            "{} ({} to {})",
            number(median, *digits),
            number(min, *digits),
            number(max, *digits)
        ),
        None => "-".to_owned(),
    }
}

/// A number with commas between thousands.
pub(super) fn number(value: f64, digits: usize) -> String {
    let text = format!("{value:.digits$}");
    let (whole, fraction) = text
        .split_once('.')
        .map_or((text.as_str(), ""), |(whole, fraction)| (whole, fraction));
    let mut out = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) && digit.is_ascii_digit() {
            out.push(',');
        }
        out.push(digit);
    }
    if !fraction.is_empty() {
        out.push('.');
        out += fraction;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_parted() {
        assert_eq!(number(1_234_567.0, 0), "1,234,567");
        assert_eq!(number(123.456, 2), "123.46");
        assert_eq!(number(12.0, 1), "12.0");
    }
}
