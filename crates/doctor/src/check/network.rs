use std::net::IpAddr;

use sluicegate_conf::XdpRouteCheck;

use crate::change::quoted;
use crate::facts::{Place, Route};
use crate::{Change, Facts, Finding, Group, Interface, Master, Mend, Role, Verdict};

/// How interfaces, addresses and routes hang together.
pub(super) fn examine(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![carriers(facts), same_subnet(facts), route_look_up(facts)];
    let listening = facts
        .interfaces
        .iter()
        .filter(|one| one.role == Role::Listens);
    for one in listening {
        all.push(return_route(facts, one).on(&one.link.name));
        all.push(rp_filter(facts, one).on(&one.link.name));
    }
    for one in &facts.interfaces {
        all.push(up(one).on(&one.link.name));
        all.extend(master(facts, one).map(|finding| finding.on(&one.link.name)));
    }
    all
}

/// Whether any interface carries what is listened on.
fn carriers(facts: &Facts) -> Finding {
    let names: Vec<String> = facts
        .interfaces
        .iter()
        .filter(|one| one.role == Role::Listens)
        .map(|one| one.link.name.clone())
        .collect();
    let says = format!("queries come in by {}", names.join(", "));
    let finding = Finding::new("interfaces", Group::Network).probed("interfaces", names.clone());
    if names.is_empty() {
        return finding
            .is(
                Verdict::Info,
                "no interface but loopback carries an address that is listened on",
            )
            .why("the fast path is for queries of other machines; loopback has no use for it")
            .by_hand("ip -br address    # then name one of them: `interface: ADDRESS`");
    }
    finding.is(Verdict::Ok, says)
}

fn up(one: &Interface) -> Finding {
    let finding = Finding::new("link", Group::Network)
        .probed("up", one.link.up)
        .probed("running", one.link.running);
    if !one.link.up {
        return finding
            .is(Verdict::Warn, "the interface is down")
            .why("nothing comes in by it; it is served as soon as it is up")
            .by_hand(format!("ip link set dev {} up", quoted(&one.link.name)));
    }
    if !one.link.running {
        return finding
            .is(Verdict::Warn, "the interface is up, but has no carrier")
            .why("no cable, no peer, or a switch port that is off");
    }
    finding.is(Verdict::Ok, "up")
}

/// The bridge, bond or VRF that an interface belongs to.
fn master(facts: &Facts, one: &Interface) -> Option<Finding> {
    let master = one.master.as_ref()?;
    let (name, kind) = (&master.name, &master.kind);
    let finding = Finding::new("port", Group::Network)
        .probed("master", name.as_str())
        .probed("kind", kind.as_str());
    let vlan_above = facts
        .interfaces
        .iter()
        .find(|upper| upper.link.lower == Some(one.link.index) && upper.role == Role::Listens);
    Some(match (one.role, vlan_above) {
        (Role::Listens, _) if kind == "vrf" => finding
            .is(Verdict::Info, format!("it belongs to the VRF {name}"))
            .why("replies of the kernel's sockets leave by the VRF's routes; those of the fast path go back where they came from"),
        (Role::Listens, _) => finding
            .is(Verdict::Warn, format!("it carries a listen address, and is a port of the {kind} {name}"))
            .why(format!(
                "{name} takes all that comes in by its ports, so this address answers by chance or not at all. Give the \
                 address to {name}, or take the port out; with it goes what {name} reaches through it"
            ))
            .mended_by(take_out(one, master)),
        (Role::Below, Some(vlan)) if kind == "bridge" => finding
            .is(Verdict::Info, format!("it is a port of the bridge {name}, and below {}", vlan.link.name))
            .why(format!(
                "some set-ups are reported where the bridge takes the packets of {}; the kernels we tried (6.1, 6.12, 7.3) do \
                 not. If queries get no answer, take the port out; guests of the bridge lose that way out",
                vlan.link.name
            ))
            .mended_by(take_out(one, master)),
        (Role::Below, _) => finding.is(Verdict::Ok, format!("it is a port of the {kind} {name}, which is listened on")),
    })
}

/// Takes a port out of its master. Only that of a plain bridge comes back as it was: a bond sets its members down and
/// takes none that is up, and a bridge that sorts by VLAN forgets which ones the port had.
fn take_out(one: &Interface, master: &Master) -> Mend {
    let change = Change::Master {
        interface: one.link.name.clone(),
        from: Some(master.name.clone()),
        to: None,
    };
    let command = change.command();
    match master.kind.as_str() {
        "bridge" if !master.vlan_filtering => Mend::Change(change),
        "bridge" => Mend::ByHand(format!(
            "{command}    # its VLANs on {} come back by `ifreload -a` only",
            quoted(&master.name)
        )),
        _ => Mend::ByHand(format!(
            "{command} && ip link set dev {} up",
            quoted(&one.link.name)
        )),
    }
}

