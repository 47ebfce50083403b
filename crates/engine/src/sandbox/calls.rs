//! seccomp: the system calls that resolving takes, and no others.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use super::SandboxError;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

/// Installs the filters for this thread and those it makes. Returns what this machine lacks.
///
/// Three of them, of which the strictest verdict counts: what nobody calls by mistake ends the process; the
/// newer way to make a thread "is not there", so that the C library takes the older one, whose arguments a
/// filter can see; all else that is not listed fails with EPERM, so that a library's harmless attempt at
/// something new does not take the resolver down.
pub(super) fn restrict(files: bool) -> Result<Option<&'static str>, SandboxError> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Ok(Some(UNAVAILABLE));
    };
    let hostile = plain(&[HOSTILE_CALLS, HOSTILE_HERE].concat());
    let newer = plain(&[libc::SYS_clone3]);
    let refused = |errno: i32| SeccompAction::Errno(errno.unsigned_abs());
    let filters = [
        (hostile, SeccompAction::Allow, SeccompAction::KillProcess),
        (newer, SeccompAction::Allow, refused(libc::ENOSYS)),
        (needed(files)?, refused(libc::EPERM), SeccompAction::Allow),
    ];
    for (rules, otherwise, on_match) in filters {
        let filter = SeccompFilter::new(rules, otherwise, on_match, arch)?;
        match apply_filter(&BpfProgram::try_from(filter)?) {
            Ok(()) => {}
            // A kernel or a container without it.
            Err(seccompiler::Error::Seccomp(_)) => return Ok(Some(UNAVAILABLE)),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(None)
}

const UNAVAILABLE: &str =
    "warning: seccomp is not to be had here: the engine's system calls are not restricted";

/// System calls that nobody of ours makes once it serves: only somebody who has taken a thread over would. They end the
/// process, this one and the server's (`sluicegate-serve`) alike.
pub const HOSTILE_CALLS: &[i64] = &[
    libc::SYS_execve,
    libc::SYS_execveat,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_setuid,
    libc::SYS_setgid,
    libc::SYS_setreuid,
    libc::SYS_setregid,
    libc::SYS_setresuid,
    libc::SYS_setresgid,
    libc::SYS_setgroups,
    libc::SYS_chroot,
    libc::SYS_pivot_root,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_perf_event_open,
    libc::SYS_io_uring_setup,
    libc::SYS_userfaultfd,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_open_by_handle_at,
];

/// More of them: the engine has no map to touch, and the server drops its capabilities later than this.
const HOSTILE_HERE: &[i64] = &[libc::SYS_capset, libc::SYS_bpf];

/// Calls that need no look at their arguments.
const PLAIN: &[i64] = &[
    // Sockets and waiting.
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_recvmmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_sendmmsg,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_listen,
    libc::SYS_accept4,
    libc::SYS_shutdown,
    libc::SYS_close,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_getsockopt,
    libc::SYS_setsockopt,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_ppoll,
    libc::SYS_eventfd2,
    // Memory.
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    // Threads and signals of this process.
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_gettid,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_exit,
    libc::SYS_exit_group,
    // The filter refuses it with ENOSYS.
    libc::SYS_clone3,
    // Clocks and chance.
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    // Asked by the C library: who am I, how large is the machine.
    libc::SYS_getuid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getegid,
    libc::SYS_sysinfo,
    libc::SYS_fstat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_lseek,
];

/// Calls of the same meaning that newer processors lack.
#[cfg(target_arch = "x86_64")]
const OLDER: &[i64] = &[libc::SYS_poll, libc::SYS_epoll_wait, libc::SYS_time];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[i64] = &[];

/// Calls that replace a file.
const REPLACING: &[i64] = &[
    libc::SYS_openat,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    #[cfg(target_arch = "x86_64")]
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_fsync,
    libc::SYS_fdatasync,
];

/// What is allowed; with `files`, replacing files too.
fn needed(files: bool) -> Result<Rules, BackendError> {
    let mut rules = plain(PLAIN);
    rules.extend(plain(OLDER));
    if files {
        rules.extend(plain(REPLACING));
    } else {
        // The library may look; landlock, where there is one, lets it see nothing.
        let writing = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;
        let look = SeccompRule::new(vec![masked(2, writing.unsigned_abs().into(), 0)?])?;
        rules.insert(libc::SYS_openat, vec![look]);
    }
    let socket = |domain: i32, kind: i32| {
        SeccompRule::new(vec![
            equal(0, domain.unsigned_abs().into())?,
            masked(1, SOCKET_KIND, kind.unsigned_abs().into())?,
        ])
    };
    let mut sockets = Vec::new();
    for domain in [libc::AF_INET, libc::AF_INET6] {
        sockets.push(socket(domain, libc::SOCK_DGRAM)?);
        sockets.push(socket(domain, libc::SOCK_STREAM)?);
    }
    rules.insert(libc::SYS_socket, sockets);
    let no_code = SeccompRule::new(vec![masked(2, libc::PROT_EXEC.unsigned_abs().into(), 0)?])?;
    rules.insert(libc::SYS_mmap, vec![no_code.clone()]);
    rules.insert(libc::SYS_mprotect, vec![no_code]);
    let thread = u64::from(libc::CLONE_THREAD.unsigned_abs());
    let a_thread = SeccompRule::new(vec![masked(0, thread, thread)?])?;
    rules.insert(libc::SYS_clone, vec![a_thread]);
    rules.insert(libc::SYS_prctl, one_of(0, &[libc::PR_SET_NAME])?);
    let own = rustix::process::getpid().as_raw_nonzero().get();
    // How abort(3) ends the process.
    rules.insert(libc::SYS_tgkill, one_of(0, &[own])?);
    rules.insert(libc::SYS_fcntl, one_of(1, FCNTL)?);
    let ioctl: Vec<SeccompRule> = [libc::FIONBIO, libc::FIONREAD]
        .into_iter()
        .map(|request| SeccompRule::new(vec![equal(1, request)?]))
        .collect::<Result<_, _>>()?;
    rules.insert(libc::SYS_ioctl, ioctl);
    Ok(rules)
}

/// The bits of socket(2)'s type that are no flags.
const SOCKET_KIND: u64 = 0xf;
const FCNTL: &[i32] = &[
    libc::F_GETFL,
    libc::F_SETFL,
    libc::F_GETFD,
    libc::F_SETFD,
    libc::F_DUPFD_CLOEXEC,
];

fn plain(calls: &[i64]) -> Rules {
    calls.iter().map(|call| (*call, Vec::new())).collect()
}

fn one_of(argument: u8, values: &[i32]) -> Result<Vec<SeccompRule>, BackendError> {
    values
        .iter()
        .map(|value| SeccompRule::new(vec![equal(argument, value.unsigned_abs().into())?]))
        .collect()
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, BackendError> {
    let masked = SeccompCmpOp::MaskedEq(mask);
    SeccompCondition::new(argument, SeccompCmpArgLen::Dword, masked, value)
}
