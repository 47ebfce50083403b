//! What Sluicegate's tests with real packets are made of; never shipped.
//!
//! - [`netns`]: hosts on one machine, as anonymous network namespaces joined by veth;
//! - [`bpffs`]: a BPF file system that nobody else sees;
//! - [`harness`]: tests that say what they need, and are skipped with a reason where it is missing;
//! - [`peers`]: other people's servers and clients, from Debian packages unpacked into a private folder;
//! - [`wire`]: DNS messages and Ethernet frames made and read by hand, right and wrong ones;
//! - [`upstream`]: a server that answers what the test wants;
//! - [`rpl`]: scenario files of Unbound, played over real sockets;
//! - [`world`]: a root, top-level domains and zones below, signed and not, well served and badly;
//! - [`machine`]: a Debian of its own with systemd at work, for packages and units;
//! - [`server`]: Sluicegate itself, started on a configuration;
//! - [`vm`]: real NIC drivers, in a virtual machine;
//! - [`scene`]: the usual three hosts with all of that.
#![forbid(unsafe_code)]
#![expect(
    clippy::missing_panics_doc,
    reason = "a test that breaks the lab's invariants shall fail with their text"
)]

pub mod bpffs;
pub mod harness;
pub mod machine;
pub mod netns;
pub mod peers;
pub mod private_dir;
pub mod rpl;
pub mod scene;
pub mod server;
pub mod upstream;
pub mod vm;
pub mod wire;
pub mod world;

mod workspace;

pub use workspace::{shared_data, workspace_root};
