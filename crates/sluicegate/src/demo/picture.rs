//! Tables and bars of the demo, as text.

use std::fmt::Write;
use std::time::Duration;

use super::measure::{Comparison, Times};

const BAR_COLUMNS: u32 = 50;

/// The comparisons as a table of times in milliseconds.
pub(super) fn table(comparisons: &[Comparison]) -> String {
    let mut text = String::from("                                asked   median       mean\n");
    for comparison in comparisons {
        for (what, times) in rows(comparison) {
            let (median, mean) = (milliseconds(times.median()), milliseconds(times.mean()));
            let (family, asked) = (comparison.family, times.count());
            let _ = writeln!(
                text,
                "  {family:<4}  {what:<22} {asked:>6}  {median}  {mean}"
            );
        }
    }
    text
}

/// The medians as bars, all to one scale.
pub(super) fn bars(comparisons: &[Comparison]) -> String {
    let longest = comparisons
        .iter()
        .flat_map(rows)
        .map(|(_, times)| times.median())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for comparison in comparisons {
        for (what, times) in rows(comparison) {
            let median = times.median();
            let (bar, number) = (bar(median, longest), milliseconds(median));
            let _ = writeln!(
                text,
                "  {:<4}  {what:<22} {bar} {}",
                comparison.family,
                number.trim_start()
            );
        }
    }
    text
}

/// A time as `12.345 ms`, eleven columns wide.
pub(super) fn milliseconds(time: Duration) -> String {
    format!("{:>8.3} ms", time.as_secs_f64() * 1e3)
}

fn rows(comparison: &Comparison) -> [(&'static str, &Times); 3] {
    [
        ("upstream directly", &comparison.direct),
        ("server, first hit", &comparison.first_hit),
        ("server, cache hit", &comparison.cache_hit),
    ]
}

/// A bar in eighths of a column; what is not nothing gets at least the thinnest.
fn bar(value: Duration, longest: Duration) -> String {
    const EIGHTHS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
    let units = u128::from(BAR_COLUMNS) * 8 * value.as_nanos() / longest.as_nanos().max(1);
    let units = usize::try_from(units).unwrap_or(0).max(1);
    let mut bar = "█".repeat(units / 8);
    if units % 8 > 0 {
        bar.push(EIGHTHS[units % 8 - 1]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_to_scale_and_never_empty() {
        let full = Duration::from_millis(20);
        assert_eq!(bar(full, full).chars().count(), 50);
        assert_eq!(bar(full / 2, full).chars().count(), 25);
        assert_eq!(bar(Duration::from_micros(1), full), "▏");
        assert_eq!(bar(Duration::ZERO, Duration::ZERO), "▏");
    }

    #[test]
    fn times_are_in_milliseconds() {
        assert_eq!(milliseconds(Duration::from_micros(20_345)), "  20.345 ms");
    }
}
