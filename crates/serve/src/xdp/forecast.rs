use std::net::SocketAddr;

use sluicegate_conf::{XdpConfig, XdpEnable};
use sluicegate_places::{Plan, Topology};
use sluicegate_xsk::nic::NicError;

use super::notice::written;

/// What would become of each listen address on this machine as it is now, a line for each that an interface has. Only
/// looks, needs no privileges; whether a driver takes the program is known when it is attached.
///
/// # Errors
/// What rtnetlink said.
pub(crate) fn forecast(xdp: &XdpConfig, listen: &[SocketAddr]) -> Result<Vec<String>, NicError> {
    let plan = Plan::of(&Topology::read()?, listen);
    let lines = plan.addresses.iter().map(|placed| {
        let outcome = if xdp.enable == XdpEnable::No {
            "kernel: XDP is switched off".to_owned()
        } else {
            placed.outcome(|spot| format!("XDP at {}", spot.with("")))
        };
        let (interface, kind) = (&placed.interface, &placed.kind);
        format!(
            "{} on {interface} ({kind}): {outcome}",
            written(placed.local)
        )
    });
    Ok(lines.collect())
}

/// Whether queries for one of the listen addresses may come in by this interface, as it is now.
pub(crate) fn carries_listen_address(ifindex: u32, listen: &[SocketAddr]) -> bool {
    Topology::read().is_ok_and(|topology| Plan::of(&topology, listen).places.contains_key(&ifindex))
}
