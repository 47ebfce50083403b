//! A Debian of the test's own with systemd at work: for packages, units and installers.
//!
//! It stands on the folder that `scripts/debian.sh` makes, through an overlay in memory, in namespaces of its own (mounts,
//! processes, network, host name, control groups). What a test changes there is gone with the [`Machine`], and
//! [`Machine::changes`] lists it while it lives.

mod boot;
mod changes;

pub use boot::{Machine, base, unusable};
