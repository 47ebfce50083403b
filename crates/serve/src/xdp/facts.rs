use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sluicegate_bpf::{ListenKey, Owner, Vlans};
use sluicegate_xsk::nic::{Address, Link, NicError, addresses, links};

use super::Reason;

/// An interface that queries may come in by, and what is listened on there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// The interface.
    pub(super) link: Link,
    /// What its program is to take, and the interface that has the address: this one or one above it.
    pub(super) listen: BTreeMap<ListenKey, Owner>,
    /// Directed broadcast addresses of its prefixes.
    pub(super) broadcast: BTreeSet<Ipv4Addr>,
    /// Longest IP packet that a reply may be: the least MTU of the interface and of the VLANs on it.
    pub(super) mtu_bytes: u32,
    /// Whether it carries an address that is listened on by itself, not by a wildcard.
    pub(super) named: bool,
    /// Why there can be no XDP program on it, as far as its facts tell.
    pub(super) refusal: Option<Reason>,
}

/// All interfaces and addresses of this network namespace.
///
/// # Errors
/// What rtnetlink said.
pub(super) fn look() -> Result<(Vec<Link>, Vec<Address>), NicError> {
    Ok((links()?, addresses()?))
}

/// Whether queries for one of the listen addresses may come in by this interface, as it is now.
pub(crate) fn carries_listen_address(ifindex: u32, listen: &[SocketAddr]) -> bool {
    look()
        .is_ok_and(|(links, addresses)| targets(&links, &addresses, listen).contains_key(&ifindex))
}

/// Kinds whose packets do not come from queues of their own: an AF_XDP socket on them gets nothing, or
/// packets that it must drop since they came in by a port.
const STACKED: &[&str] = &[
    "bridge", "bond", "team", "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "vrf", "dummy",
];

/// Joins the interfaces, their addresses and the listen addresses to what programs are wanted for.
///
/// A wildcard stands for all addresses of its family. Addresses of a VLAN interface are wanted at the
/// interface below it, with the VLAN's tag, provided both have one MAC address.
pub(super) fn targets(
    links: &[Link],
    addresses: &[Address],
    listen: &[SocketAddr],
) -> BTreeMap<u32, Target> {
    let by_index: BTreeMap<u32, &Link> = links.iter().map(|link| (link.index, link)).collect();
    let mut targets = BTreeMap::new();
    for address in addresses {
        let Some(link) = by_index.get(&address.ifindex).copied() else {
            continue;
        };
        let mut heard = listen
            .iter()
            .filter(|listen| hears(**listen, address))
            .peekable();
        if heard.peek().is_none() {
            continue;
        }
        let (base, vlans) = below(link, &by_index).unwrap_or((link, Vlans::default()));
        let target = targets.entry(base.index).or_insert_with(|| Target {
            link: base.clone(),
            listen: BTreeMap::new(),
            broadcast: BTreeSet::new(),
            mtu_bytes: base.mtu_bytes,
            named: false,
            refusal: refusal(base, &by_index),
        });
        for listen in heard {
            let local = SocketAddr::new(address.ip, listen.port());
            // Without a MAC address there is nothing that a program could take.
            if let Some(owner) = owner(link) {
                target.listen.insert(ListenKey { local, vlans }, owner);
            }
            target.named |= !listen.ip().is_unspecified();
        }
        target.broadcast.extend(broadcast(address));
        target.mtu_bytes = target.mtu_bytes.min(link.mtu_bytes);
    }
    targets
}

/// Replies have to leave by the interface that has the address, where [`RouteCheck`](super::route::RouteCheck) lets that
/// stand.
fn owner(link: &Link) -> Option<Owner> {
    link.mac.map(|mac| Owner {
        mac,
        reply_ifindex: link.index,
    })
}

/// Whether an interface's address is listened on. A listen address with a scope is that interface's alone:
/// each interface may have the same link-local address.
fn hears(listen: SocketAddr, own: &Address) -> bool {
    let elsewhere = matches!(listen, SocketAddr::V6(scoped)
        if scoped.scope_id() != 0 && scoped.scope_id() != own.ifindex);
    let same = listen.ip() == own.ip;
    let wildcard = listen.ip().is_unspecified() && listen.is_ipv4() == own.ip.is_ipv4();
    !elsewhere && (same || wildcard)
}

