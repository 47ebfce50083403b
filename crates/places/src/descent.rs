use std::net::IpAddr;

use sluicegate_bpf::{Tag, Vlans};
use sluicegate_xsk::nic::{Address, Link, Port};

use crate::topology::MAX_DEPTH;
use crate::{Kind, Topology, Why};

/// An interface that packets for an address come in by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Its number.
    pub ifindex: u32,
    /// Its name.
    pub interface: String,
    /// The tags that the packets carry there.
    pub vlans: Vlans,
    /// The longest IP packet of a reply by this way: the least MTU of all interfaces on it.
    pub mtu_bytes: u32,
    /// Whether they can be taken.
    pub state: SpotState,
}

impl Spot {
    /// Its name and, in brackets, the tags and what else there is to say.
    pub fn with(&self, more: &str) -> String {
        let Vlans { outer, inner } = self.vlans;
        let tags = match (outer.is_none(), inner.is_none()) {
            (true, _) => String::new(),
            (false, true) => format!("VLAN {outer}"),
            (false, false) => format!("VLAN {inner} in {outer}"),
        };
        let words: Vec<&str> = [tags.as_str(), more]
            .into_iter()
            .filter(|words| !words.is_empty())
            .collect();
        if words.is_empty() {
            self.interface.clone()
        } else {
            format!("{} ({})", self.interface, words.join(", "))
        }
    }

    /// The same for one address. Where hardware takes tags off, a VLAN's packets look like others': what is for an
    /// address that the VLAN may have too is the kernel's, which knows the tag.
    pub(crate) fn for_address(self, topology: &Topology, address: &Address) -> Self {
        let Some(protocol) = topology.stripped(self.ifindex) else {
            return self;
        };
        if self.state != SpotState::Taken || !may_be_elsewhere(topology, address) {
            return self;
        }
        let state = SpotState::Standby(tags_stripped(&self.interface, protocol));
        Self { state, ..self }
    }
}

/// Whether packets can be taken at an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpotState {
    /// Yes.
    Taken,
    /// Not now: all is made ready, and the kernel serves until then.
    Standby(Why),
    /// No: the kernel serves.
    Left(Why),
}

/// The way from an interface with an address down to those that its packets come in by.
#[derive(Clone)]
struct Way {
    vlans: Vlans,
    mtu_bytes: u32,
    standby: Option<Why>,
    depth: usize,
    /// Whether an address at the top is listened on by itself, not by a wildcard.
    named: bool,
}

const BOND_MODES: [&str; 7] = [
    "balance-rr",
    "active-backup",
    "balance-xor",
    "broadcast",
    "802.3ad",
    "balance-tlb",
    "balance-alb",
];
/// In these a packet for the bond comes in by one member, to the bond's MAC address, and a reply may leave there.
const USABLE_BOND_MODES: [u8; 4] = [0, 1, 2, 4];

/// Where packets for an address on `link` come in; `named` is whether one of its addresses is listened on by itself.
///
/// # Errors
/// Why nowhere.
pub(crate) fn spots(topology: &Topology, link: &Link, named: bool) -> Result<Vec<Spot>, Why> {
    // Packets of a VRF's ports go to it and those of other masters' ports to these, but the VLAN's own.
    if let Some(master) = link.master {
        return Err(Why::Port {
            master: topology.name(master),
        });
    }
    let way = Way {
        vlans: Vlans::default(),
        mtu_bytes: link.mtu_bytes,
        standby: None,
        depth: 0,
        named,
    };
    descend(topology, link, way)
}

fn descend(topology: &Topology, link: &Link, mut way: Way) -> Result<Vec<Spot>, Why> {
    way.depth += 1;
    way.mtu_bytes = way.mtu_bytes.min(link.mtu_bytes);
    let interface = || link.name.clone();
    if way.depth > MAX_DEPTH {
        return Err(Why::TooDeep {
            interface: interface(),
        });
    }
    let kind = Kind::of(link);
    match kind {
        Kind::Loopback => Err(Why::Loopback),
        Kind::Vlan => below_vlan(topology, link, way),
        Kind::Bond => below_bond(topology, link, way),
        Kind::Bridge => below_bridge(topology, link, way),
        Kind::Team | Kind::Macvlan | Kind::Ipvlan | Kind::Vrf | Kind::Dummy => {
            Err(Why::Stacked { kind })
        }
        Kind::Physical | Kind::Virtio | Kind::Veth | Kind::Tap | Kind::Other(_) => {
            if link.mac.is_none() {
                return Err(Why::NotEthernet {
                    interface: interface(),
                });
            }
            // Neither bond nor bridge, and yet a card hangs on it: netvsc on Hyper-V with its virtual function. As with a
            // bond, its queues are not those that packets come in by.
            if let Some(card) = topology.ports(link.index).next() {
                return Err(Why::Accelerated {
                    card: card.name.clone(),
                });
            }
            Ok(vec![spot(topology, link, &kind, way)])
        }
    }
}

/// The interface at the bottom.
fn spot(topology: &Topology, link: &Link, kind: &Kind, way: Way) -> Spot {
    let tagged = way.vlans != Vlans::default();
    // A veth says "on" whatever its other end does, which alone decides.
    let tells = *kind != Kind::Veth;
    let state = if tagged && tells && topology.strips(link.index, way.vlans.outer.protocol()) {
        SpotState::Left(tags_stripped(&link.name, way.vlans.outer.protocol()))
    } else {
        way.standby.map_or(SpotState::Taken, SpotState::Standby)
    };
    Spot {
        ifindex: link.index,
        interface: link.name.clone(),
        vlans: way.vlans,
        mtu_bytes: way.mtu_bytes,
        state,
    }
}

