//! What /proc says of a process and its threads.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::server::Server;

/// Bits of `linux/capability.h`.
pub(crate) const NET_BIND_SERVICE: u64 = 1 << 10;
pub(crate) const NET_ADMIN: u64 = 1 << 12;
pub(crate) const NET_RAW: u64 = 1 << 13;
pub(crate) const BPF: u64 = 1 << 39;

/// The user of `username` in these tests, on every Debian.
pub(crate) const USER: &str = "nobody";
pub(crate) const USER_ID: &str = "65534";

/// One line of `/proc/PID/task/TID/status`, for every thread.
pub(crate) fn of_threads(pid: i32, field: &str) -> Result<Vec<String>> {
    let mut values = Vec::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may have ended since the folder was read.
        let Ok(status) = fs::read_to_string(task?.path().join("status")) else {
            continue;
        };
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        values.push(
            line.with_context(|| format!("no {field}"))?
                .trim()
                .to_owned(),
        );
    }
    ensure!(!values.is_empty(), "process {pid} has no thread");
    Ok(values)
}

/// That no thread of the process has any capability, nor a way to one. The bounding set is not looked at: to empty it
/// takes a capability of its own, and without new privileges it bounds nothing.
pub(crate) fn expect_none(pid: i32) -> Result<()> {
    for set in ["CapInh:", "CapPrm:", "CapEff:", "CapAmb:"] {
        for value in of_threads(pid, set)? {
            ensure!(
                u64::from_str_radix(&value, 16)? == 0,
                "{set} {value} in process {pid}"
            );
        }
    }
    for value in of_threads(pid, "NoNewPrivs:")? {
        ensure!(
            value == "1",
            "a thread of process {pid} may gain privileges"
        );
    }
    for ids in of_threads(pid, "Uid:")? {
        ensure!(
            ids.split_whitespace().all(|id| id == USER_ID),
            "a thread of process {pid} is user {ids}"
        );
    }
    Ok(())
}

/// The number of the privileged process.
pub(crate) fn privileged(server: &Server) -> Result<i32> {
    for pid in server.children()? {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        if line.split(|byte| *byte == 0).nth(1) == Some(b"privileges") {
            return Ok(pid);
        }
    }
    bail!("there is no privileged process")
}

/// Waits until a process is gone, or a zombie that nobody has waited for yet.
pub(crate) fn wait_for_end(pid: i32, limit: Duration) -> Result<()> {
    let until = Instant::now() + limit;
    loop {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        if status.is_empty() || status.contains("State:\tZ") {
            return Ok(());
        }
        ensure!(Instant::now() < until, "process {pid} still runs");
        std::thread::sleep(Duration::from_millis(5));
    }
}
