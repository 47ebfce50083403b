use std::fmt;

use sluicegate_xsk::nic::Link;

/// What an interface is, as far as that decides where its packets can be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// `lo`.
    Loopback,
    /// A device of its own: a network card, or a virtual machine's picture of one.
    Physical,
    /// A virtio device.
    Virtio,
    /// One end of a pair.
    Veth,
    /// Ethernet frames from and to a process, often a virtual machine.
    Tap,
    /// A switch in software.
    Bridge,
    /// 802.1Q or 802.1ad on another interface.
    Vlan,
    /// Several interfaces as one.
    Bond,
    /// As a bond, kept by a process.
    Team,
    /// Another MAC address on an interface; also macvtap.
    Macvlan,
    /// Other addresses on an interface's MAC address; also ipvtap.
    Ipvlan,
    /// A routing table of its own.
    Vrf,
    /// Software that nothing ever comes in by.
    Dummy,
    /// Anything else, by the kernel's name.
    Other(String),
}

impl Kind {
    /// The kind of an interface.
    pub fn of(link: &Link) -> Self {
        if link.loopback {
            return Self::Loopback;
        }
        match link.kind.as_deref() {
            None if link.bus.as_deref() == Some("virtio") => Self::Virtio,
            None => Self::Physical,
            Some("veth") => Self::Veth,
            Some("tun") if link.tap.is_some_and(|tap| tap.ethernet) => Self::Tap,
            Some("bridge") => Self::Bridge,
            Some("vlan") => Self::Vlan,
            Some("bond") => Self::Bond,
            Some("team") => Self::Team,
            Some("macvlan" | "macvtap") => Self::Macvlan,
            Some("ipvlan" | "ipvtap") => Self::Ipvlan,
            Some("vrf") => Self::Vrf,
            Some("dummy") => Self::Dummy,
            Some(other) => Self::Other(other.to_owned()),
        }
    }

    /// Whether it leads out of this machine: a bridge's port of such a kind is an uplink.
    pub(crate) const fn is_uplink(&self) -> bool {
        matches!(
            self,
            Self::Physical | Self::Virtio | Self::Vlan | Self::Bond
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loopback => "loopback",
            Self::Physical => "physical",
            Self::Virtio => "virtio",
            Self::Veth => "veth",
            Self::Tap => "tap",
            Self::Bridge => "bridge",
            Self::Vlan => "VLAN",
            Self::Bond => "bond",
            Self::Team => "team",
            Self::Macvlan => "macvlan",
            Self::Ipvlan => "ipvlan",
            Self::Vrf => "VRF",
            Self::Dummy => "dummy",
            Self::Other(name) => name,
        })
    }
}