/// Where the tagged packets of a VLAN interface come in: the interface below, or the one below that, and
/// the tags they carry there.
fn below<'a>(link: &'a Link, by_index: &BTreeMap<u32, &'a Link>) -> Option<(&'a Link, Vlans)> {
    let inner = vlan_id(link)?;
    let first = lower(link, by_index)?;
    let Some(outer) = vlan_id(first) else {
        return Some((
            first,
            Vlans {
                outer: inner,
                inner: 0,
            },
        ));
    };
    let second = lower(first, by_index)?;
    // A third tag is more than the program looks at.
    vlan_id(second)
        .is_none()
        .then_some((second, Vlans { outer, inner }))
}

fn vlan_id(link: &Link) -> Option<u16> {
    link.vlan_id
        .filter(|id| *id != 0 && link.kind.as_deref() == Some("vlan"))
}

fn lower<'a>(link: &Link, by_index: &BTreeMap<u32, &'a Link>) -> Option<&'a Link> {
    let lower = by_index.get(&link.lower?).copied()?;
    (lower.mac.is_some() && lower.mac == link.mac).then_some(lower)
}

fn refusal(link: &Link, by_index: &BTreeMap<u32, &Link>) -> Option<Reason> {
    if link.loopback {
        return Some(Reason::Loopback);
    }
    if let Some(kind) = link.kind.as_deref().filter(|kind| STACKED.contains(kind)) {
        return Some(Reason::Stacked {
            kind: kind.to_owned(),
        });
    }
    if let Some(master) = link.master {
        let master = by_index
            .get(&master)
            .map_or_else(|| master.to_string(), |link| link.name.clone());
        return Some(Reason::Port { master });
    }
    if link.mac.is_none() {
        return Some(Reason::NotEthernet);
    }
    (!link.up).then_some(Reason::Down)
}

