//! Where a reply has to leave by the way that the kernel's routes give it, and where it need not.
//!
//! The place: `eth0` and `eth1` with a prefix each, routers on both, and a server that listens on the addresses of `eth0`. All
//! queries come in by `eth0`, from the MAC address that the row names.

use std::net::IpAddr;

use anyhow::{Context, Result, bail, ensure};
use sluicegate_bpf::Exit;
use sluicegate_lab::netns::{Netns, VethEnd, veth_pair};

use crate::frame::{CLIENT_MAC, Ip, TPID_8021Q, v4, v6};
use crate::steer::Steer;

/// The interface of the addresses, and the other one.
const A: &str = "eth0";
const B: &str = "eth1";
const ROUTER_MAC: [u8; 6] = [0x02, 0x72, 0x6f, 0x75, 0x74, 0x65];

/// One of those that the table listens in.
const VLAN: u16 = 5;

/// A client, the MAC address its query comes from, and what becomes of the query.
struct Row {
    client: &'static str,
    from: [u8; 6],
    exit: Exit,
}

const fn row(client: &'static str, from: [u8; 6], exit: Exit) -> Row {
    Row { client, from, exit }
}

/// With `reply_ifindex` set to `eth0`.
const CHECKED: &[Row] = &[
    // On the link: with the MAC address that the kernel knows, with another one, unknown, unreachable.
    row("192.0.2.100", CLIENT_MAC, Exit::Redirected),
    row("192.0.2.100", ROUTER_MAC, Exit::RouteNextHop),
    row("192.0.2.101", CLIENT_MAC, Exit::RouteNeighbour),
    row("2001:db8::100", CLIENT_MAC, Exit::Redirected),
    row("2001:db8::100", ROUTER_MAC, Exit::RouteNextHop),
    row("2001:db8::101", CLIENT_MAC, Exit::RouteNeighbour),
    // Behind the router of `eth0`.
    row("203.0.113.9", ROUTER_MAC, Exit::Redirected),
    row("203.0.113.9", CLIENT_MAC, Exit::RouteNextHop),
    row("2001:db8:9::9", ROUTER_MAC, Exit::Redirected),
    row("2001:db8:9::9", CLIENT_MAC, Exit::RouteNextHop),
    // On `eth1`, and behind its router, whose MAC address is not known.
    row("198.51.100.100", CLIENT_MAC, Exit::RouteInterface),
    row("203.0.113.200", ROUTER_MAC, Exit::RouteInterface),
    row("2001:db8:b::100", CLIENT_MAC, Exit::RouteInterface),
    row("2001:db8:9:b::9", ROUTER_MAC, Exit::RouteInterface),
    // Nowhere: dropped, refused, without a route, an address of this host.
    row("10.1.0.1", ROUTER_MAC, Exit::RouteNone),
    row("10.2.0.1", ROUTER_MAC, Exit::RouteNone),
    row("172.16.0.1", ROUTER_MAC, Exit::RouteNone),
    row("198.51.100.1", CLIENT_MAC, Exit::RouteNone),
    row("2001:db8:1::1", ROUTER_MAC, Exit::RouteNone),
    row("2001:db8:2::1", ROUTER_MAC, Exit::RouteNone),
    row("2001:db9::1", ROUTER_MAC, Exit::RouteNone),
    // The kernel looks up no route for these, and needs none.
    row("fe80::100", CLIENT_MAC, Exit::Redirected),
];

/// The same clients where routes don't matter.
const UNCHECKED: &[Row] = &[
    row("192.0.2.101", CLIENT_MAC, Exit::Redirected),
    row("198.51.100.100", CLIENT_MAC, Exit::Redirected),
    row("10.1.0.1", ROUTER_MAC, Exit::Redirected),
    row("2001:db8:b::100", CLIENT_MAC, Exit::Redirected),
    row("2001:db9::1", ROUTER_MAC, Exit::Redirected),
];

/// Where the loopback interface does not forward, the kernel tells no route.
const NOT_FORWARDING: &[Row] = &[
    row("192.0.2.100", CLIENT_MAC, Exit::RouteForwarding),
    row("2001:db8::100", CLIENT_MAC, Exit::RouteForwarding),
    row("fe80::100", CLIENT_MAC, Exit::Redirected),
];

/// Replies from the address of `eth0` take the router of `eth1`, whatever the main table says.
const RULED: &[Row] = &[
    row("192.0.2.100", CLIENT_MAC, Exit::RouteInterface),
    row("203.0.113.9", ROUTER_MAC, Exit::RouteInterface),
];

/// Whether a row leaves by `exit`.
pub(crate) fn has(exit: Exit) -> bool {
    [CHECKED, NOT_FORWARDING]
        .into_iter()
        .flatten()
        .any(|row| row.exit == exit)
}

/// The way of a reply decides who takes its query.
pub(crate) fn checked() -> Result<()> {
    let site = Site::new()?;
    site.forward(true)?;
    site.check(site.index(A)?, CHECKED)?;
    // The other interface is as good as any, if it is the one that has the address.
    let b = site.index(B)?;
    site.check(b, &[row("198.51.100.100", CLIENT_MAC, Exit::Redirected)])?;
    site.check(0, UNCHECKED)
}

/// Without forwarding on the loopback interface all is left to the kernel, under a reason of its own.
pub(crate) fn not_forwarding() -> Result<()> {
    let site = Site::new()?;
    site.forward(false)?;
    site.check(site.index(A)?, NOT_FORWARDING)?;
    site.check(0, UNCHECKED)
}

