//! Real NIC drivers: a throw-away virtual machine with a Debian kernel, emulated without KVM (`lab/vm/run`).
//!
//! On the host a test boots a [`Machine`] with NICs and runs a test program of this workspace in it. Inside, the tests of
//! that program find the NICs by name ([`Need::Nic`](crate::harness::Need::Nic)), move them into namespaces
//! ([`take_nic`]) and write down what they saw ([`record`]); the host shows it as a table.
//!
//! The guest sees the host's files at their own paths, so the same programs run there. It is slow: whoever waits, waits
//! as long as [`lenient`] says.

mod guest;
mod machine;
mod row;

pub use guest::{has_nic, inside, kernel, lenient, take_nic, take_nic_as, wire};
pub use machine::{Machine, Ran, default_suite, unmet};
pub use row::{Row, record, table};