/// The directed broadcast address of an IPv4 prefix that has one (RFC 3021: not /31, nor /32).
fn broadcast(address: &Address) -> Option<Ipv4Addr> {
    let IpAddr::V4(ip) = address.ip else {
        return None;
    };
    let hosts = u32::MAX
        .checked_shr(u32::from(address.prefix_len))
        .unwrap_or(0);
    (address.prefix_len < 31).then(|| Ipv4Addr::from(u32::from(ip) | hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, name: &str, kind: Option<&str>) -> Link {
        let mut link = Link::default();
        link.index = index;
        link.name = name.into();
        link.kind = kind.map(Into::into);
        link.mac = Some([2, 0, 0, 0, 0, 1]);
        link.mtu_bytes = 1500;
        link.up = true;
        link
    }

    fn vlan(index: u32, lower: u32, id: u16) -> Link {
        with(link(index, "tagged", Some("vlan")), |link| {
            (link.lower, link.vlan_id) = (Some(lower), Some(id));
        })
    }

    fn with(mut link: Link, change: impl FnOnce(&mut Link)) -> Link {
        change(&mut link);
        link
    }

    fn address(index: u32, text: &str) -> Address {
        let (ip, len) = text.split_once('/').unwrap();
        Address {
            ifindex: index,
            ip: ip.parse().unwrap(),
            prefix_len: len.parse().unwrap(),
        }
    }

    fn key(local: &str, outer: u16, inner: u16) -> ListenKey {
        ListenKey {
            local: local.parse().unwrap(),
            vlans: Vlans { outer, inner },
        }
    }

    fn keys(target: &Target) -> BTreeSet<ListenKey> {
        target.listen.keys().copied().collect()
    }

    #[test]
    fn wildcard_stands_for_every_address_of_its_family() {
        let links = [link(2, "eth0", None), link(3, "eth1", None)];
        let addresses = [
            address(2, "192.0.2.1/24"),
            address(2, "2001:db8::1/64"),
            address(3, "198.51.100.1/25"),
        ];
        let targets = targets(&links, &addresses, &["0.0.0.0:53".parse().unwrap()]);
        assert_eq!(targets.len(), 2);
        assert_eq!(keys(&targets[&2]), [key("192.0.2.1:53", 0, 0)].into());
        assert_eq!(keys(&targets[&3]), [key("198.51.100.1:53", 0, 0)].into());
        assert_eq!(
            targets[&3].broadcast,
            ["198.51.100.127".parse().unwrap()].into()
        );
    }

    #[test]
    fn address_is_wanted_only_where_it_is() {
        let links = [link(2, "eth0", None), link(3, "eth1", None)];
        let addresses = [address(2, "192.0.2.1/24"), address(3, "198.51.100.1/24")];
        let listen =
            ["198.51.100.1:53", "198.51.100.1:5353", "203.0.113.1:53"].map(|a| a.parse().unwrap());
        let targets = targets(&links, &addresses, &listen);
        assert_eq!(targets.keys().copied().collect::<Vec<_>>(), [3]);
        assert_eq!(targets[&3].listen.len(), 2);
    }

    #[test]
    fn wildcard_names_no_interface() {
        let links = [link(2, "eth0", None), link(3, "eth1", None)];
        let addresses = [
            address(2, "192.0.2.1/24"),
            address(2, "192.0.2.2/24"),
            address(3, "198.51.100.1/24"),
        ];
        let listen = ["0.0.0.0:53", "192.0.2.1:5353"].map(|a| a.parse().unwrap());
        let targets = targets(&links, &addresses, &listen);
        assert!(targets[&2].named);
        assert!(!targets[&3].named);
    }

    /// Interfaces may share a link-local address; only one of them listens.
    #[test]
    fn scope_keeps_an_address_to_its_interface() {
        let links = [link(2, "eth0", None), link(3, "eth1", None)];
        let addresses = [address(2, "fe80::1/64"), address(3, "fe80::1/64")];
        let targets = targets(&links, &addresses, &["[fe80::1%3]:53".parse().unwrap()]);
        assert_eq!(targets.keys().copied().collect::<Vec<_>>(), [3]);
        assert_eq!(keys(&targets[&3]), [key("[fe80::1]:53", 0, 0)].into());
    }

    #[test]
    fn vlans_are_wanted_below_with_their_tags() {
        let links = [
            link(2, "eth0", None),
            vlan(3, 2, 100),
            with(vlan(4, 3, 200), |link| link.mtu_bytes = 1496),
        ];
        let addresses = [address(3, "192.0.2.1/24"), address(4, "192.0.2.2/24")];
        let targets = targets(&links, &addresses, &["0.0.0.0:53".parse().unwrap()]);
        assert_eq!(targets.len(), 1);
        assert_eq!(
            keys(&targets[&2]),
            [key("192.0.2.1:53", 100, 0), key("192.0.2.2:53", 100, 200)].into()
        );
        assert_eq!(targets[&2].mtu_bytes, 1496);
        assert_eq!(targets[&2].refusal, None);
    }

    #[test]
    fn vlan_with_a_mac_of_its_own_is_not_wanted_below() {
        let links = [
            link(2, "eth0", None),
            with(vlan(3, 2, 100), |link| link.mac = Some([2, 0, 0, 0, 0, 9])),
        ];
        let targets = targets(
            &links,
            &[address(3, "192.0.2.1/24")],
            &["0.0.0.0:53".parse().unwrap()],
        );
        assert_eq!(targets.keys().copied().collect::<Vec<_>>(), [3]);
        assert!(matches!(&targets[&3].refusal, Some(Reason::Stacked { kind }) if kind == "vlan"));
    }

    #[test]
    fn interfaces_without_queues_of_their_own_are_refused() {
        let refused = |tried: Link| {
            let links = [tried, link(7, "br0", Some("bridge"))];
            let listen = ["192.0.2.1:53".parse().unwrap()];
            targets(&links, &[address(2, "192.0.2.1/24")], &listen)
                .remove(&2)
                .unwrap()
                .refusal
        };
        let plain = || link(2, "eth0", None);
        assert_eq!(refused(plain()), None);
        assert_eq!(
            refused(with(plain(), |link| link.loopback = true)),
            Some(Reason::Loopback)
        );
        assert_eq!(
            refused(with(plain(), |link| link.up = false)),
            Some(Reason::Down)
        );
        assert_eq!(
            refused(with(plain(), |link| link.mac = None)),
            Some(Reason::NotEthernet)
        );
        let port = refused(with(plain(), |link| link.master = Some(7)));
        assert_eq!(
            port,
            Some(Reason::Port {
                master: "br0".into()
            })
        );
        for kind in STACKED {
            assert!(
                matches!(
                    refused(link(2, "x", Some(kind))),
                    Some(Reason::Stacked { .. })
                ),
                "{kind}"
            );
        }
    }

    #[test]
    fn point_to_point_prefixes_have_no_broadcast_address() {
        assert_eq!(broadcast(&address(1, "192.0.2.1/31")), None);
        assert_eq!(broadcast(&address(1, "192.0.2.1/32")), None);
        assert_eq!(
            broadcast(&address(1, "192.0.2.1/30")),
            Some("192.0.2.3".parse().unwrap())
        );
        assert_eq!(
            broadcast(&address(1, "10.0.0.1/0")),
            Some("255.255.255.255".parse().unwrap())
        );
    }
}
