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
/// The watch is repeated if it takes more: the last steps of its start may fall into it.
const WATCHES: usize = 3;

/// A server that nobody asks costs next to nothing.
pub(crate) fn idle() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    server.wait_for_xdp()?;
    let pid = server.process().pid();
    let mut taken = Vec::new();
    for _ in 0..WATCHES {
        let before = processor_time(pid)?;
        thread::sleep(WATCH);
        let spent = processor_time(pid)?.saturating_sub(before);
        if spent <= ALLOWED {
            return Ok(());
        }
        taken.push(spent);
    }
    bail!("it took {taken:?} of a processor in {WATCH:?} each, serving {LINK} without a query")
}

/// What the threads of a process and of its children have used so far.
fn processor_time(pid: i32) -> Result<Duration> {
    let mut pids = vec![pid.to_string()];
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let children = fs::read_to_string(thread?.path().join("children"))?;
        pids.extend(children.split_whitespace().map(str::to_owned));
    }
    let mut nanos = 0;
    for pid in pids {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))?;
            let first = text.split_whitespace().next();
            let used: u64 = first.context("schedstat")?.parse()?;
            nanos += used;
        }
    }
    Ok(Duration::from_nanos(nanos))
}
