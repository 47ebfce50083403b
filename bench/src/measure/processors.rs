use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// What the processors had done at a moment: `/proc/stat`, and the threads of the server and its children.
pub(crate) struct Processors {
    at: Instant,
    idle: u64,
    softirq: u64,
    server: Duration,
    cores: u32,
    tick: Duration,
}

/// What they did between two moments.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spent {
    /// How long it was.
    pub(crate) elapsed: Duration,
    /// All processors, whatever they did but idle.
    pub(crate) busy: Duration,
    /// The part of it in software interrupts, where the network stack works.
    pub(crate) softirq: Duration,
    /// The part of it that the server's processes were charged for.
    pub(crate) server: Duration,
}

impl Processors {
    /// Looks now. `server` is the number of the server's process; it has none where the kernel itself answers.
    pub(crate) fn look(server: Option<i32>) -> Result<Self> {
        let text = fs::read_to_string("/proc/stat").context("/proc/stat")?;
        let cores = text.lines().filter(|line| line.starts_with("cpu")).count() - 1;
        let all: Vec<u64> = text
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            .filter_map(|field| field.parse().ok())
            .collect();
        // user, nice, system, idle, iowait, irq, softirq, steal: proc(5).
        let [_, _, _, idle, iowait, _, softirq] =
            *all.first_chunk().context("the first line of /proc/stat")?;
        let ticks = sysconf(SysconfVar::CLK_TCK)?.context("ticks per second")?;
        Ok(Self {
            at: Instant::now(),
            // Idle time is measured, busy time only sampled at ticks.
            idle: idle + iowait,
            softirq,
            cores: u32::try_from(cores)?,
            server: server.map_or(Duration::ZERO, tree_time),
            tick: Duration::from_secs(1) / u32::try_from(ticks)?,
        })
    }

    /// What has been done since an earlier look.
    pub(crate) fn since(&self, earlier: &Self) -> Spent {
        let time = |now: u64, then: u64| self.tick * (now.saturating_sub(then) as u32);
        let elapsed = self.at - earlier.at;
        Spent {
            elapsed,
            busy: (elapsed * self.cores).saturating_sub(time(self.idle, earlier.idle)),
            softirq: time(self.softirq, earlier.softirq),
            server: self.server.saturating_sub(earlier.server),
        }
    }
}

/// Memory of a process and its children, in bytes: what is resident, and of pages that several processes share, each
/// one's part (`Pss` in `proc_pid_smaps_rollup(5)`).
pub(crate) fn resident_bytes(process: i32) -> u64 {
    let own = |process: i32| -> Option<u64> {
        let text = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()
    };
    tree(process).into_iter().filter_map(own).sum::<u64>() * 1024
}

/// The time of a process and its children. A thread that has ended is left out.
fn tree_time(process: i32) -> Duration {
    let threads = tree(process).into_iter().flat_map(threads);
    threads
        .filter_map(|thread| {
            // Nanoseconds on a processor, waiting, time slices: Documentation/scheduler/sched-stats.rst.
            let text = fs::read_to_string(thread.join("schedstat")).ok()?;
            let run = text.split_whitespace().next()?.parse().ok()?;
            Some(Duration::from_nanos(run))
        })
        .sum()
}

/// A process and those that it has started, and so on.
pub(super) fn tree(process: i32) -> Vec<i32> {
    let mut all = vec![process];
    for thread in threads(process) {
        let text = fs::read_to_string(thread.join("children")).unwrap_or_default();
        let children = text
            .split_whitespace()
            .filter_map(|number| number.parse().ok());
        all.extend(children.flat_map(tree));
    }
    all
}

/// The folders of a process's threads.
pub(super) fn threads(process: i32) -> Vec<PathBuf> {
    let entries = fs::read_dir(format!("/proc/{process}/task"));
    let entries = entries.into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

#[cfg(test)]
mod tests {
    use nix::time::ClockId;

    use super::*;

    #[test]
    fn this_process_takes_memory() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = resident_bytes(own);
        let own_pages = std::hint::black_box(vec![1u8; 16 << 20]);
        // Of the program's own pages some may go, or come to be shared, meanwhile.
        assert!(resident_bytes(own) > before + (8 << 20));
        drop(own_pages);
    }

    #[test]
    fn work_shows() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = Processors::look(Some(own)).unwrap();
        let mut sum = 0u64;
        let worked = || Duration::from(ClockId::CLOCK_THREAD_CPUTIME_ID.now().unwrap());
        while worked() < Duration::from_millis(100) {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        let spent = Processors::look(Some(own)).unwrap().since(&before);
        assert!(spent.server > Duration::from_millis(50), "{spent:?}");
        assert!(spent.busy >= Duration::from_millis(50), "{spent:?}");
    }
}
