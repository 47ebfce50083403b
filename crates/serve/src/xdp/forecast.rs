use std::net::SocketAddr;

use sluicegate_conf::{XdpConfig, XdpEnable, XdpMode};
use sluicegate_places::{Place, Plan, Topology};
use sluicegate_xsk::nic::{Nic, NicError, XdpFeatures};

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
            placed
                .outcome(|spot| format!("XDP at {}", spot.with(mode(xdp, features(spot.ifindex)))))
        };
        let (interface, kind) = (&placed.interface, &placed.kind);
        format!(
            "{} on {interface} ({kind}): {outcome}",
            written(placed.local)
        )
    });
    Ok(lines.collect())
}

fn features(ifindex: u32) -> Option<XdpFeatures> {
    Nic::by_index(ifindex).ok()?.caps().features
}

/// The mode, where it can be known before anything is attached.
fn mode(xdp: &XdpConfig, features: Option<XdpFeatures>) -> &'static str {
    let native = features.is_none_or(|features| features.basic && features.redirect);
    match xdp.mode {
        _ if xdp.pinned_maps.is_some() => "by another's program and the pinned maps",
        XdpMode::Generic => "generic",
        XdpMode::Auto if !native => "generic if a self-test passes there, else kernel",
        _ => "",
    }
}

/// What queries for the listen addresses may come in by this interface, as it is now.
pub(crate) fn place_of(ifindex: u32, listen: &[SocketAddr]) -> Option<Place> {
    let topology = Topology::read().ok()?;
    Plan::of(&topology, listen).places.remove(&ifindex)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_self_test_is_announced_where_no_driver_takes_a_program() {
        let mut xdp = XdpConfig::default();
        let none = XdpFeatures::default();
        let mut native = none;
        (native.basic, native.redirect) = (true, true);
        assert_eq!(mode(&xdp, Some(native)), "");
        assert_eq!(mode(&xdp, None), "", "a kernel that doesn't tell");
        assert!(mode(&xdp, Some(none)).starts_with("generic if a self-test passes"));
        xdp.mode = XdpMode::Generic;
        assert_eq!(mode(&xdp, Some(none)), "generic");
    }
}
