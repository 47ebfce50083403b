//! The demo's live counters.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::asker::{Transport, ask};
use super::measure::question;
use super::stage::{SERVER_V4, SERVER_V6, Stage, address};
use super::tour::{replies, sum};

/// How often the counters are shown.
const PERIOD: Duration = Duration::from_secs(1);
/// How soon Ctrl-C is noticed.
const TICK: Duration = Duration::from_millis(50);
/// How long the background client waits between two questions: about 50 a second.
const PAUSE: Duration = Duration::from_millis(20);

/// How long the live counters shall run, from `DEMO_SECONDS`; `None`: until Ctrl-C.
///
/// # Errors
/// If it is set but is no number.
pub(super) fn seconds(text: Option<&str>) -> Result<Option<Duration>> {
    let Some(text) = text.filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let seconds = text
        .parse()
        .with_context(|| format!("DEMO_SECONDS={text} is not a number of seconds"))?;
    Ok(Some(Duration::from_secs(seconds)))
}

/// Shows the counters every second while a client goes on asking, until `stop`, the end of `limit`, or the server's end.
/// Returns whether the server still runs.
pub(super) fn live(
    stage: &mut Stage,
    out: &mut dyn Write,
    limit: Option<Duration>,
    stop: &Arc<AtomicBool>,
) -> Result<bool> {
    let quiet = Arc::new(AtomicBool::new(false));
    background_client(stage, Arc::clone(&quiet))?;
    let until = limit.map_or_else(
        || "Ctrl-C".to_owned(),
        |limit| format!("{} s are over", limit.as_secs()),
    );
    writeln!(
        out,
        "Replies so far, while the client goes on asking about 50 times a second, until {until}:"
    )?;
    writeln!(
        out,
        "  {:>9} {:>11} {:>11} {:>11} {:>11} {:>9}",
        "AF_XDP", "kernel UDP", "kernel TCP", "cache hits", "from engine", "dropped"
    )?;
    let start = Instant::now();
    let mut shown = 0;
    let survived = loop {
        if !stage.server_runs() {
            writeln!(out, "The server is gone.")?;
            break false;
        }
        let over = limit.is_some_and(|limit| start.elapsed() >= limit);
        if over || stop.load(Ordering::Relaxed) {
            break true;
        }
        if start.elapsed() >= PERIOD * shown {
            shown += 1;
            // A server that is just ending does not answer; the next turn sees it gone.
            if let Ok(stats) = stage.stats() {
                let numbers = [
                    replies(&stats, "xdp."),
                    replies(&stats, "udp."),
                    replies(&stats, "tcp"),
                    sum(&stats, "total.", "cache.hits"),
                    sum(&stats, "total.", ".resolved"),
                    dropped(&stats),
                ];
                let [xdp, udp, tcp, hits, resolved, dropped] = numbers;
                writeln!(
                    out,
                    "  {xdp:>9} {udp:>11} {tcp:>11} {hits:>11} {resolved:>11} {dropped:>9}"
                )?;
                out.flush()?;
            }
        }
        thread::sleep(TICK);
    };
    quiet.store(true, Ordering::Relaxed);
    Ok(survived)
}

/// Keeps a thread on the client's host asking, over both families by turns, until `quiet`.
fn background_client(stage: &Stage, quiet: Arc<AtomicBool>) -> Result<()> {
    let work = move || {
        let mut number: u16 = 0;
        while !quiet.load(Ordering::Relaxed) {
            number = number.wrapping_add(1);
            let (family, server) = if number.is_multiple_of(2) {
                ("IPv4", SERVER_V4)
            } else {
                ("IPv6", SERVER_V6)
            };
            // An answer that does not come shows in the counters; the client asks on.
            let _ = ask(
                address(server),
                Transport::Udp,
                &question(family, number),
                number,
            );
            thread::sleep(PAUSE);
        }
    };
    stage
        .client
        .inside(|| thread::Builder::new().name("asker".into()).spawn(work))??;
    Ok(())
}

fn dropped(stats: &std::collections::BTreeMap<String, u64>) -> u64 {
    stats
        .iter()
        .filter(|(name, _)| name.starts_with("total.drop."))
        .map(|(_, value)| value)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn demo_seconds() {
        assert_eq!(seconds(None).unwrap(), None);
        assert_eq!(seconds(Some("")).unwrap(), None);
        assert_eq!(seconds(Some("3")).unwrap(), Some(Duration::from_secs(3)));
        assert!(seconds(Some("soon")).is_err());
    }
}
