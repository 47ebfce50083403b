use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;

use crate::netns::{Finished, Netns, Process};
use crate::peers;
use crate::server::children;

/// A Debian with systemd as its first process. It ends, and all of it is gone, when the value is dropped.
pub struct Machine {
    netns: Netns,
    holder: Option<Process>,
    /// The number of its first process, as seen from outside.
    init: i32,
}

/// How long a machine may take to start.
const BOOT_LIMIT: Duration = Duration::from_secs(90);

/// How long a command inside may take: installing packages is the longest.
const COMMAND_LIMIT: Duration = Duration::from_mins(3);

const POLL: Duration = Duration::from_millis(20);

/// The folder that machines stand on, whether or not it is there.
pub fn base() -> PathBuf {
    peers::root().join("debian")
}

/// `None` where machines can be started, else why not.
pub fn unusable() -> Option<String> {
    let mut probe = Command::new("unshare");
    probe.args(["--mount", "--pid", "--fork", "--cgroup", "--", "sh", "-ec"]);
    let outcome = probe
        .arg(PROBE)
        .arg("sh")
        .arg(std::process::id().to_string())
        .output();
    match outcome {
        Ok(output) if output.status.success() => None,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next_back().unwrap_or("unknown").to_owned();
            Some(format!(
                "machines with systemd can't be started here: {said}"
            ))
        }
        Err(error) => Some(format!(
            "machines with systemd can't be started here: unshare: {error}"
        )),
    }
}

/// Makes, and leaves, what a machine stands on.
const PROBE: &str = "mount -t tmpfs tmpfs /mnt; mkdir /mnt/a /mnt/b /mnt/c /mnt/d /mnt/g; \
    mount -t overlay overlay -o lowerdir=/mnt/a,upperdir=/mnt/b,workdir=/mnt/c /mnt/d; mount -t proc proc /mnt/a; \
    mount -t cgroup2 cgroup2 /mnt/g; mkdir /mnt/g/sluicegate-probe-$1; rmdir /mnt/g/sluicegate-probe-$1";

impl Machine {
    /// Starts one, and waits until systemd has started all that it starts by itself. Its network is an empty namespace.
    ///
    /// # Errors
    /// If it can't be started, or isn't up after a bounded time.
    pub fn boot() -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let group = format!("sluicegate-lab-{}-{number}", std::process::id());
        let netns = Netns::new()?;
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "--", "sh", "-c", include_str!("boot.sh"), "sh"])
            .arg(base())
            .arg(group);
        let holder = netns.spawn(&command)?;
        holder.wait_for_line("machine: systemd begins", BOOT_LIMIT)?;
        // The shell's child keeps the namespaces, whose first process is systemd.
        let keeper = only_child(holder.pid())?;
        let init = only_child(keeper)?;
        let machine = Self {
            netns,
            holder: Some(holder),
            init,
        };
        machine.wait_until_up()?;
        Ok(machine)
    }

    /// Its network.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Where a file of the machine is, as seen from outside. Links in the path are followed outside.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// Runs a command inside to its end, as root, with a clean environment.
    ///
    /// # Errors
    /// If it can't be started or isn't done after a bounded time.
    pub fn run(&self, words: &[&str]) -> Result<Finished> {
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &self.init.to_string()])
            .args(["--mount", "--pid", "--uts", "--ipc", "--cgroup", "--"])
            .args(["env", "-i", "LC_ALL=C.UTF-8", "HOME=/root", "TERM=dumb"])
            .args(["DEBIAN_FRONTEND=noninteractive"])
            .arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .args(words);
        self.netns.spawn(&command)?.finish(COMMAND_LIMIT)
    }

    /// Runs a line for the shell inside and returns all that it printed.
    ///
    /// # Errors
    /// If it fails, with what it printed.
    pub fn shell(&self, line: &str) -> Result<String> {
        let finished = self.run(&["sh", "-ec", &format!("exec 2>&1; {line}")])?;
        if !finished.success() {
            bail!("{line}: {}:\n{}", finished.status, finished.stdout);
        }
        Ok(finished.stdout)
    }

    /// Repeats a line for the shell until what it prints holds `part`, for at most `limit`, and returns that.
    ///
    /// # Errors
    /// If it never does, with what it printed last.
    pub fn wait_for(&self, line: &str, part: &str, limit: Duration) -> Result<String> {
        let end = Instant::now() + limit;
        loop {
            let printed = self
                .run(&["sh", "-c", &format!("exec 2>&1; {line}")])?
                .stdout;
            if printed.contains(part) {
                return Ok(printed);
            }
            if Instant::now() >= end {
                bail!("{line}: no {part:?} within {limit:?} in:\n{printed}");
            }
            thread::sleep(POLL);
        }
    }

    fn wait_until_up(&self) -> Result<()> {
        // "degraded": something that can't be in namespaces failed. That is not what is tested.
        let up =
            "systemctl is-system-running --wait | grep -E '^(running|degraded)$' && echo is up";
        self.wait_for(up, "is up", BOOT_LIMIT)
            .map(drop)
            .context("systemd in namespaces")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if let Some(holder) = self.holder.take() {
            let _ = holder.signal(Signal::SIGTERM);
            let _ = holder.finish(Duration::from_secs(20));
        }
    }
}

fn only_child(pid: i32) -> Result<i32> {
    match children(pid)?[..] {
        [child] => Ok(child),
        ref others => bail!("process {pid} has the children {others:?}, not one"),
    }
}
