//! The engine where the kernel, or a container around it, lacks what the walls are made of: it works, and says so.

use std::collections::BTreeMap;
use std::process::Command;

use libtest_mimic::Trial;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter, TargetArch, apply_filter};
use sluicegate_engine::Client;

use crate::rig::options;
use crate::trial;

/// The argument that makes this program the server on such a kernel; what is missing follows.
pub(crate) const ON_OLD_KERNEL: &str = "--on-a-kernel-of-a-test-without";

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_kernel_without_landlock_is_told_of", || {
            without("landlock");
        }),
        trial("a_kernel_without_seccomp_is_told_of", || without("seccomp")),
    ]
}

fn without(what: &str) {
    let status = Command::new(std::env::current_exe().unwrap())
        .args([ON_OLD_KERNEL, what])
        .status();
    assert!(status.unwrap().success());
}

/// Takes the system call away from this process, starts an engine, and ends with 0 if that tells the right thing.
pub(crate) fn server_on_old_kernel() -> ! {
    let what = std::env::args().nth(2).unwrap();
    let call = match what.as_str() {
        "landlock" => libc::SYS_landlock_create_ruleset,
        _ => libc::SYS_seccomp,
    };
    let arch = TargetArch::try_from(std::env::consts::ARCH).unwrap();
    let filter = SeccompFilter::new(
        BTreeMap::from([(call, Vec::new())]),
        SeccompAction::Allow,
        SeccompAction::Errno(libc::ENOSYS.unsigned_abs()),
        arch,
    );
    apply_filter(&BpfProgram::try_from(filter.unwrap()).unwrap()).unwrap();
    let client: Client<u32> = Client::start(options("")).unwrap();
    let notes = &client.summary().notes;
    let warnings: Vec<&str> = notes
        .lines()
        .filter(|line| line.starts_with("warning: "))
        .collect();
    assert!(
        warnings.len() == 1 && warnings[0].starts_with(&format!("warning: {what} is not")),
        "{notes}"
    );
    assert!(client.is_ready());
    client.stop();
    std::process::exit(0);
}
