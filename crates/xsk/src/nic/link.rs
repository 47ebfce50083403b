use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::link_info;
use super::message::{attributes, read_text, read_u16, read_u32};
use super::query::{Ask, NicError, Query};

/// A network interface, as rtnetlink tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts, as the kernel tells them"
)]
pub struct Link {
    /// Its number, unique in its network namespace.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its other names.
    pub altnames: Vec<String>,
    /// Its Ethernet address, if it has one.
    pub mac: Option<[u8; 6]>,
    /// The largest packet without Ethernet header, in bytes.
    pub mtu_bytes: u32,
    /// Whether it is set up (`IFF_UP`).
    pub up: bool,
    /// Whether it can carry packets now (`IFF_RUNNING`).
    pub running: bool,
    /// Whether the device itself has a link (`IFF_LOWER_UP`), which is known at once.
    pub carrier: bool,
    /// Whether it is a loopback interface.
    pub loopback: bool,
    /// What made it: `veth`, `vlan`, `bridge`, `bond`...; nothing for hardware.
    pub kind: Option<String>,
    /// The interface below, for a VLAN or macvlan; in this namespace.
    pub lower: Option<u32>,
    /// The bridge, bond or VRF that it belongs to.
    pub master: Option<u32>,
    /// Whether the interface below is in another network namespace.
    pub lower_elsewhere: bool,
    /// The VLAN identifier, if it is a VLAN interface.
    pub vlan_id: Option<u16>,
    /// The tag that a VLAN interface's packets carry below: 0x8100 (802.1Q) or 0x88a8 (802.1ad).
    pub vlan_protocol: Option<u16>,
    /// How a bond spreads its packets: `BOND_MODE_*` of `linux/if_bonding.h`.
    pub bond_mode: Option<u8>,
    /// Whether a bridge sorts its packets by VLAN (`vlan_filtering`).
    pub vlan_filtering: bool,
    /// What it is to its master.
    pub port: Option<Port>,
    /// Whether its bond, if it belongs to one, takes its link to be up: after `miimon` and `updelay`.
    pub bond_link_up: bool,
    /// What is special about a TUN or TAP interface.
    pub tap: Option<Tap>,
    /// The bus of its device, such as `pci` or `virtio`; nothing for software, and before Linux 5.14.
    pub bus: Option<String>,
    /// RX queues that it was made with, which may be more than are in use.
    pub rx_queues_made: u32,
    /// The XDP program on it, if there is one.
    pub xdp: Option<Attached>,
}

/// What an interface is to its master, as far as that decides whose its packets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Port {
    /// A member of a bond.
    Bond {
        /// Whether it carries the bond's packets now; backups don't.
        active: bool,
    },
    /// A port of a bridge.
    Bridge {
        /// Whether the spanning tree lets packets through it.
        forwarding: bool,
    },
    /// Of something else: a VRF, a team...
    Other,
}

/// A TUN or TAP interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tap {
    /// Whether it carries Ethernet frames (TAP).
    pub ethernet: bool,
    /// Queues that a process holds now.
    pub queues: u32,
}

/// An XDP program on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attached {
    /// The program's number.
    pub program_id: u32,
    /// Where it runs.
    pub mode: AttachedMode,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachedMode {
    /// In the driver.
    Native,
    /// In the kernel's generic hook.
    Generic,
    /// On the device.
    Hardware,
    /// Several programs, one in each of several places.
    Several,
}

impl fmt::Display for AttachedMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Hardware => "on the device",
            Self::Several => "several",
        })
    }
}

/// An address of an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// The interface.
    pub ifindex: u32,
    /// The address of this host.
    pub ip: IpAddr,
    /// The length of its prefix in bits.
    pub prefix_len: u8,
}

// linux/rtnetlink.h, linux/if_link.h, linux/if_addr.h
const RTM_GETLINK: u16 = 18;
const RTM_GETADDR: u16 = 22;
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_NUM_RX_QUEUES: u16 = 32;
const IFLA_LINK_NETNSID: u16 = 37;
const IFLA_XDP: u16 = 43;
const IFLA_PARENT_DEV_BUS_NAME: u16 = 57;
const IFLA_PROP_LIST: u16 = 52;
const IFLA_ALT_IFNAME: u16 = 53;
const IFLA_XDP_ATTACHED: u16 = 2;
const IFLA_XDP_PROG_ID: u16 = 4;
const IFLA_XDP_PROG_IDS: [u16; 3] = [5, 6, 7];
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
/// `RTEXT_FILTER_SKIP_STATS`: without counters the answers are half as long.
const SKIP_STATISTICS: u32 = 1 << 3;
const IFF_UP: u32 = 1;
const IFF_LOOPBACK: u32 = 8;
const IFF_RUNNING: u32 = 0x40;
const IFF_LOWER_UP: u32 = 1 << 16;
const ARPHRD_ETHER: u16 = 1;
/// `struct ifinfomsg` and `struct ifaddrmsg`.
const LINK_HEADER_BYTES: usize = 16;
const ADDRESS_HEADER_BYTES: usize = 8;

/// All interfaces of this network namespace.
///
/// # Errors
/// [`NicError::Os`].
pub fn links() -> Result<Vec<Link>, NicError> {
    let ask = Ask {
        kind: RTM_GETLINK,
        header: &[0; LINK_HEADER_BYTES],
        attributes: &[(IFLA_EXT_MASK, &SKIP_STATISTICS.to_ne_bytes())],
    };
    Query::open(libc::NETLINK_ROUTE, "RTM_GETLINK")?.dump(ask, parse_link)
}