/// Whether two interfaces are in one subnet, where each answers ARP for the other.
fn same_subnet(facts: &Facts) -> Finding {
    let finding = Finding::new("same-subnet", Group::Network);
    let pairs = overlapping(&facts.places);
    let Some((one, other)) = pairs.first() else {
        return finding.is(Verdict::Ok, "no two interfaces are in one subnet");
    };
    let conf = &facts.host.all;
    let shown: Vec<String> = pairs
        .iter()
        .map(|(one, other)| format!("{} and {}", one.interface, other.interface))
        .collect();
    let finding = finding
        .probed(
            "first",
            format!("{} {}/{}", one.interface, one.ip, one.prefix_len),
        )
        .probed(
            "second",
            format!("{} {}/{}", other.interface, other.ip, other.prefix_len),
        )
        .probed("arp_ignore", conf.arp_ignore)
        .probed("arp_announce", conf.arp_announce)
        .probed("pairs", shown.clone());
    let mut says = format!(
        "{} and {} are in one subnet ({}, {})",
        one.interface, other.interface, one.ip, other.ip
    );
    if shown.len() > 1 {
        says = format!("{says}; so are {}", shown[1..].join(", "));
    }
    if one.ip.is_ipv6() {
        return finding.is(Verdict::Ok, format!("{says}; IPv6 keeps them apart"));
    }
    let wanted = [
        ("arp_ignore", conf.arp_ignore, 1),
        ("arp_announce", conf.arp_announce, 2),
    ];
    let wrong: Vec<_> = wanted
        .into_iter()
        .filter_map(|(knob, is, should)| is.filter(|is| *is < should).map(|is| (knob, is, should)))
        .collect();
    if wrong.is_empty() {
        return finding.is(
            Verdict::Ok,
            format!("{says}; each answers ARP for its own address alone"),
        );
    }
    wrong.iter().fold(
        finding.is(Verdict::Warn, says).why(
            "each of them answers ARP for the other's address, so queries may come in by the wrong one; there they take the \
             kernel's path, and a switch may see the address wander",
        ),
        |finding, (knob, is, should)| {
            finding.mend(Change::Sysctl {
                key: format!("net/ipv4/conf/all/{knob}"),
                from: is.to_string(),
                to: should.to_string(),
            })
        },
    )
}

/// So many pairs are told.
const MAX_PAIRS: usize = 8;

/// Pairs of interfaces with addresses whose prefixes overlap, link-local ones aside: those of IPv4 first, since only they
/// matter.
fn overlapping(places: &[Place]) -> Vec<(&Place, &Place)> {
    let mut pairs: Vec<(&Place, &Place)> = Vec::new();
    for v4 in [true, false] {
        for (i, one) in places.iter().enumerate() {
            for other in &places[i + 1..] {
                let told = |(a, b): &(&Place, &Place)| {
                    a.interface == one.interface && b.interface == other.interface
                };
                if one.ip.is_ipv4() == v4
                    && one.overlaps(other)
                    && pairs.len() < MAX_PAIRS
                    && !pairs.iter().any(told)
                {
                    pairs.push((one, other));
                }
            }
        }
    }
    pairs
}

