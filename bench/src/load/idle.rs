use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Target;
use crate::measure::{Figure, Load, Processors, Round, resident_bytes};

/// How long nobody asks.
const QUIET: Duration = Duration::from_secs(3);

/// What the server does when it has nothing to do.
pub(crate) fn idle(target: &Target<'_>) -> Result<Round> {
    let pid = target.server.pid().context("a process")?;
    let before = Processors::look(Some(pid))?;
    thread::sleep(QUIET);
    let spent = Processors::look(Some(pid))?.since(&before);
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let memory = resident_bytes(pid) as f64 / f64::from(1 << 20);
    let share = spent.server.as_secs_f64() / spent.elapsed.as_secs_f64();
    let figures = [
        (Figure::ServerPercent, share * 100.0),
        (Figure::MemoryMib, memory),
    ];
    Ok(Round {
        load: Load::Idle,
        figures: figures.into(),
        command: format!("bench: {QUIET:?} without a query"),
    })
}