fn tags_stripped(interface: &str, protocol: u16) -> Why {
    Why::TagsStripped {
        interface: interface.to_owned(),
        service: protocol == Tag::SERVICE,
    }
}

/// Whether another interface may have the address: link-local ones are made of the MAC address, which VLANs share.
fn may_be_elsewhere(topology: &Topology, address: &Address) -> bool {
    let link_local = match address.ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let mut all = topology.addresses().iter();
    link_local || all.any(|other| other.ip == address.ip && other.ifindex != address.ifindex)
}

fn below_vlan(topology: &Topology, link: &Link, mut way: Way) -> Result<Vec<Spot>, Why> {
    let tags = || Why::Tags {
        interface: link.name.clone(),
    };
    // The priority tag of VLAN 0 is the kernel's.
    let id = link.vlan_id.filter(|id| *id != 0).ok_or_else(tags)?;
    if !way.vlans.inner.is_none() {
        return Err(tags());
    }
    way.vlans = Vlans {
        outer: Tag::of(link.vlan_protocol.unwrap_or(Tag::CUSTOMER), id),
        inner: way.vlans.outer,
    };
    way.rest_if_down(link);
    let lower = link.lower.and_then(|lower| topology.link(lower));
    let lower = lower.ok_or_else(|| Why::LowerElsewhere {
        interface: link.name.clone(),
    })?;
    descend(topology, lower, way)
}

fn below_bond(topology: &Topology, bond: &Link, mut way: Way) -> Result<Vec<Spot>, Why> {
    let mode = bond.bond_mode.unwrap_or(u8::MAX);
    if !USABLE_BOND_MODES.contains(&mode) {
        return Err(Why::BondMode {
            bond: bond.name.clone(),
            mode: BOND_MODES.get(usize::from(mode)).unwrap_or(&"unknown"),
        });
    }
    way.rest_if_down(bond);
    below_all(
        topology,
        bond,
        topology.ports(bond.index).collect(),
        |member| {
            let mut way = way.clone();
            if !matches!(member.port, Some(Port::Bond { active: true })) {
                way.standby.get_or_insert(Why::Backup {
                    bond: bond.name.clone(),
                });
            }
            Ok(way)
        },
    )
}

fn below_bridge(topology: &Topology, bridge: &Link, mut way: Way) -> Result<Vec<Spot>, Why> {
    way.rest_if_down(bridge);
    let all: Vec<&Link> = topology.ports(bridge.index).collect();
    let uplinks: Vec<&Link> = all
        .iter()
        .copied()
        .filter(|port| Kind::of(port).is_uplink())
        .collect();
    // Where there is only one, it is the way out, whatever it is; but it may also be the only guest's, which nobody
    // who listens everywhere means.
    let guest = |port: &&Link| matches!(Kind::of(port), Kind::Veth | Kind::Tap);
    let only = all.len() == 1 && (way.named || !all.iter().any(guest));
    let ports = if only { all } else { uplinks };
    if ports.is_empty() && topology.ports(bridge.index).next().is_some() {
        return Err(Why::NoUplink {
            bridge: bridge.name.clone(),
        });
    }
    below_all(topology, bridge, ports, |port| {
        if bridge.vlan_filtering {
            return Err(Why::VlanFilter {
                bridge: bridge.name.clone(),
                port: port.name.clone(),
            });
        }
        let mut way = way.clone();
        if !matches!(port.port, Some(Port::Bridge { forwarding: true })) {
            way.standby.get_or_insert(Why::Blocked {
                bridge: bridge.name.clone(),
            });
        }
        Ok(way)
    })
}

/// Goes on by each port of a bond or bridge. One that leads nowhere does not stand in the others' way.
fn below_all(
    topology: &Topology,
    master: &Link,
    ports: Vec<&Link>,
    way_by: impl Fn(&Link) -> Result<Way, Why>,
) -> Result<Vec<Spot>, Why> {
    if ports.is_empty() {
        return Err(Why::NoMembers {
            interface: master.name.clone(),
        });
    }
    let mut spots = Vec::new();
    for port in ports {
        let found = way_by(port).and_then(|way| {
            // The kernel gives tagged packets to a VLAN interface of the port's own before the master sees them.
            if let Some(by) = topology.vlan_on(port.index, way.vlans.outer) {
                return Err(Why::TagTaken {
                    by: by.name.clone(),
                });
            }
            descend(topology, port, way)
        });
        match found {
            Ok(found) => spots.extend(found),
            Err(why) => spots.push(Spot {
                ifindex: port.index,
                interface: port.name.clone(),
                vlans: Vlans::default(),
                mtu_bytes: port.mtu_bytes,
                state: SpotState::Left(why),
            }),
        }
    }
    Ok(spots)
}

impl Way {
    /// What is set down above gets no packets, though they come in below.
    fn rest_if_down(&mut self, link: &Link) {
        if !link.up {
            self.standby.get_or_insert(Why::Down {
                interface: link.name.clone(),
            });
        }
    }
}
