use std::ffi::CString;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid, geteuid, initgroups, setresgid, setresuid};
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_keep_capabilities,
};

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

/// What stays after the change of user. The interfaces and listen addresses that come later, and the XDP
/// programs on them, need it for as long as the server runs; a helper process of its own will take it over.
const KEPT: CapabilitySet = CapabilitySet::NET_ADMIN // attach XDP programs, large receive buffers
    .union(CapabilitySet::NET_RAW) // AF_XDP sockets
    .union(CapabilitySet::BPF) // load the program, make its maps
    .union(CapabilitySet::PERFMON) // packet pointers in the program, for kernels that ask for it
    .union(CapabilitySet::NET_BIND_SERVICE) // port 53 on addresses that come later
    .union(CapabilitySet::IPC_LOCK); // AF_XDP buffers beyond RLIMIT_MEMLOCK

/// Becomes `user`, keeping of its capabilities only the few that serving needs. Must be called before any
/// thread is started: capabilities belong to threads.
///
/// Someone who is not root stays who they are, with a warning.
///
/// # Errors
/// A system call failed; the process may then be half changed and must end.
pub(crate) fn become_user(user: &User) -> Result<(), PrivilegeError> {
    let fail = |call, errno| PrivilegeError::Os {
        name: user.name.clone(),
        call,
        errno,
    };
    let raw = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
    if geteuid() == user.uid {
        return Ok(());
    }
    if !geteuid().is_root() {
        tracing::warn!(
            "username: not started as root, so this process stays user {}",
            geteuid()
        );
        return Ok(());
    }
    let permitted = capabilities(None)
        .map_err(|e| fail("capget", raw(e)))?
        .permitted;
    set_keep_capabilities(true).map_err(|e| fail("prctl(PR_SET_KEEPCAPS)", raw(e)))?;
    let name = CString::new(user.name.as_str()).map_err(|_| fail("initgroups", Errno::EINVAL))?;
    initgroups(&name, user.gid).map_err(|e| fail("initgroups", e))?;
    setresgid(user.gid, user.gid, user.gid).map_err(|e| fail("setresgid", e))?;
    setresuid(user.uid, user.uid, user.uid).map_err(|e| fail("setresuid", e))?;
    let kept = permitted & KEPT;
    let sets = CapabilitySets {
        effective: kept,
        permitted: kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(|e| fail("capset", raw(e)))?;
    tracing::info!(
        "now user '{}' (uid {}), keeping {kept:?}",
        user.name,
        user.uid
    );
    Ok(())
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
