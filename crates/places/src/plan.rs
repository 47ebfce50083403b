use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sluicegate_bpf::{ListenKey, Owner};
use sluicegate_xsk::nic::{Address, Link};

use crate::descent::spots;
use crate::{Kind, Spot, SpotState, Topology, Why};

/// Where the packets for each listen address are taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Every address that is listened on and that an interface carries, in the kernel's order.
    pub addresses: Vec<Placed>,
    /// The interfaces that programs are wanted on, by number.
    pub places: BTreeMap<u32, Place>,
}

/// An address that is listened on, on the interface that carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// Address and port.
    pub local: SocketAddr,
    /// The interface's number.
    pub ifindex: u32,
    /// The interface's name.
    pub interface: String,
    /// What the interface is.
    pub kind: Kind,
    /// Whether the address itself is listened on, not only a wildcard.
    pub named: bool,
    /// The interfaces its packets come in by; or why none can be used.
    pub spots: Result<Vec<Spot>, Why>,
}

/// An interface that a program is wanted on, and what it is to take there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The interface.
    pub link: Link,
    /// What it is.
    pub kind: Kind,
    /// What the program is to take, and the interface that has the address: this one or one above it. Packets to
    /// another MAC address than that interface's are not for us.
    pub listen: BTreeMap<ListenKey, Owner>,
    /// Directed broadcast addresses of their prefixes.
    pub broadcast: BTreeSet<Ipv4Addr>,
    /// Longest IP packet that a reply may be: the least MTU of all interfaces whose packets come in here.
    pub mtu_bytes: u32,
    /// Whether an address is listened on by itself, not by a wildcard.
    pub named: bool,
    /// Names of the interfaces whose packets come in here, its own among them if it carries addresses.
    pub serves: BTreeSet<String>,
    /// Why no program can be attached now, as far as its facts tell.
    pub refusal: Option<Why>,
}

impl Plan {
    /// The plan for these listen addresses; a wildcard stands for every address of its family.
    pub fn of(topology: &Topology, listen: &[SocketAddr]) -> Self {
        let mut plan = Self::default();
        for address in topology.addresses() {
            if let Some(link) = topology.link(address.ifindex) {
                plan.place(topology, (link, address), listen);
            }
        }
        plan
    }

    fn place(
        &mut self,
        topology: &Topology,
        (link, address): (&Link, &Address),
        listen: &[SocketAddr],
    ) {
        // Several may stand for one address and port: itself and a wildcard.
        let mut heard: BTreeMap<u16, bool> = BTreeMap::new();
        for listen in listen.iter().filter(|listen| hears(**listen, address)) {
            *heard.entry(listen.port()).or_default() |= !listen.ip().is_unspecified();
        }
        if heard.is_empty() {
            return;
        }
        let own = |other: &&Address| other.ifindex == link.index;
        let named = topology.addresses().iter().filter(own).any(|address| {
            let mut heard = listen.iter().filter(|listen| hears(**listen, address));
            heard.any(|listen| !listen.ip().is_unspecified())
        });
        let spots = spots(topology, link, named).map(|spots| {
            let spots = spots.into_iter();
            spots
                .map(|spot| spot.for_address(topology, address))
                .collect::<Vec<_>>()
        });
        for (port, named) in heard {
            let local = SocketAddr::new(address.ip, port);
            for spot in spots.iter().flatten() {
                self.want(topology, spot, (link, address), (local, named));
            }
            self.addresses.push(Placed {
                local,
                ifindex: link.index,
                interface: link.name.clone(),
                kind: Kind::of(link),
                named,
                spots: spots.clone(),
            });
        }
    }

    fn want(
        &mut self,
        topology: &Topology,
        spot: &Spot,
        (link, address): (&Link, &Address),
        (local, named): (SocketAddr, bool),
    ) {
        let Some(base) = topology
            .link(spot.ifindex)
            .filter(|_| !matches!(spot.state, SpotState::Left(_)))
        else {
            return;
        };
        let place = self
            .places
            .entry(base.index)
            .or_insert_with(|| Place::on(base));
        place.named |= named;
        place.serves.insert(link.name.clone());
        place.mtu_bytes = place.mtu_bytes.min(spot.mtu_bytes);
        place.broadcast.extend(broadcast(address));
        if let (SpotState::Taken, Some(mac)) = (&spot.state, link.mac) {
            let vlans = spot.vlans;
            let reply_ifindex = link.index;
            place
                .listen
                .insert(ListenKey { local, vlans }, Owner { mac, reply_ifindex });
        }
    }
}

impl Placed {
    /// What becomes of the address, in words; `taken` tells what holds at an interface where it can be taken.
    pub fn outcome(&self, taken: impl Fn(&Spot) -> String) -> String {
        let spots = match &self.spots {
            Ok(spots) => spots,
            Err(why) => return format!("kernel: {why}"),
        };
        let each = spots.iter().map(|spot| match &spot.state {
            SpotState::Taken => taken(spot),
            SpotState::Standby(why) => format!("{} stands by: {why}", spot.interface),
            SpotState::Left(why) => format!("kernel at {}: {why}", spot.interface),
        });
        each.collect::<Vec<_>>().join("; ")
    }

    /// Why the kernel alone serves it, whatever becomes of the interfaces below.
    pub fn refusal(&self) -> Option<&Why> {
        let spots = self.spots.as_ref().map_err(Some);
        match spots {
            Err(why) => why,
            Ok(spots) => {
                let left = |spot: &Spot| matches!(spot.state, SpotState::Left(_));
                let first = spots.first().filter(|_| spots.iter().all(left))?;
                match &first.state {
                    SpotState::Left(why) => Some(why),
                    _ => None,
                }
            }
        }
    }
}

impl Place {
    fn on(base: &Link) -> Self {
        Self {
            link: base.clone(),
            kind: Kind::of(base),
            listen: BTreeMap::new(),
            broadcast: BTreeSet::new(),
            mtu_bytes: base.mtu_bytes,
            named: false,
            serves: BTreeSet::new(),
            refusal: (!base.up).then(|| Why::Down {
                interface: base.name.clone(),
            }),
        }
    }
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

    #[test]
    fn point_to_point_prefixes_have_no_broadcast_address() {
        let of = |text: &str| {
            let (ip, len) = text.split_once('/').unwrap();
            broadcast(&Address {
                ifindex: 1,
                ip: ip.parse().unwrap(),
                prefix_len: len.parse().unwrap(),
            })
        };
        assert_eq!(of("192.0.2.1/31"), None);
        assert_eq!(of("192.0.2.1/32"), None);
        assert_eq!(of("2001:db8::1/64"), None);
        assert_eq!(of("192.0.2.1/30"), Some("192.0.2.3".parse().unwrap()));
        assert_eq!(of("10.0.0.1/0"), Some("255.255.255.255".parse().unwrap()));
    }
}
