//! Hosts on one machine: anonymous network namespaces, the veth pairs between them, the processes inside them.
//!
//! A [`Netns`] has no name and no file: a file descriptor and a thread hold it, so it vanishes with the test's process
//! however that ends, and its interfaces with it.

mod link;
mod namespace;
mod process;

pub use link::{VethEnd, veth_pair};
pub use namespace::Netns;
pub use process::{Finished, Process};