/// Rules count, also those that name the loopback interface as where a packet comes from.
pub(crate) fn ruled() -> Result<()> {
    for rule in ["from 192.0.2.1", "iif lo"] {
        let site = Site::new()?;
        site.forward(true)?;
        let netns = &site.netns;
        netns.ip("route add default via 198.51.100.254 dev eth1 table 100")?;
        netns.ip(&format!("rule add {rule} lookup 100"))?;
        site.check(site.index(A)?, RULED)
            .with_context(|| rule.to_owned())?;
    }
    Ok(())
}

/// The address is a VLAN interface's: that is the one that the kernel's route names, not the one below.
pub(crate) fn vlan() -> Result<()> {
    let site = Site::new()?;
    site.forward(true)?;
    let netns = &site.netns;
    netns.ip("addr flush dev eth0")?;
    netns.ip(&format!(
        "link add link eth0 name tagged type vlan id {VLAN}"
    ))?;
    netns.ip("link set tagged up")?;
    let tagged = VethEnd {
        netns,
        name: "tagged".to_owned(),
    };
    for (own, client) in [
        ("192.0.2.1/24", "192.0.2.100"),
        ("2001:db8::1/64", "2001:db8::100"),
    ] {
        tagged.add_address(own)?;
        neighbour(&tagged, client, CLIENT_MAC)?;
    }
    for (interface, exit) in [("tagged", Exit::Redirected), (A, Exit::RouteInterface)] {
        let rows = [
            row("192.0.2.100", CLIENT_MAC, exit),
            row("2001:db8::100", CLIENT_MAC, exit),
        ];
        let tags = [(TPID_8021Q, VLAN)];
        site.check_tagged(site.index(interface)?, &rows, &tags)?;
    }
    Ok(())
}

struct Site {
    netns: Netns,
}

impl Site {
    fn new() -> Result<Self> {
        let netns = Netns::new()?;
        let (a, _) = veth_pair(&netns, A, &netns, "eth2", 1)?;
        let (b, _) = veth_pair(&netns, B, &netns, "eth3", 1)?;
        for (end, v4, v6) in [
            (&a, "192.0.2", "2001:db8:"),
            (&b, "198.51.100", "2001:db8:b:"),
        ] {
            end.add_address(&format!("{v4}.1/24"))?;
            end.add_address(&format!("{v6}:1/64"))?;
            neighbour(end, &format!("{v4}.100"), CLIENT_MAC)?;
            neighbour(end, &format!("{v6}:100"), CLIENT_MAC)?;
        }
        neighbour(&a, "192.0.2.254", ROUTER_MAC)?;
        neighbour(&a, "2001:db8::fe", ROUTER_MAC)?;
        for route in [
            "203.0.113.0/24 via 192.0.2.254",
            "203.0.113.128/25 via 198.51.100.254",
            "2001:db8:9::/48 via 2001:db8::fe",
            "2001:db8:9:b::/64 via 2001:db8:b::fe",
            "blackhole 10.1.0.0/16",
            "unreachable 10.2.0.0/16",
            "blackhole 2001:db8:1::/48",
            "prohibit 2001:db8:2::/48",
        ] {
            netns.ip(&format!("route add {route}"))?;
        }
        drop((a, b));
        Ok(Self { netns })
    }

    fn forward(&self, on: bool) -> Result<()> {
        for family in ["ipv4", "ipv6"] {
            let knob = format!("net/{family}/conf/lo/forwarding");
            self.netns.sysctl(&knob, if on { "1" } else { "0" })?;
        }
        Ok(())
    }

    fn index(&self, name: &str) -> Result<u32> {
        let text = self.netns.ip(&format!("-o link show dev {name}"))?;
        let (index, _) = text.split_once(':').context("no index")?;
        Ok(index.parse()?)
    }

    /// Runs each row's query where a reply has to leave by `reply_ifindex`.
    fn check(&self, reply_ifindex: u32, rows: &[Row]) -> Result<()> {
        self.check_tagged(reply_ifindex, rows, &[])
    }

    fn check_tagged(&self, reply_ifindex: u32, rows: &[Row], tags: &[(u16, u16)]) -> Result<()> {
        self.netns.enter(|| {
            let mut steer = Steer::load()?;
            steer.listen(reply_ifindex)?;
            steer.enter(crate::rows::State::Serving)?;
            let mut wrong = Vec::new();
            for row in rows {
                let seen = steer.run(&frame(row, tags)?)?;
                if seen.exits != [row.exit] {
                    wrong.push(format!(
                        "{} from {:02x?}: want {:?}, have {:?}",
                        row.client, row.from, row.exit, seen.exits
                    ));
                }
            }
            if wrong.is_empty() {
                return Ok(());
            }
            bail!("{}", wrong.join("\n"))
        })
    }
}

fn neighbour(end: &VethEnd<'_>, address: &str, mac: [u8; 6]) -> Result<()> {
    end.add_neighbour(address.parse()?, mac)
}

fn frame(row: &Row, tags: &[(u16, u16)]) -> Result<Vec<u8>> {
    let client: IpAddr = row.client.parse()?;
    let mut frame = match client {
        IpAddr::V4(_) => v4(),
        IpAddr::V6(_) => v6(),
    };
    match (&mut frame.ip, client) {
        (Ip::V4(ip), IpAddr::V4(client)) => ip.source = client,
        (Ip::V6(ip), IpAddr::V6(client)) => ip.source = client,
        _ => bail!("of two families"),
    }
    frame.source_mac = row.from;
    frame.tags = tags.to_vec();
    let bytes = frame.bytes();
    ensure!(bytes.len() > 60, "no query");
    Ok(bytes)
}