/// All addresses of all interfaces of this network namespace.
///
/// # Errors
/// [`NicError::Os`].
pub fn addresses() -> Result<Vec<Address>, NicError> {
    let ask = Ask {
        kind: RTM_GETADDR,
        header: &[0; ADDRESS_HEADER_BYTES],
        attributes: &[],
    };
    Query::open(libc::NETLINK_ROUTE, "RTM_GETADDR")?.dump(ask, parse_address)
}

/// The interface of a name or alternative name.
pub(super) fn link_by_name(name: &str) -> Result<Link, NicError> {
    // The kernel's own names are at most 15 bytes; it looks for a longer one among the alternative names only if asked
    // with the attribute for these, which also finds ordinary names.
    const NAME_BYTES: usize = 127;
    if name.is_empty() || name.len() > NAME_BYTES || name.contains('\0') {
        return Err(not_found(name));
    }
    let mut text = name.as_bytes().to_vec();
    text.push(0);
    find(&[0; LINK_HEADER_BYTES], &[(IFLA_ALT_IFNAME, &text)], name)
}

/// The interface of a number.
pub(super) fn link_by_index(index: u32) -> Result<Link, NicError> {
    let mut header = [0; LINK_HEADER_BYTES];
    header[4..8].copy_from_slice(&index.to_ne_bytes());
    find(&header, &[], &index.to_string())
}

fn find(header: &[u8], attributes: &[(u16, &[u8])], name: &str) -> Result<Link, NicError> {
    let mut query = Query::open(libc::NETLINK_ROUTE, "RTM_GETLINK")?;
    let ask = Ask {
        kind: RTM_GETLINK,
        header,
        attributes,
    };
    query
        .get(ask, parse_link)
        .map_err(|errno| match errno.number() {
            libc::ENODEV | libc::EINVAL => not_found(name),
            _ => NicError::Os {
                call: "RTM_GETLINK",
                errno,
            },
        })
}

fn not_found(name: &str) -> NicError {
    NicError::NotFound {
        name: name.to_owned(),
    }
}

fn parse_link(payload: &[u8]) -> Option<Link> {
    let hardware_type = read_u16(payload.get(2..)?)?;
    let flags = read_u32(payload.get(8..)?)?;
    let mut link = Link {
        index: read_u32(payload.get(4..)?)?,
        up: flags & IFF_UP != 0,
        running: flags & IFF_RUNNING != 0,
        carrier: flags & IFF_LOWER_UP != 0,
        loopback: flags & IFF_LOOPBACK != 0,
        ..Link::default()
    };
    for (kind, value) in attributes(payload.get(LINK_HEADER_BYTES..)?) {
        match kind {
            IFLA_ADDRESS if hardware_type == ARPHRD_ETHER => link.mac = value.try_into().ok(),
            IFLA_IFNAME => link.name = read_text(value),
            IFLA_MTU => link.mtu_bytes = read_u32(value)?,
            IFLA_LINK => link.lower = read_u32(value).filter(|&lower| lower != 0),
            IFLA_LINK_NETNSID => link.lower_elsewhere = true,
            IFLA_MASTER => link.master = read_u32(value),
            IFLA_NUM_RX_QUEUES => link.rx_queues_made = read_u32(value)?,
            IFLA_LINKINFO => link_info::parse(value, &mut link),
            IFLA_XDP => link.xdp = parse_xdp(value),
            IFLA_PARENT_DEV_BUS_NAME => link.bus = Some(read_text(value)),
            IFLA_PROP_LIST => link.altnames = parse_altnames(value),
            _ => {}
        }
    }
    // A veth names its other end here, which is beside it and not below.
    let beside = link.kind.as_deref() == Some("veth");
    if link.lower_elsewhere || link.lower == Some(link.index) || beside {
        link.lower = None;
    }
    link.lower_elsewhere &= !beside;
    Some(link)
}

fn parse_xdp(nested: &[u8]) -> Option<Attached> {
    let mut mode = None;
    let mut program_id = None;
    let mut any_id = None;
    for (kind, value) in attributes(nested) {
        match kind {
            // XDP_ATTACHED_* of linux/if_link.h.
            IFLA_XDP_ATTACHED => {
                mode = match value.first()? {
                    0 => return None,
                    1 => Some(AttachedMode::Native),
                    2 => Some(AttachedMode::Generic),
                    3 => Some(AttachedMode::Hardware),
                    _ => Some(AttachedMode::Several),
                }
            }
            IFLA_XDP_PROG_ID => program_id = read_u32(value),
            kind if IFLA_XDP_PROG_IDS.contains(&kind) => any_id = read_u32(value),
            _ => {}
        }
    }
    Some(Attached {
        program_id: program_id.or(any_id)?,
        mode: mode?,
    })
}

fn parse_altnames(nested: &[u8]) -> Vec<String> {
    attributes(nested)
        .filter(|(kind, _)| *kind == IFLA_ALT_IFNAME)
        .map(|(_, value)| read_text(value))
        .collect()
}

fn parse_address(payload: &[u8]) -> Option<Address> {
    let (mut address, mut local) = (None, None);
    for (kind, value) in attributes(payload.get(ADDRESS_HEADER_BYTES..)?) {
        match kind {
            IFA_ADDRESS => address = parse_ip(value),
            IFA_LOCAL => local = parse_ip(value),
            _ => {}
        }
    }
    // On point-to-point interfaces IFA_ADDRESS is the peer's.
    Some(Address {
        ifindex: read_u32(payload.get(4..)?)?,
        ip: local.or(address)?,
        prefix_len: *payload.get(1)?,
    })
}

fn parse_ip(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = || {
        <[u8; 4]>::try_from(bytes)
            .ok()
            .map(|octets| Ipv4Addr::from(octets).into())
    };
    let v6 = || {
        <[u8; 16]>::try_from(bytes)
            .ok()
            .map(|octets| Ipv6Addr::from(octets).into())
    };
    v4().or_else(v6)
}
