//! Landlock: hardly any file, no listening, no signals to others.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, NetPort, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetStatus, Scope, path_beneath_rules,
};

use super::SandboxError;

/// The newest ABI that was looked at; an older kernel does less, and says so.
const KNOWN: ABI = ABI::V6;

/// Restricts this thread and those it makes to `writable`. Returns what the kernel lacks.
pub(super) fn restrict(writable: &[PathBuf]) -> Result<Option<&'static str>, SandboxError> {
    let status = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(KNOWN))?
        // To connect stays free: upstreams have any port.
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(KNOWN))?
        .create()?
        .add_rules(path_beneath_rules(writable, in_writable()))?
        // Any port the kernel chooses, for connections to upstreams.
        .add_rule(NetPort::new(0, AccessNet::BindTcp))?
        .restrict_self()?;
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => None,
        RulesetStatus::PartiallyEnforced => Some(
            "warning: landlock is older than Linux 6.12: TCP ports or signals are not restricted",
        ),
        RulesetStatus::NotEnforced => {
            Some("warning: landlock is not in this kernel: files are guarded by permissions alone")
        }
    })
}

/// A file is replaced by writing another and renaming it.
fn in_writable() -> BitFlags<AccessFs> {
    AccessFs::ReadFile
        | AccessFs::ReadDir
        | AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
}
