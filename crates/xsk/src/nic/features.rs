use super::message::{attributes, read_u32, read_u64};
use super::query::{Ask, Query};

/// What a driver says it can do with XDP: `enum netdev_xdp_act` of `linux/netdev.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the kernel's own list of independent features"
)]
pub struct XdpFeatures {
    /// Programs run in the driver.
    pub basic: bool,
    /// They may redirect.
    pub redirect: bool,
    /// Packets may be redirected to this interface.
    pub ndo_xmit: bool,
    /// AF_XDP zero-copy.
    pub zero_copy: bool,
    /// Programs run on the device.
    pub hardware: bool,
    /// Packets in several pieces can be received.
    pub rx_sg: bool,
    /// Packets in several pieces can be redirected to this interface.
    pub tx_sg: bool,
    /// The most pieces of a zero-copy packet; 0 if unknown.
    pub zero_copy_max_segments: u32,
}

const NETDEV_CMD_DEV_GET: u8 = 1;
const NETDEV_A_DEV_IFINDEX: u16 = 1;
const NETDEV_A_DEV_XDP_FEATURES: u16 = 3;
const NETDEV_A_DEV_XDP_ZC_MAX_SEGS: u16 = 4;
/// `struct genlmsghdr`: command, version, 2 reserved bytes.
const GENL_HEADER_BYTES: usize = 4;

/// The first kernel on which a driver's zero-copy can be trusted, as numbers of its release; `None`: nothing is reported
/// against it.
///
/// ice: the kernel panics, or the NIC is dead afterwards, before 6.10.4 (Knot DNS's manual; ethernet-linux-ice 58, 59, 61).
/// Reports of others: none of it was seen here.
pub fn zero_copy_sound_since(driver: &str) -> Option<[u32; 3]> {
    (driver == "ice").then_some([6, 10, 4])
}

/// The features of an interface; `None` if this kernel doesn't tell (before 6.3).
pub(super) fn features(ifindex: u32) -> Option<XdpFeatures> {
    let mut query = Query::open(libc::NETLINK_GENERIC, "netdev family").ok()?;
    let id = query.family("netdev").ok()?;
    let device = Ask {
        kind: id,
        header: &[NETDEV_CMD_DEV_GET, 1, 0, 0],
        attributes: &[(NETDEV_A_DEV_IFINDEX, &ifindex.to_ne_bytes())],
    };
    query.get(device, parse_device).ok()
}

fn parse_device(payload: &[u8]) -> Option<XdpFeatures> {
    let mut bits = 0;
    let mut zero_copy_max_segments = 0;
    for (kind, value) in attributes(payload.get(GENL_HEADER_BYTES..)?) {
        match kind {
            NETDEV_A_DEV_XDP_FEATURES => bits = read_u64(value)?,
            NETDEV_A_DEV_XDP_ZC_MAX_SEGS => zero_copy_max_segments = read_u32(value)?,
            _ => {}
        }
    }
    let has = |bit: u32| bits & (1 << bit) != 0;
    Some(XdpFeatures {
        basic: has(0),
        redirect: has(1),
        ndo_xmit: has(2),
        zero_copy: has(3),
        hardware: has(4),
        rx_sg: has(5),
        tx_sg: has(6),
        zero_copy_max_segments,
    })
}
