use std::fs;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use sluicegate_lab::scene::LINK;

use crate::site::Site;

/// How long the server is watched.
const WATCH: Duration = Duration::from_secs(2);
/// What it may take of one processor meanwhile: half a percent.
const ALLOWED: Duration = Duration::from_millis(10);
/// How often its threads may wake up meanwhile: a few times a second, all together. This is what the test holds to on
/// every machine; `make bench` weighs the half percent itself, on a quiet one.
const WAKES: u64 = 30;
/// Some machines take a millisecond to wake a thread that does nothing. There a wake-up of ours may cost so many times
/// what one of the test's own costs.
const TIMES_BARE: u32 = 10;
/// The watch is repeated if it takes more: the last steps of its start may fall into it.
const WATCHES: usize = 4;

/// What threads have used so far.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    time: Duration,
    wakes: u64,
}

/// A server that nobody asks costs next to nothing.
pub(crate) fn idle() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    server.wait_for_xdp()?;
    let pid = server.process().pid();
    let mut taken = Vec::new();
    for _ in 0..WATCHES {
        let before = used_by(pid)?;
        let bare = bare_wake()?;
        let after = used_by(pid)?;
        let time = after.time.saturating_sub(before.time);
        let wakes = after.wakes.saturating_sub(before.wakes);
        let slow = bare * TIMES_BARE * u32::try_from(wakes)?;
        if wakes <= WAKES && time <= ALLOWED.max(slow) {
            return Ok(());
        }
        taken.push((time, wakes, bare));
    }
    bail!(
        "serving {LINK} without a query took, in {WATCH:?} each (time, wake-ups, a bare wake-up here): {taken:?}"
    )
}

/// Sleeps for the time of the watch, and tells what waking up from a short sleep costs here.
fn bare_wake() -> Result<Duration> {
    const SLEEPS: u32 = 20;
    let own = || used("/proc/thread-self");
    let before = own()?;
    for _ in 0..SLEEPS {
        thread::sleep(WATCH / SLEEPS);
    }
    Ok(own()?.time.saturating_sub(before.time) / SLEEPS)
}

/// What the threads of a process and of its children have used so far.
fn used_by(pid: i32) -> Result<Used> {
    let mut pids = vec![pid.to_string()];
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = fs::read_to_string(thread?.path().join("children"))?;
        pids.extend(children.split_whitespace().map(str::to_owned));
    }
    let mut sum = Used::default();
    for pid in pids {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let one = used(&thread?.path().to_string_lossy())?;
            sum.time += one.time;
            sum.wakes += one.wakes;
        }
    }
    Ok(sum)
}

/// What one thread has used so far, by its folder in /proc.
fn used(folder: &str) -> Result<Used> {
    let text = fs::read_to_string(format!("{folder}/schedstat"))?;
    let nanos = text.split_whitespace().next().context("schedstat")?;
    let status = fs::read_to_string(format!("{folder}/status"))?;
    let wakes = status
        .lines()
        .find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))
        .context("status")?;
    Ok(Used {
        time: Duration::from_nanos(nanos.parse()?),
        wakes: wakes.trim().parse()?,
    })
}
