use std::collections::{BTreeMap, BTreeSet};

use sluicegate_bpf::Tag;
use sluicegate_xsk::nic::{Address, Link, NicError, Offloads, addresses, links};

use crate::Kind;

/// What there is in a network namespace: interfaces, what they are built on, their addresses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Topology {
    /// In the order of their numbers.
    links: Vec<Link>,
    addresses: Vec<Address>,
    /// Of those that VLANs stand on; others are not asked.
    offloads: BTreeMap<u32, Offloads>,
}

/// VLANs, bonds and bridges on each other; more are not followed.
pub(crate) const MAX_DEPTH: usize = 8;

impl Topology {
    /// Asks the kernel about the calling thread's network namespace. Needs no privileges.
    ///
    /// # Errors
    /// What rtnetlink said.
    pub fn read() -> Result<Self, NicError> {
        let mut topology = Self::new(links()?, addresses()?);
        for index in topology.below_vlans() {
            // One that is gone meanwhile, or doesn't tell, is taken as it is.
            if let Ok(Some(offloads)) = Offloads::of(index) {
                topology.offloads.insert(index, offloads);
            }
        }
        Ok(topology)
    }

    /// A topology of these interfaces and addresses.
    pub fn new(mut links: Vec<Link>, addresses: Vec<Address>) -> Self {
        links.sort_unstable_by_key(|link| link.index);
        Self {
            links,
            addresses,
            offloads: BTreeMap::new(),
        }
    }

    /// The same, with what is known of one interface's offloads.
    #[must_use]
    pub fn with_offloads(mut self, ifindex: u32, offloads: Offloads) -> Self {
        self.offloads.insert(ifindex, offloads);
        self
    }

    /// All interfaces, in the order of their numbers.
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The interface of a number.
    pub fn link(&self, index: u32) -> Option<&Link> {
        let found = self.links.binary_search_by_key(&index, |link| link.index);
        found.ok().map(|at| &self.links[at])
    }

    /// All addresses.
    pub fn addresses(&self) -> &[Address] {
        &self.addresses
    }

    /// The name of an interface, or its number if there is no such interface.
    pub fn name(&self, index: u32) -> String {
        self.link(index)
            .map_or_else(|| index.to_string(), |link| link.name.clone())
    }

    /// Whether the hardware takes tags of this protocol off before a program sees the packet; `false` if it
    /// doesn't tell.
    pub(crate) fn strips(&self, index: u32, protocol: u16) -> bool {
        let name = if protocol == Tag::SERVICE {
            Offloads::RX_SERVICE_VLAN
        } else {
            Offloads::RX_VLAN
        };
        self.offloads
            .get(&index)
            .is_some_and(|offloads| offloads.is_active(name))
    }

    /// A protocol of this machine's VLANs whose tags an interface takes off. A veth says "on" whatever its other end
    /// does, which alone decides.
    pub(crate) fn stripped(&self, index: u32) -> Option<u16> {
        let link = self.link(index)?;
        let vlans = self
            .links
            .iter()
            .filter(|link| Kind::of(link) == Kind::Vlan);
        vlans
            .map(|vlan| vlan.vlan_protocol.unwrap_or(Tag::CUSTOMER))
            .find(|protocol| Kind::of(link) != Kind::Veth && self.strips(index, *protocol))
    }

    /// Members of a bond, ports of a bridge.
    pub(crate) fn ports(&self, master: u32) -> impl Iterator<Item = &Link> {
        self.links
            .iter()
            .filter(move |link| link.master == Some(master))
    }

    /// The VLAN interface that takes packets with this tag away from an interface.
    pub(crate) fn vlan_on(&self, lower: u32, tag: Tag) -> Option<&Link> {
        let is_it = |link: &&Link| {
            let protocol = link.vlan_protocol.unwrap_or(Tag::CUSTOMER);
            let own = link.vlan_id.map(|id| Tag::of(protocol, id));
            link.lower == Some(lower) && own == Some(tag)
        };
        self.links.iter().filter(|_| !tag.is_none()).find(is_it)
    }

    /// Interfaces at the bottom that packets with tags of a VLAN here may come in by.
    fn below_vlans(&self) -> BTreeSet<u32> {
        let is_vlan = |link: &&Link| Kind::of(link) == Kind::Vlan;
        let mut level: BTreeSet<u32> = self
            .links
            .iter()
            .filter(is_vlan)
            .filter_map(|link| link.lower)
            .collect();
        let mut bottom = BTreeSet::new();
        for _ in 0..MAX_DEPTH {
            let mut next = BTreeSet::new();
            for link in level.iter().filter_map(|index| self.link(*index)) {
                match Kind::of(link) {
                    Kind::Vlan => next.extend(link.lower),
                    Kind::Bond | Kind::Bridge => {
                        next.extend(self.ports(link.index).map(|port| port.index));
                    }
                    _ => drop(bottom.insert(link.index)),
                }
            }
            level = next;
        }
        bottom
    }
}
