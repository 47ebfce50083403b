use std::cell::Cell;
use std::fmt::{self, Write};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use tracing::field::{Field, Visit};
use tracing::{Event, Level};

/// An event as text: its message, then its other fields as `name=value`.
pub(super) fn text(event: &Event<'_>) -> String {
    let mut text = Text::default();
    event.record(&mut text);
    text.message + &text.fields
}

/// Unbound's word for a level.
pub(super) fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG | Level::TRACE => "debug",
    }
}

/// What stands before each line: `sluicegate[pid:thread] level: `.
pub(super) fn origin(level: Level) -> String {
    format!(
        "sluicegate[{}:{:x}] {}: ",
        std::process::id(),
        thread_number(),
        level_name(level)
    )
}

/// When: seconds since the epoch in brackets, or with `log-time-ascii` date and time (UTC).
pub(super) fn timestamp(ascii: bool) -> String {
    let secs = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    if ascii {
        civil(secs)
    } else {
        format!("[{secs}]")
    }
}

/// A small number for each thread, in the order in which they first say something.
pub(super) fn thread_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    thread_local!(static NUMBER: Cell<Option<u32>> = const { Cell::new(None) });
    NUMBER.with(|number| {
        let known = number.get().unwrap_or_else(|| NEXT.fetch_add(1, Relaxed));
        number.set(Some(known));
        known
    })
}

/// `Nov 14 22:13:20 2023`, UTC; the days are counted by the method of "chrono-compatible low-level date
/// algorithms" (proleptic Gregorian calendar, years that begin in March).
fn civil(secs: u64) -> String {
    const MONTHS: [&str; 12] = [
        "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Jan", "Feb",
    ];
    let days = secs / 86_400 + 719_468; // since 1 March of year 0
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = era * 400 + year_of_era + u64::from(month >= 10);
    let (hour, minute, second) = (secs / 3600 % 24, secs / 60 % 60, secs % 60);
    format!(
        "{} {day:02} {hour:02}:{minute:02}:{second:02} {year}",
        MONTHS[month as usize]
    )
}

#[derive(Default)]
struct Text {
    message: String,
    fields: String,
}

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a String cannot fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            name => write!(self.fields, " {name}={value:?}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_at_the_edges() {
        assert_eq!(civil(0), "Jan 01 00:00:00 1970");
        assert_eq!(civil(951_782_400), "Feb 29 00:00:00 2000");
        assert_eq!(civil(951_868_799), "Feb 29 23:59:59 2000");
        assert_eq!(civil(1_700_000_000), "Nov 14 22:13:20 2023");
        assert_eq!(civil(4_107_542_400), "Mar 01 00:00:00 2100");
    }
}
