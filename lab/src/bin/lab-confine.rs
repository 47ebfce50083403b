//! Restricts itself by seccomp as systemd restricts a service, then becomes the program that is named.
//!
//! `lab-confine FAMILIES CALLS PROGRAM ARGUMENT...`: numbers separated by commas, of the address families that sockets may
//! have and of the system calls that are allowed. All other calls fail with EPERM, all other families with EAFNOSUPPORT,
//! as `RestrictAddressFamilies=`, `SystemCallFilter=` and `SystemCallErrorNumber=EPERM` have it. Memory that can be written
//! and run is refused (`MemoryDenyWriteExecute=`).

use std::collections::BTreeMap;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use nix::libc;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn main() -> Result<()> {
    let mut arguments = env::args_os().skip(1);
    let mut numbers = || -> Result<Vec<i64>> {
        let list = arguments
            .next()
            .context("two lists of numbers come first")?;
        let list = list.into_string().ok().context("numbers are text")?;
        let numbers = list.split(',').map(str::parse).collect::<Result<_, _>>();
        numbers.with_context(|| format!("{list:?} is no list of numbers"))
    };
    let (families, calls) = (numbers()?, numbers()?);
    let (program, rest) = (arguments.next().context("a program")?, arguments);
    refuse(not_of(&families)?, libc::EAFNOSUPPORT)?;
    refuse(writable_code()?, libc::EPERM)?;
    let allowed: Rules = calls.into_iter().map(|call| (call, Vec::new())).collect();
    install(allowed, errno(libc::EPERM), SeccompAction::Allow)?;
    let error = Command::new(&program).args(rest).exec();
    bail!("{}: {error}", program.display())
}

/// Sockets of families other than these.
fn not_of(families: &[i64]) -> Result<Rules> {
    let unlike = families.iter().map(|family| {
        let family = u64::try_from(*family)?;
        let unlike = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Ne, family);
        Ok(unlike?)
    });
    let rule = SeccompRule::new(unlike.collect::<Result<_>>()?)?;
    Ok([(libc::SYS_socket, vec![rule])].into())
}

fn writable_code() -> Result<Rules> {
    let masked = |mask: i32| {
        let mask = u64::from(mask.unsigned_abs());
        let all = SeccompCmpOp::MaskedEq(mask);
        SeccompRule::new(vec![SeccompCondition::new(
            2,
            SeccompCmpArgLen::Dword,
            all,
            mask,
        )?])
    };
    Ok([
        (
            libc::SYS_mmap,
            vec![masked(libc::PROT_WRITE | libc::PROT_EXEC)?],
        ),
        (libc::SYS_mprotect, vec![masked(libc::PROT_EXEC)?]),
    ]
    .into())
}

fn refuse(rules: Rules, number: i32) -> Result<()> {
    install(rules, SeccompAction::Allow, errno(number))
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

fn install(rules: Rules, otherwise: SeccompAction, on_match: SeccompAction) -> Result<()> {
    let arch = TargetArch::try_from(env::consts::ARCH)?;
    let filter = SeccompFilter::new(rules, otherwise, on_match, arch)?;
    apply_filter(&BpfProgram::try_from(filter)?)?;
    Ok(())
}
