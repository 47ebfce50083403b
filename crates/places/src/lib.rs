//! From listen addresses to the interfaces where an XDP program can take their packets.
//!
//! [`Topology::read`] asks the kernel what there is: interfaces, their addresses, what is built on what. [`Plan::of`]
//! is a pure function from that and the listen addresses to a plan: for each address its interface, found by the
//! interface's own addresses and never by a route; what [`Kind`] of interface that is; at which interfaces below it
//! its packets come in, and with which VLAN tags and MAC addresses; or [`Why`] the kernel has to serve it, with the
//! command that would change that.
//!
//! | kind | where its packets are taken |
//! |---|---|
//! | network card, virtio, veth, tap | there |
//! | VLAN | at the interface below, by the tag |
//! | bond | at each of its members; backups stand by |
//! | bridge | at its uplinks: ports that are cards, VLANs or bonds; or its only port, a veth or tap only by name |
//! | macvlan, ipvlan, team, VRF, dummy, loopback | nowhere: the kernel serves |
//!
//! VLANs, bonds and bridges may stand on each other: a bridge on a VLAN on a bond is resolved to the bond's members.

#![forbid(unsafe_code)]

mod descent;
mod kind;
mod plan;
mod topology;
mod why;

pub use descent::{Spot, SpotState};
pub use kind::Kind;
pub use plan::{Place, Placed, Plan};
pub use topology::Topology;
pub use why::Why;
