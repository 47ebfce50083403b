//! What network interfaces there are, what they can do, and when that changes. Needs no privileges.
//!
//! Everything is asked in the network namespace of the calling thread, and is a snapshot. The sources are rtnetlink
//! (interfaces and addresses), the generic netlink families `netdev` (XDP features, Linux 6.3 and later) and
//! `ethtool` (offloads), the ethtool ioctls (channels, ring sizes, driver) and sysfs (NUMA node).

mod ethtool;
mod features;
mod link;
mod link_info;
mod message;
mod monitor;
mod offloads;
mod query;
mod route;
mod snapshot;
mod steering;

pub use ethtool::{Channels, RingSizes};
pub use features::{XdpFeatures, zero_copy_sound_since};
pub use link::{Address, Attached, AttachedMode, Link, Port, Tap, addresses, links};
pub use monitor::Monitor;
pub use offloads::Offloads;
pub use query::NicError;
pub use route::interface_towards;
pub use snapshot::{Nic, NicCaps};
pub use steering::{UdpHash, steering_rules, udp_hash};
