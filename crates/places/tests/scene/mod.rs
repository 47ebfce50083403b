//! Topologies by name.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use sluicegate_bpf::{ListenKey, Tag, Vlans};
use sluicegate_places::{Place, Plan, SpotState, Topology, Why};
use sluicegate_xsk::nic::{Address, Link, Offloads, Port, Tap};

/// A machine in the making.
#[derive(Default)]
pub(crate) struct Scene {
    links: Vec<Link>,
    addresses: Vec<Address>,
    offloads: Vec<(u32, Offloads)>,
}

/// A scene and its plan.
pub(crate) struct Planned {
    scene: Scene,
    plan: Plan,
}

impl Scene {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn nic(self, name: &str) -> Self {
        self.add(name, |link| link.bus = Some("pci".into()))
    }

    pub(crate) fn virtio(self, name: &str) -> Self {
        self.add(name, |link| link.bus = Some("virtio".into()))
    }

    pub(crate) fn loopback(self) -> Self {
        self.add("lo", |link| (link.loopback, link.mac) = (true, None))
    }

    pub(crate) fn of_kind(self, name: &str, kind: &str) -> Self {
        self.add(name, |link| link.kind = Some(kind.into()))
    }

    pub(crate) fn tap(self, name: &str) -> Self {
        self.of_kind(name, "tun").with(name, |link| {
            let ethernet = true;
            link.tap = Some(Tap {
                ethernet,
                queues: 1,
            });
        })
    }

    /// Has the MAC address of the interface below.
    pub(crate) fn vlan(self, name: &str, lower: &str, id: u16) -> Self {
        let below = self.link(lower).clone();
        self.of_kind(name, "vlan").with(name, |link| {
            (link.lower, link.vlan_id) = (Some(below.index), Some(id));
            (link.vlan_protocol, link.mac) = (Some(0x8100), below.mac);
        })
    }

    /// Its members have its MAC address.
    pub(crate) fn bond(self, name: &str, mode: u8, members: &[&str]) -> Self {
        let scene = self
            .of_kind(name, "bond")
            .with(name, |link| link.bond_mode = Some(mode));
        let mac = scene.link(name).mac;
        members.iter().fold(scene, |scene, member| {
            scene
                .master(member, name)
                .with(member, |link| link.mac = mac)
        })
    }

    pub(crate) fn bridge(self, name: &str, ports: &[&str]) -> Self {
        let scene = self.of_kind(name, "bridge");
        ports
            .iter()
            .fold(scene, |scene, port| scene.master(port, name))
    }

    pub(crate) fn master(self, port: &str, master: &str) -> Self {
        let above = self.link(master).clone();
        self.with(port, |link| {
            link.master = Some(above.index);
            link.port = Some(match above.kind.as_deref() {
                Some("bond") => Port::Bond { active: true },
                Some("bridge") => Port::Bridge { forwarding: true },
                _ => Port::Other,
            });
        })
    }

    pub(crate) fn backup(self, member: &str) -> Self {
        self.with(member, |link| {
            link.port = Some(Port::Bond { active: false });
        })
    }

    pub(crate) fn blocked(self, port: &str) -> Self {
        self.with(port, |link| {
            link.port = Some(Port::Bridge { forwarding: false });
        })
    }

    pub(crate) fn without(mut self, name: &str) -> Self {
        let index = self.index(name);
        self.links.retain(|link| link.index != index);
        self.addresses.retain(|address| address.ifindex != index);
        self
    }

    pub(crate) fn with(mut self, name: &str, change: impl FnOnce(&mut Link)) -> Self {
        let link = self.links.iter_mut().find(|link| link.name == name);
        change(link.expect("the scene has it"));
        self
    }

    pub(crate) fn offload(mut self, name: &str, offload: &str) -> Self {
        let index = self.index(name);
        self.offloads
            .push((index, Offloads::with_active([offload])));
        self
    }

