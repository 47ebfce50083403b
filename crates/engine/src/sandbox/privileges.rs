//! No capability, no way to a new one.

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    remove_capability_from_bounding_set, set_capabilities, set_no_new_privs,
};

use super::{SandboxError, system};

/// Drops every capability from every set, for good: a set-user-ID program, could it be started, would gain
/// nothing.
pub(super) fn drop_all() -> Result<(), SandboxError> {
    set_no_new_privs(true).map_err(system("prctl(PR_SET_NO_NEW_PRIVS)"))?;
    for capability in CapabilitySet::all().iter() {
        match remove_capability_from_bounding_set(capability) {
            // Unknown to this kernel; or not ours to drop (no CAP_SETPCAP): no_new_privs stands in for it.
            Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
            Err(errno) => return Err(system("prctl(PR_CAPBSET_DROP)")(errno)),
        }
    }
    match clear_ambient_capability_set() {
        // EINVAL: a kernel without ambient capabilities.
        Ok(()) | Err(Errno::INVAL) => {}
        Err(errno) => return Err(system("prctl(PR_CAP_AMBIENT)")(errno)),
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, none).map_err(system("capset"))
}
