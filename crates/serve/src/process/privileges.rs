use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid, geteuid, initgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs,
};

use super::release::kernel_release;

/// Why the server could not become the configured user.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PrivilegeError {
    /// There is no such user.
    #[error(
        "username: there is no user '{name}' on this machine; create it, or write `username: \"\"`"
    )]
    NoSuchUser {
        /// The name in the configuration.
        name: String,
    },
    /// A system call failed.
    #[error("username: cannot become '{name}': {call}: {errno}")]
    Os {
        /// The name in the configuration.
        name: String,
        /// The system call.
        call: &'static str,
        /// What it said.
        errno: Errno,
    },
}

/// A user that exists.
#[derive(Clone, Debug)]
pub(crate) struct User {
    name: String,
    uid: Uid,
    gid: Gid,
}

impl User {
    /// Looks the user up.
    ///
    /// # Errors
    /// There is none of that name, or the user database can't be read.
    pub(crate) fn find(name: &str) -> Result<Self, PrivilegeError> {
        match unistd::User::from_name(name) {
            Ok(Some(user)) => Ok(Self {
                name: name.to_owned(),
                uid: user.uid,
                gid: user.gid,
            }),
            Ok(None) => Err(PrivilegeError::NoSuchUser {
                name: name.to_owned(),
            }),
            Err(errno) => Err(PrivilegeError::Os {
                name: name.to_owned(),
                call: "getpwnam",
                errno,
            }),
        }
    }
}

/// What opening takes: kept by the privileged process, by nobody else.
pub(crate) const OPENING: CapabilitySet = CapabilitySet::NET_ADMIN // attach XDP programs, large receive buffers
    .union(CapabilitySet::NET_RAW) // AF_XDP sockets
    .union(CapabilitySet::BPF) // load the program, make its maps
    .union(CapabilitySet::NET_BIND_SERVICE); // port 53

/// Whether this process has any privilege to give up.
pub(crate) fn has_privileges() -> bool {
    geteuid().is_root() || capabilities(None).is_ok_and(|sets| !sets.permitted.is_empty())
}

/// Lets the next program that is started have what [`OPENING`] takes, as far as this process has it; root's
/// programs have it anyway. [`give_up`] ends it.
///
/// # Errors
/// The kernel's.
pub(crate) fn pass_on() -> rustix::io::Result<()> {
    let mut sets = capabilities(None)?;
    let passed = sets.permitted & OPENING;
    sets.inheritable |= passed;
    set_capabilities(None, sets)?;
    passed
        .iter()
        .try_for_each(|capability| configure_capability_in_ambient_set(capability, true))
}

/// Becomes `user`, if there is one and this is root, and gives up all capabilities but `kept`, for good. Must be called
/// before any thread is started: capabilities belong to threads.
///
/// Someone who is not root stays who they are, with a warning.
///
/// # Errors
/// A system call failed; the process may then be half changed and must end.
pub(crate) fn give_up(user: Option<&User>, kept: CapabilitySet) -> Result<(), PrivilegeError> {
    let name = user.map_or("", |user| user.name.as_str());
    let fail = |call, errno| PrivilegeError::Os {
        name: name.to_owned(),
        call,
        errno,
    };
    let raw = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    let permitted = capabilities(None)
        .map_err(|e| fail("capget", raw(e)))?
        .permitted;
    // No program that is started later gets more, whoever owns it.
    set_no_new_privs(true).map_err(|e| fail("prctl(PR_SET_NO_NEW_PRIVS)", raw(e)))?;
    for capability in CapabilitySet::all().difference(kept).iter() {
        // Unknown to this kernel, or not ours to take away: then the line above stands for it.
        let _ = remove_capability_from_bounding_set(capability);
    }
    match user {
        Some(user) if geteuid().is_root() && !user.uid.is_root() => {
            set_keep_capabilities(true).map_err(|e| fail("prctl(PR_SET_KEEPCAPS)", raw(e)))?;
            let name = CString::new(name).map_err(|_| fail("initgroups", Errno::EINVAL))?;
            initgroups(&name, user.gid).map_err(|e| fail("initgroups", e))?;
            setresgid(user.gid, user.gid, user.gid).map_err(|e| fail("setresgid", e))?;
            setresuid(user.uid, user.uid, user.uid).map_err(|e| fail("setresuid", e))?;
        }
        Some(user) if geteuid() != user.uid => {
            tracing::warn!(
                "username: not started as root, so this process stays user {}",
                geteuid()
            );
        }
        _ => {}
    }
    // A kernel without ambient capabilities has none to clear.
    let _ = clear_ambient_capability_set();
    let kept = permitted & kept;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(|e| fail("capset", raw(e)))
}

/// What the serving process must keep on this kernel: nothing, since Linux 5.19. Before, with
/// `kernel.unprivileged_bpf_disabled` set, no BPF map can be touched without `CAP_BPF`, whoever made it.
pub(crate) fn needed_to_serve() -> CapabilitySet {
    let disabled = "/proc/sys/kernel/unprivileged_bpf_disabled";
    let disabled = std::fs::read_to_string(disabled).unwrap_or_default();
    if disabled.trim() != "0" && kernel_release() < [5, 19] {
        CapabilitySet::BPF
    } else {
        CapabilitySet::empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_user_is_named() {
        let error = User::find("nobody-of-that-name").unwrap_err();
        assert!(
            error.to_string().contains("'nobody-of-that-name'"),
            "{error}"
        );
    }

    #[test]
    fn root_is_found() {
        assert!(User::find("root").unwrap().uid.is_root());
    }
}