    pub(crate) fn address(mut self, name: &str, text: &str) -> Self {
        let (ip, len) = text.split_once('/').expect("a prefix length");
        self.addresses.push(Address {
            ifindex: self.index(name),
            ip: ip.parse().expect("an address"),
            prefix_len: len.parse().expect("a length"),
        });
        self
    }

    pub(crate) fn index(&self, name: &str) -> u32 {
        self.link(name).index
    }

    pub(crate) fn plan(self, listen: &[&str]) -> Planned {
        let listen: Vec<SocketAddr> = listen
            .iter()
            .map(|listen| listen.parse().expect("an address and port"))
            .collect();
        let topology = Topology::new(self.links.clone(), self.addresses.clone());
        let topology = self
            .offloads
            .iter()
            .fold(topology, |topology, (index, offloads)| {
                topology.with_offloads(*index, offloads.clone())
            });
        let plan = Plan::of(&topology, &listen);
        Planned { scene: self, plan }
    }

    fn link(&self, name: &str) -> &Link {
        let link = self.links.iter().find(|link| link.name == name);
        link.expect("the scene has it")
    }

    fn add(mut self, name: &str, change: impl FnOnce(&mut Link)) -> Self {
        let index = self.links.iter().map(|link| link.index).max().unwrap_or(0) + 1;
        let mut link = Link::default();
        (link.index, link.name) = (index, name.to_owned());
        link.mac = Some([2, 0, 0, 0, 0, index as u8]);
        (link.mtu_bytes, link.up, link.running) = (1500, true, true);
        change(&mut link);
        self.links.push(link);
        self
    }
}

impl Planned {
    pub(crate) fn is_empty(&self) -> bool {
        self.plan.places.is_empty()
    }

    /// The interfaces with a program, in the order of their numbers.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.plan
            .places
            .values()
            .map(|place| place.link.name.as_str())
            .collect()
    }

    pub(crate) fn place(&self, name: &str) -> &Place {
        &self.plan.places[&self.scene.index(name)]
    }

    /// What is taken at an interface.
    pub(crate) fn keys(&self, name: &str) -> BTreeSet<ListenKey> {
        self.place(name).listen.keys().copied().collect()
    }

    /// The MAC addresses that it is taken for.
    pub(crate) fn macs(&self, name: &str) -> BTreeSet<[u8; 6]> {
        self.place(name)
            .listen
            .values()
            .map(|owner| owner.mac)
            .collect()
    }

    pub(crate) fn mac(&self, name: &str) -> [u8; 6] {
        self.scene.link(name).mac.expect("a MAC address")
    }

    /// What becomes of the address at each interface that its packets come in by.
    pub(crate) fn said(&self, local: &str) -> Vec<(&str, SpotState)> {
        let spots = self.placed(local).as_ref().expect("there are spots");
        spots
            .iter()
            .map(|spot| (spot.interface.as_str(), spot.state.clone()))
            .collect()
    }

    /// Why the address is not taken anywhere.
    pub(crate) fn why(&self, local: &str) -> Why {
        self.placed(local).clone().expect_err("nowhere to take it")
    }

    fn placed(&self, local: &str) -> &Result<Vec<sluicegate_places::Spot>, Why> {
        let local: SocketAddr = local.parse().expect("an address and port");
        let mut all = self.plan.addresses.iter();
        let placed = all.find(|placed| placed.local == local);
        &placed.expect("the address is listened on").spots
    }
}

/// An untagged place.
pub(crate) fn key(local: &str) -> ListenKey {
    tagged(local, 0, 0)
}

/// A place behind tags of 802.1Q; 0 is none.
pub(crate) fn tagged(local: &str, outer: u16, inner: u16) -> ListenKey {
    in_vlans(local, Tag::customer(outer), Tag::customer(inner))
}

pub(crate) fn in_vlans(local: &str, outer: Tag, inner: Tag) -> ListenKey {
    ListenKey {
        local: local.parse().expect("an address and port"),
        vlans: Vlans { outer, inner },
    }
}