/// Whether replies to far clients leave by the interface that their queries come in by.
fn return_route(facts: &Facts, one: &Interface) -> Finding {
    let finding = Finding::new("return-route", Group::Network);
    let elsewhere = one
        .routes
        .iter()
        .find(|route| route.out.as_ref().is_some_and(|out| *out != one.link.name));
    let Some(route) = elsewhere else {
        return if one.routes.iter().any(|route| route.out.is_some()) {
            finding.is(
                Verdict::Ok,
                "replies to far clients leave by the same interface",
            )
        } else {
            finding.is(Verdict::Skipped, "there is no route to far clients")
        };
    };
    let out = route.out.clone().unwrap_or_default();
    let strict = effective_rp_filter(facts, one) == Some(1) && route.from.is_ipv4();
    let ip = route.from;
    let finding = finding
        .probed("from", ip.to_string())
        .probed("out", out.as_str());
    let says = format!("replies of {ip} to far clients leave by {out}");
    if strict {
        return finding
            .is(Verdict::Warn, says)
            .why("queries of far clients that come in here are dropped by the strict reverse path filter (rp_filter=1)")
            .by_hand(back_the_way(one, route));
    }
    let told = match look_up(facts, ip.is_ipv4()) {
        LookUp::On => finding
            .is(Verdict::Info, says)
            .why("where replies go another way than queries came, the kernel's path answers (`xdp: route-check:`)"),
        LookUp::Off => finding
            .is(Verdict::Info, format!("{says}; those of the fast path by {}", one.link.name))
            .why(format!("nothing looks up where replies leave (`xdp: route-check:`). {BACK_AS_IT_CAME}")),
        LookUp::Blind => finding
            .is(Verdict::Warn, format!("{says}; those of the fast path by {}", one.link.name))
            .why(format!(
                "the kernel looks up no routes for the program as long as loopback does not forward. {BACK_AS_IT_CAME}"
            ))
            .mend(lo_forwarding(ip.is_ipv4())),
    };
    told.by_hand(back_the_way(one, route))
}

/// What becomes of a reply whose route is not looked up.
const BACK_AS_IT_CAME: &str = "So a reply of the fast path goes back by the interface and the neighbour that its query came by, \
    whatever the routes say; where that way is closed to it, as by a provider that drops foreign addresses, it is lost";

/// Whether the program looks up where replies leave.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LookUp {
    /// It does.
    On,
    /// It is not asked to.
    Off,
    /// It should, and the kernel doesn't let it: with `route-check: auto` nothing is looked up, with `yes` the kernel's path
    /// answers everything.
    Blind,
}

/// Decides as the server does.
fn look_up(facts: &Facts, v4: bool) -> LookUp {
    let forwarding = if v4 {
        facts.host.lo4_forwarding
    } else {
        facts.host.lo6_forwarding
    };
    match facts.wanted.xdp.route_check {
        XdpRouteCheck::No => LookUp::Off,
        XdpRouteCheck::Auto if is_only_way(facts) => LookUp::Off,
        _ if forwarding == Some(0) => LookUp::Blind,
        _ => LookUp::On,
    }
}

/// Whether no more than one interface has addresses that a reply could leave by.
fn is_only_way(facts: &Facts) -> bool {
    let leads_out = |place: &&Place| match place.ip {
        IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
        IpAddr::V6(ip) => !ip.is_loopback() && !ip.is_unicast_link_local(),
    };
    let mut ways = facts.places.iter().filter(leads_out);
    let first = ways.next();
    ways.all(|place| first.is_some_and(|first| first.interface == place.interface))
}

/// Lets the kernel look up routes for programs.
fn lo_forwarding(v4: bool) -> Change {
    let family = if v4 { "ipv4" } else { "ipv6" };
    Change::Sysctl {
        key: format!("net/{family}/conf/lo/forwarding"),
        from: "0".into(),
        to: "1".into(),
    }
}

/// Lets replies of an address leave by the interface that has it: a table of its own for what comes from it.
fn back_the_way(one: &Interface, route: &Route) -> String {
    let (ip, name) = (route.from, quoted(&one.link.name));
    let family = if ip.is_ipv4() { "" } else { "-6 " };
    let commands = |gateway: &str| {
        format!(
            "ip {family}route replace default via {gateway} dev {name} table {TABLE} && ip {family}rule add from {ip} \
             table {TABLE}"
        )
    };
    match route.gateway {
        Some(gateway) => commands(&gateway.to_string()),
        // A comment, so that nobody types a command that can't work.
        None => format!(
            "# no route here names the router beyond {name}; with its address for ROUTER: {}",
            commands("ROUTER")
        ),
    }
}

/// The routing table for replies: a number that no distribution gives away.
const TABLE: u32 = 53;

