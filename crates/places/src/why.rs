use crate::Kind;

/// Why packets for an address can't be taken by an XDP program, at an interface or at all: the kernel serves it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Why {
    /// Loopback has no queues that AF_XDP could use, and needs none.
    #[error("the loopback interface has no use for XDP")]
    Loopback,
    /// No MAC address.
    #[error("{interface} is not an Ethernet interface")]
    NotEthernet {
        /// The interface.
        interface: String,
    },
    /// Not up.
    #[error("{interface} is down")]
    Down {
        /// The interface.
        interface: String,
    },
    /// The address is on an interface whose packets its master takes.
    #[error("it is a port of {master}, which takes its packets")]
    Port {
        /// The bridge, bond, VRF...
        master: String,
    },
    /// An interface of this kind has no queues that AF_XDP could use.
    #[error(
        "packets of a {kind} interface come in by the interfaces below it, and generic mode is not used on it (an address of \
         such an interface, or of a veth, can have the fast path)"
    )]
    Stacked {
        /// What it is.
        kind: Kind,
    },
    /// No interface below.
    #[error("{interface} has no members")]
    NoMembers {
        /// The bond or bridge.
        interface: String,
    },
    /// A bridge whose ports all lead to other parts of this machine.
    #[error("no port of the bridge {bridge} leads out of this machine")]
    NoUplink {
        /// The bridge.
        bridge: String,
    },
    /// A bond that hands out packets in a way of its own.
    #[error(
        "the bond {bond} is of mode {mode}; members are used in balance-rr, active-backup, balance-xor and 802.3ad"
    )]
    BondMode {
        /// The bond.
        bond: String,
        /// `BOND_MODE_*`, by name.
        mode: &'static str,
    },
    /// The member of a bond that only stands by.
    #[error("it is a backup of {bond}")]
    Backup {
        /// The bond.
        bond: String,
    },
    /// The spanning tree keeps the port closed.
    #[error("{bridge} keeps this port closed (spanning tree)")]
    Blocked {
        /// The bridge.
        bridge: String,
    },
    /// The bridge sorts packets by VLAN.
    #[error("{bridge} filters VLANs, and its packets can't be told from others at {port}")]
    VlanFilter {
        /// The bridge.
        bridge: String,
        /// The port.
        port: String,
    },
    /// The lower interface is in another network namespace.
    #[error("the interface below {interface} is in another network namespace")]
    LowerElsewhere {
        /// The interface above.
        interface: String,
    },
    /// More than two tags, or one without an identifier.
    #[error("{interface} stands on more VLAN tags than the program reads (two)")]
    Tags {
        /// The interface.
        interface: String,
    },
    /// Another VLAN interface takes the packets before they get to where they are wanted.
    #[error("packets with its VLAN tag are taken by {by}")]
    TagTaken {
        /// That interface.
        by: String,
    },
    /// The hardware takes the tag off.
    #[error("{interface} takes VLAN tags off before an XDP program sees the packet; to change that: {}", command(.interface, *.service))]
    TagsStripped {
        /// The interface.
        interface: String,
        /// Whether it is 802.1ad's tag.
        service: bool,
    },
    /// What has a card for a port and is neither bond nor bridge: a paravirtual interface with a virtual function.
    #[error(
        "its packets come in by {card}, whose master it is (as with accelerated networking on Azure)"
    )]
    Accelerated {
        /// That card.
        card: String,
    },
    /// Interfaces on interfaces without an end.
    #[error("{interface} stands on too many others")]
    TooDeep {
        /// Where the walk ended.
        interface: String,
    },
}

impl Why {
    /// The command that would bring the fast path, if there is one.
    pub fn command(&self) -> Option<String> {
        match self {
            Self::TagsStripped { interface, service } => Some(command(interface, *service)),
            Self::Down { interface } => Some(format!("ip link set {interface} up")),
            _ => None,
        }
    }

    /// Whether it may pass without anybody doing anything: the interface is made ready, and waits.
    pub const fn is_passing(&self) -> bool {
        matches!(
            self,
            Self::Down { .. } | Self::Backup { .. } | Self::Blocked { .. }
        )
    }
}

fn command(interface: &str, service: bool) -> String {
    if service {
        format!("ethtool -K {interface} rx-vlan-stag-hw-parse off")
    } else {
        format!("ethtool -K {interface} rxvlan off")
    }
}
