//! What a thread that has its privileges behind it can still not do: seccomp and landlock.
//!
//! Both hold for the calling thread and for those that it starts, for good.

use std::io;
use std::path::Path;

use landlock::{
    ABI, Access, AccessFs, CompatLevel, Compatible, Ruleset, RulesetAttr, RulesetCreatedAttr,
    Scope, path_beneath_rules,
};
use nix::libc;
use rustix::thread::set_no_new_privs;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use sluicegate_engine::HOSTILE_CALLS;

use super::release::kernel_release;

/// Who is walled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Inmate {
    /// A worker that reads what clients send. It opens no file and starts nothing.
    Worker,
    /// The privileged process. It reads the configuration and what the kernel tells in files.
    Broker,
}

/// Why a wall does not stand.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WallError {
    #[error("prctl(PR_SET_NO_NEW_PRIVS): {0}")]
    NoNewPrivileges(#[from] rustix::io::Errno),
    #[error("landlock: {0}")]
    Files(#[from] landlock::RulesetError),
    #[error("seccomp: {0}")]
    Calls(#[from] seccompiler::Error),
    #[error("seccomp: {0}")]
    Filter(#[from] seccompiler::BackendError),
}

/// The newest landlock that was looked at; an older kernel does less.
const KNOWN: ABI = ABI::V6;

/// Walls this thread in. What the kernel doesn't offer is left out.
///
/// # Errors
/// [`WallError`]; some walls may stand then.
pub(crate) fn wall_in(inmate: Inmate) -> Result<(), WallError> {
    set_no_new_privs(true)?;
    restrict_files(inmate)?;
    forbid_calls(inmate)
}

/// The same for a worker, which does its work without walls too.
pub(crate) fn wall_in_worker() {
    if let Err(error) = wall_in(Inmate::Worker) {
        tracing::debug!("a worker goes without walls: {error}");
    }
}

fn restrict_files(inmate: Inmate) -> Result<(), WallError> {
    let readable: &[&Path] = match inmate {
        Inmate::Worker => &[],
        Inmate::Broker => &[Path::new("/")],
    };
    Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(
            readable,
            AccessFs::ReadFile | AccessFs::ReadDir,
        ))?
        .restrict_self()?;
    Ok(())
}

/// Before it, a thread with a filter went without speculative stores (`spec_store_bypass_disable=seccomp`), which costs a
/// worker far more than the filter does.
const SECCOMP_IS_CHEAP: [u32; 2] = [5, 16];

/// A list of what is forbidden, not of what is allowed: the kernel then knows of all other calls that they are
/// allowed without running the filter (Linux 5.11). Measured on 6.18: 11 ns for each call (171 and 182 ns for a
/// `recvmmsg` that finds nothing, best of 400 rounds), where an answer by the kernel's sockets takes 2,100 ns and
/// shares its two calls with those of its batch.
fn forbid_calls(inmate: Inmate) -> Result<(), WallError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(());
    };
    if inmate == Inmate::Worker && kernel_release() < SECCOMP_IS_CHEAP {
        return Ok(());
    }
    let more: &[i64] = match inmate {
        Inmate::Worker => &[],
        Inmate::Broker => NEW_PROCESSES,
    };
    let rules = HOSTILE_CALLS
        .iter()
        .chain(more)
        .map(|call| (*call, Vec::new()));
    let filter = SeccompFilter::new(
        rules.collect(),
        SeccompAction::Allow,
        SeccompAction::KillProcess,
        arch,
    )?;
    match apply_filter(&BpfProgram::try_from(filter)?) {
        // A kernel or a container without it.
        Err(seccompiler::Error::Seccomp(error)) if is_absent(&error) => Ok(()),
        applied => Ok(applied?),
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(
        error.raw_os_error(),
        Some(libc::ENOSYS | libc::EINVAL | libc::EPERM)
    )
}

/// The privileged process has two threads and gets no more.
const NEW_PROCESSES: &[i64] = &[
    libc::SYS_clone,
    libc::SYS_clone3,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_fork,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_vfork,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_walled_in_thread_opens_no_file_and_the_others_do() {
        let seen = std::thread::spawn(|| {
            let before = std::fs::read("/proc/self/stat").is_ok();
            wall_in(Inmate::Worker).unwrap();
            (before, std::fs::read("/proc/self/stat"))
        });
        let (before, after) = seen.join().unwrap();
        assert!(before);
        // A kernel without landlock leaves files alone.
        if landlock_is_there() {
            assert_eq!(after.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        }
        assert!(std::fs::read("/proc/self/stat").is_ok());
    }

    fn landlock_is_there() -> bool {
        let list = std::fs::read_to_string("/sys/kernel/security/lsm").unwrap_or_default();
        list.contains("landlock")
    }
}