/// Whether the program can look up where replies leave: the kernel lets it where the loopback interface forwards.
fn route_look_up(facts: &Facts) -> Finding {
    let (v4, v6) = (facts.host.lo4_forwarding, facts.host.lo6_forwarding);
    let finding = Finding::new("route-look-up", Group::Network)
        .probed("lo4_forwarding", v4)
        .probed("lo6_forwarding", v6);
    let asked = facts.wanted.xdp.route_check;
    if asked == XdpRouteCheck::No {
        return finding.is(Verdict::Ok, "`route-check: no`: nothing is looked up");
    }
    if look_up(facts, true) == LookUp::Off {
        return finding.is(
            Verdict::Ok,
            "one interface: replies leave where queries come in",
        );
    }
    let blind = [true, false].map(|v4| (v4, look_up(facts, v4) == LookUp::Blind));
    if blind.iter().all(|(_, blind)| !blind) {
        return finding.is(Verdict::Ok, "the program can look up where replies leave");
    }
    let finding = if asked == XdpRouteCheck::Yes {
        finding
            .is(Verdict::Warn, "the program can't look up where replies leave, and has to")
            .why("with `route-check: yes` the kernel's path answers all queries as long as loopback does not forward")
    } else {
        finding
            .is(Verdict::Info, "the program can't look up where replies leave")
            .why(
                "the kernel does that only where loopback forwards. Without it a reply leaves by the interface that its query \
                 came in by, whatever the routes say; that is wrong only where routes are asymmetric",
            )
    };
    let blind = blind.into_iter().filter(|(_, blind)| *blind);
    blind.fold(finding, |finding, (v4, _)| finding.mend(lo_forwarding(v4)))
}

fn effective_rp_filter(facts: &Facts, one: &Interface) -> Option<u64> {
    facts.host.all.rp_filter.max(one.conf.rp_filter)
}

fn rp_filter(facts: &Facts, one: &Interface) -> Finding {
    let filter = effective_rp_filter(facts, one);
    let finding = Finding::new("rp-filter", Group::Network)
        .probed("all", facts.host.all.rp_filter)
        .probed("interface", one.conf.rp_filter);
    let elsewhere = one.routes.iter().any(|route| {
        route.from.is_ipv4() && route.out.as_ref().is_some_and(|out| *out != one.link.name)
    });
    match filter {
        None => finding.is(Verdict::Skipped, "the reverse path filter can't be read"),
        Some(1) if elsewhere => finding
            .is(Verdict::Warn, "the strict reverse path filter drops queries of far clients")
            .why("packets whose replies would leave by another interface are dropped before any socket sees them, without a trace")
            .mend(Change::Sysctl {
                key: format!("net/ipv4/conf/{}/rp_filter", one.link.name),
                from: one.conf.rp_filter.unwrap_or(0).to_string(),
                to: "2".into(),
            }),
        Some(mode) => finding.is(
            Verdict::Ok,
            match mode {
                0 => "the reverse path filter is off",
                1 => "the strict reverse path filter fits the routes",
                _ => "the reverse path filter is loose",
            },
        ),
    }
}

impl Place {
    /// Whether another interface's address is in the same subnet, as hosts on the wire see it: those with the shorter
    /// prefix ask by ARP for both.
    fn overlaps(&self, other: &Self) -> bool {
        if self.interface == other.interface || !self.resolves || !other.resolves {
            return false;
        }
        let (Some((one, width)), Some((two, other_width))) = (self.bits(), other.bits()) else {
            return false;
        };
        let hosts = u32::from(width - self.prefix_len.min(other.prefix_len).min(width));
        let network = |bits: u128| bits.checked_shr(hosts).unwrap_or(0);
        width == other_width && network(one) == network(two)
    }

