use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::unistd::{SysconfVar, sysconf};

/// What the processors had done at a moment: `/proc/stat`, and `/proc/PID/stat` of the server and its children.
pub(crate) struct Processors {
    at: Instant,
    idle: u64,
    softirq: u64,
    server: u64,
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
            server: server.map_or(0, tree_ticks),
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
            server: time(self.server, earlier.server),
        }
    }
}

/// The ticks of a process and its children.
fn tree_ticks(process: i32) -> u64 {
    let own = fs::read_to_string(format!("/proc/{process}/stat"))
        .ok()
        .and_then(|stat| stat_ticks(&stat))
        .unwrap_or(0);
    let tasks = fs::read_dir(format!("/proc/{process}/task"));
    let children = tasks.into_iter().flatten().flatten().flat_map(|task| {
        let text = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        let numbers: Vec<i32> = text
            .split_whitespace()
            .filter_map(|number| number.parse().ok())
            .collect();
        numbers
    });
    own + children.map(tree_ticks).sum::<u64>()
}

/// User and system time of a line of `/proc/PID/stat`. The name in front may hold spaces and parentheses.
fn stat_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_a_process_are_fields_14_and_15() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 250 50 9 9 20 0 1 0 5 6 7";
        assert_eq!(stat_ticks(stat), Some(300));
    }

    #[test]
    fn work_shows() {
        let own = i32::try_from(std::process::id()).unwrap();
        let before = Processors::look(Some(own)).unwrap();
        let mut sum = 0u64;
        while before.at.elapsed() < Duration::from_millis(300) {
            sum = std::hint::black_box(sum.wrapping_mul(31) + 1);
        }
        let spent = Processors::look(Some(own)).unwrap().since(&before);
        assert!(spent.server > Duration::from_millis(50), "{spent:?}");
        assert!(spent.busy >= Duration::from_millis(50), "{spent:?}");
    }
}
