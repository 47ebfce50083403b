use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::Path;

use sluicegate_conf::XdpRouteCheck;
use sluicegate_xsk::nic::{Address, Link};

use super::Target;

/// Whether the routes of replies decide which path takes a query: `xdp: route-check:`.
///
/// The program looks up the route of each reply (`bpf_fib_lookup`), which the kernel allows where the loopback
/// interface forwards. Nothing here changes that setting.
#[derive(Debug, Default)]
pub(super) struct RouteCheck {
    /// What was said last, so that it is said once.
    said: Option<Decision>,
}

/// What is decided for a network namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Decision {
    setting: XdpRouteCheck,
    /// Families whose replies' routes are looked up.
    checked: Families,
    /// Families that should be checked, and for which the kernel looks up no routes.
    blind: Families,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Families {
    v4: bool,
    v6: bool,
}

const BOTH: Families = Families { v4: true, v6: true };
const NONE: Families = Families {
    v4: false,
    v6: false,
};

impl RouteCheck {
    /// Takes the interface that replies have to leave by out of the targets where it does not matter.
    pub(super) fn apply(
        &mut self,
        setting: XdpRouteCheck,
        (links, addresses): (&[Link], &[Address]),
        targets: &mut BTreeMap<u32, Target>,
    ) {
        let decision = decide(setting, ways(links, addresses), forwarding);
        if self.said != Some(decision) {
            tell(decision);
            self.said = Some(decision);
        }
        let owners = targets
            .values_mut()
            .flat_map(|target| target.listen.iter_mut());
        for (key, owner) in owners {
            if !decision.checked.has(key.local.ip()) {
                owner.reply_ifindex = 0;
            }
        }
    }
}

impl Families {
    const fn has(self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(_) => self.v4,
            IpAddr::V6(_) => self.v6,
        }
    }
}

/// `forwarding` is asked only if it matters.
fn decide(setting: XdpRouteCheck, ways: usize, forwarding: impl FnOnce() -> Families) -> Decision {
    let wanted = match setting {
        XdpRouteCheck::No => false,
        XdpRouteCheck::Yes => true,
        XdpRouteCheck::Auto => ways > 1,
    };
    if !wanted {
        return Decision {
            setting,
            checked: NONE,
            blind: NONE,
        };
    }
    let seeing = forwarding();
    let blind = Families {
        v4: !seeing.v4,
        v6: !seeing.v6,
    };
    // Without an answer from the kernel `auto` would give up the fast path for routes that mostly agree.
    let checked = match setting {
        XdpRouteCheck::Yes => BOTH,
        _ => seeing,
    };
    Decision {
        setting,
        checked,
        blind,
    }
}

/// The number of interfaces that a reply may leave by: those that are up and have an address that is not only the
/// link's own.
fn ways(links: &[Link], addresses: &[Address]) -> usize {
    let routed = |link: &&Link| {
        let leads_out = |address: &Address| address.ifindex == link.index && !link_local(address);
        link.up && link.running && !link.loopback && addresses.iter().any(leads_out)
    };
    links.iter().filter(routed).count()
}

fn link_local(address: &Address) -> bool {
    match address.ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    }
}

/// The families for which this network namespace's loopback interface forwards.
fn forwarding() -> Families {
    let on = |family: &str| {
        let path = format!("/proc/sys/net/{family}/conf/lo/forwarding");
        // Where it can't be read, the family isn't there.
        std::fs::read_to_string(Path::new(&path)).is_ok_and(|text| text.trim() != "0")
    };
    Families {
        v4: on("ipv4"),
        v6: on("ipv6"),
    }
}

fn tell(decision: Decision) {
    for (blind, family) in [(decision.blind.v4, "ipv4"), (decision.blind.v6, "ipv6")] {
        let knob = format!("net.{family}.conf.lo.forwarding");
        match decision.setting {
            XdpRouteCheck::Yes if blind => tracing::warn!(
                "route-check: yes, but the kernel looks up no {family} routes for XDP programs as long as {knob} is 0, \
                 and takes all those queries itself; `sysctl -w {knob}=1` lets it"
            ),
            XdpRouteCheck::Auto if blind => tracing::info!(
                "route-check: off for {family} since {knob} is 0; replies leave by the interface that the query came by. \
                 `sysctl -w {knob}=1` switches it on"
            ),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: Families = Families {
        v4: true,
        v6: false,
    };
    const V6: Families = Families {
        v4: false,
        v6: true,
    };

    #[test]
    fn auto_checks_where_there_are_two_ways_and_the_kernel_tells() {
        let auto = |ways, seeing| decide(XdpRouteCheck::Auto, ways, || seeing);
        assert_eq!(auto(1, BOTH).checked, NONE);
        assert_eq!(auto(1, NONE).blind, NONE);
        assert_eq!(auto(2, BOTH).checked, BOTH);
        let half = auto(2, V4);
        assert_eq!((half.checked, half.blind), (V4, V6));
    }

    #[test]
    fn yes_and_no_are_obeyed() {
        let yes = decide(XdpRouteCheck::Yes, 0, || V6);
        assert_eq!((yes.checked, yes.blind), (BOTH, V4));
        let no = decide(XdpRouteCheck::No, 5, || panic!("it does not matter"));
        assert_eq!((no.checked, no.blind), (NONE, NONE));
    }

    #[test]
    fn interfaces_that_lead_nowhere_do_not_count() {
        let link = |index, change: fn(&mut Link)| {
            let mut link = Link::default();
            (link.index, link.up, link.running) = (index, true, true);
            change(&mut link);
            link
        };
        let links = [
            link(1, |link| link.loopback = true),
            link(2, |_| {}),
            link(3, |link| link.running = false),
            link(4, |link| link.up = false),
            link(5, |_| {}),
            link(6, |_| {}),
        ];
        let address = |ifindex, ip: &str| Address {
            ifindex,
            ip: ip.parse().unwrap(),
            prefix_len: 24,
        };
        let mut addresses = vec![
            address(1, "192.0.2.53"),
            address(2, "192.0.2.1"),
            address(2, "2001:db8::1"),
            address(3, "198.51.100.1"),
            address(4, "203.0.113.1"),
            address(5, "fe80::5"),
            address(5, "169.254.1.5"),
        ];
        assert_eq!(ways(&links, &addresses), 1);
        addresses.push(address(6, "2001:db8:6::1"));
        assert_eq!(ways(&links, &addresses), 2);
    }
}