    /// The address as a number and its width; `None` where there is no subnet that two interfaces could share by mistake.
    fn bits(&self) -> Option<(u128, u8)> {
        let (bits, width) = match self.ip {
            IpAddr::V4(ip) if ip.is_link_local() || ip.is_loopback() => return None,
            IpAddr::V6(ip) if ip.is_unicast_link_local() || ip.is_loopback() => return None,
            IpAddr::V4(ip) => (u128::from(u32::from(ip)), 32),
            IpAddr::V6(ip) => (u128::from(ip), 128),
        };
        // A single address is no subnet.
        (self.prefix_len < width).then_some((bits, width))
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{eth0, good, one, verdict, well};
    use super::*;

    fn place(interface: &str, address: &str) -> Place {
        let (ip, len) = address.split_once('/').unwrap();
        Place {
            interface: interface.into(),
            ip: ip.parse().unwrap(),
            prefix_len: len.parse().unwrap(),
            resolves: true,
        }
    }

    fn route(from: &str, out: Option<&str>) -> Route {
        Route {
            from: from.parse().unwrap(),
            out: out.map(Into::into),
            gateway: None,
        }
    }

    #[test]
    fn a_good_network_is_well() {
        let mut facts = good();
        facts.interfaces[0].routes = vec![route("192.0.2.1", Some("eth0"))];
        facts.places = vec![
            place("eth0", "192.0.2.1/24"),
            place("eth1", "198.51.100.1/24"),
        ];
        well(&examine(&facts));
    }

    #[test]
    fn two_interfaces_in_one_subnet() {
        let of = |second: &str, ignore, announce| {
            let mut facts = good();
            facts.places = vec![place("eth0", "192.0.2.1/24"), place("eth1", second)];
            (facts.host.all.arp_ignore, facts.host.all.arp_announce) =
                (Some(ignore), Some(announce));
            examine(&facts)
        };
        let all = of("192.0.2.9/24", 0, 0);
        let command = "sysctl -w net/ipv4/conf/all/arp_ignore=1".to_owned();
        assert_eq!(verdict(&all, "same-subnet"), (Verdict::Warn, Some(command)));
        assert_eq!(one(&all, "same-subnet").mend.len(), 2);
        assert_eq!(
            verdict(&of("192.0.2.9/24", 1, 2), "same-subnet").0,
            Verdict::Ok
        );
        assert_eq!(
            verdict(&of("192.0.3.9/24", 0, 0), "same-subnet").0,
            Verdict::Ok
        );
        assert_eq!(
            verdict(&of("192.0.2.9/32", 0, 0), "same-subnet").0,
            Verdict::Ok
        );
        let link_local = [place("a", "fe80::1/64"), place("b", "fe80::2/64")];
        assert_eq!(overlapping(&link_local), []);
    }

    #[test]
    fn subnets_of_unequal_length_overlap() {
        let of = |addresses: &[(&str, &str)]| {
            let mut facts = good();
            let all = addresses.iter().map(|(name, address)| place(name, address));
            facts.places = all.collect();
            (facts.host.all.arp_ignore, facts.host.all.arp_announce) = (Some(0), Some(0));
            facts
        };
        let said = |addresses: &[(&str, &str)]| {
            let finding = same_subnet(&of(addresses));
            (finding.verdict, finding.says)
        };
        let wide = [("eth0", "10.77.0.1/24"), ("eth1", "10.77.5.1/16")];
        assert_eq!(said(&wide).0, Verdict::Warn);
        let apart = [("eth0", "10.77.0.1/24"), ("eth1", "10.78.5.1/16")];
        assert_eq!(said(&apart).0, Verdict::Ok);
        // What shares an IPv6 subnet hides no two that share an IPv4 one, and all pairs are told.
        let more = [
            ("eth0", "2001:db8::1/64"),
            ("eth0", "10.77.0.1/24"),
            ("eth1", "2001:db8::2/64"),
            ("eth2", "10.77.0.3/24"),
            ("eth3", "10.77.0.4/24"),
        ];
        let (verdict, says) = said(&more);
        assert_eq!(verdict, Verdict::Warn);
        assert!(
            says.starts_with("eth0 and eth2 ") && says.contains("eth2 and eth3, eth0 and eth1"),
            "{says}"
        );
        // A tunnel answers no ARP.
        let mut tunnel = of(&wide);
        tunnel.places[1].resolves = false;
        assert_eq!(same_subnet(&tunnel).verdict, Verdict::Ok);
    }

    #[test]
    fn replies_that_leave_elsewhere() {
        let mut facts = good();
        facts.interfaces[0].routes = vec![route("192.0.2.1", Some("eth1"))];
        assert_eq!(verdict(&examine(&facts), "return-route").0, Verdict::Info);
        facts.interfaces[0].conf.rp_filter = Some(1);
        let all = examine(&facts);
        let (how, command) = verdict(&all, "return-route");
        // Nobody knows the router: nothing that could be typed as it is.
        assert!(how == Verdict::Warn && command.unwrap().starts_with('#'));
        facts.interfaces[0].routes[0].gateway = Some([192, 0, 2, 254].into());
        let command = "ip route replace default via 192.0.2.254 dev eth0 table 53 && ip rule add from 192.0.2.1 table 53";
        let told = verdict(&examine(&facts), "return-route").1;
        assert_eq!(told.as_deref(), Some(command));
        let command = "sysctl -w net/ipv4/conf/eth0/rp_filter=2".to_owned();
        assert_eq!(verdict(&all, "rp-filter"), (Verdict::Warn, Some(command)));
        facts.interfaces[0].routes = vec![route("192.0.2.1", None)];
        assert_eq!(
            verdict(&examine(&facts), "return-route").0,
            Verdict::Skipped
        );
    }

    #[test]
    fn what_is_told_of_replies_is_what_the_server_does() {
        let of = |check, forwarding| {
            let mut facts = good();
            facts.interfaces[0].routes = vec![route("192.0.2.1", Some("eth1"))];
            facts.places = vec![
                place("eth0", "192.0.2.1/24"),
                place("eth1", "198.51.100.1/24"),
            ];
            facts.wanted.xdp.route_check = check;
            facts.host.lo4_forwarding = Some(forwarding);
            let all = examine(&facts);
            (
                verdict(&all, "return-route"),
                one(&all, "return-route").why.clone(),
                verdict(&all, "route-look-up").0,
            )
        };
        let ((how, command), why, _) = of(XdpRouteCheck::Auto, 0);
        let sysctl = "sysctl -w net/ipv4/conf/lo/forwarding=1";
        assert_eq!((how, command.as_deref()), (Verdict::Warn, Some(sysctl)));
        assert!(!why.contains("the kernel's path answers"), "{why}");
        let ((how, _), why, _) = of(XdpRouteCheck::Auto, 1);
        assert!(
            how == Verdict::Info && why.contains("the kernel's path answers"),
            "{why}"
        );
        let ((how, _), why, _) = of(XdpRouteCheck::No, 1);
        assert!(
            how == Verdict::Info && why.contains("goes back by the interface"),
            "{why}"
        );
        // Whoever insists gets no fast path at all.
        assert_eq!(of(XdpRouteCheck::Yes, 0).2, Verdict::Warn);
    }

    #[test]
    fn routes_that_cannot_be_looked_up() {
        let mut facts = good();
        facts.host.lo4_forwarding = Some(0);
        facts.places = vec![place("lo", "127.0.0.1/8"), place("eth0", "192.0.2.1/24")];
        assert_eq!(verdict(&examine(&facts), "route-look-up").0, Verdict::Ok);
        facts.places.push(place("eth1", "198.51.100.1/24"));
        let command = "sysctl -w net/ipv4/conf/lo/forwarding=1".to_owned();
        assert_eq!(
            verdict(&examine(&facts), "route-look-up"),
            (Verdict::Info, Some(command))
        );
    }

    fn of(name: &str, kind: &str) -> Master {
        Master {
            name: name.into(),
            kind: kind.into(),
            vlan_filtering: false,
        }
    }

    #[test]
    fn ports_with_listen_addresses() {
        let mut facts = good();
        facts.interfaces[0].master = Some(of("vmbr0", "bridge"));
        let command = "ip link set dev eth0 nomaster".to_owned();
        assert_eq!(
            verdict(&examine(&facts), "port"),
            (Verdict::Warn, Some(command))
        );
        facts.interfaces[0].role = Role::Below;
        assert_eq!(verdict(&examine(&facts), "port").0, Verdict::Ok);
        let mut vlan = eth0();
        (vlan.link.index, vlan.link.lower) = (9, Some(2));
        facts.interfaces.push(vlan);
        assert_eq!(verdict(&examine(&facts), "port").0, Verdict::Info);
        facts.interfaces[0].role = Role::Listens;
        facts.interfaces[0].master = Some(of("red", "vrf"));
        assert_eq!(verdict(&examine(&facts), "port").0, Verdict::Info);
    }

    #[test]
    fn ports_that_do_not_come_back_as_they_were() {
        let by_hand = |master: Master| {
            let mut facts = good();
            facts.interfaces[0].master = Some(master);
            match &one(&examine(&facts), "port").mend[..] {
                [Mend::ByHand(command)] => command.clone(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            by_hand(of("bond0", "bond")),
            "ip link set dev eth0 nomaster && ip link set dev eth0 up"
        );
        let aware = Master {
            vlan_filtering: true,
            ..of("vmbr0", "bridge")
        };
        let command = by_hand(aware);
        assert!(
            command.starts_with("ip link set dev eth0 nomaster    # "),
            "{command}"
        );
        assert!(command.contains("vmbr0") && command.contains("ifreload -a"));
    }

    #[test]
    fn interfaces_that_are_down() {
        let mut facts = good();
        facts.interfaces[0].link.running = false;
        assert_eq!(verdict(&examine(&facts), "link").0, Verdict::Warn);
        facts.interfaces[0].link.up = false;
        let (how, command) = verdict(&examine(&facts), "link");
        assert_eq!(
            (how, command),
            (Verdict::Warn, Some("ip link set dev eth0 up".into()))
        );
        facts.interfaces.clear();
        assert_eq!(verdict(&examine(&facts), "interfaces").0, Verdict::Info);
    }
}
