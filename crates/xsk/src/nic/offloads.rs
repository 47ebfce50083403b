use super::message::{attributes, read_text};
use super::query::{Ask, NicError, Query};

/// What an interface's hardware or driver does to packets, by the names of `ethtool -k` in the kernel's own
/// spelling (`rx-vlan-hw-parse`, `rx-lro`, `rx-gro`, `rx-ntuple-filter`...).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offloads {
    active: Vec<String>,
}

impl Offloads {
    /// Tags of 802.1Q are taken off received packets (`rxvlan`).
    pub const RX_VLAN: &str = "rx-vlan-hw-parse";
    /// The same of 802.1ad (`rx-vlan-stag-hw-parse`).
    pub const RX_SERVICE_VLAN: &str = "rx-vlan-stag-hw-parse";
    /// The device joins packets of one TCP flow (`lro`).
    pub const LRO: &str = "rx-lro";
    /// The kernel joins packets of one flow (`gro`).
    pub const GRO: &str = "rx-gro";
    /// Steering rules can be set (`ntuple`).
    pub const NTUPLE: &str = "rx-ntuple-filter";

    /// Those of an interface; `None` if kernel or driver don't tell (before Linux 5.7).
    ///
    /// # Errors
    /// [`NicError::NotFound`] if there is no such interface, [`NicError::Os`].
    pub fn of(ifindex: u32) -> Result<Option<Self>, NicError> {
        let mut query = Query::open(libc::NETLINK_GENERIC, "ethtool family")?;
        let Ok(family) = query.family("ethtool") else {
            return Ok(None);
        };
        let device = nested(&[(ETHTOOL_A_HEADER_DEV_INDEX, &ifindex.to_ne_bytes())]);
        let ask = Ask {
            kind: family,
            header: &[ETHTOOL_MSG_FEATURES_GET, 1, 0, 0],
            attributes: &[(NESTED | ETHTOOL_A_FEATURES_HEADER, &device)],
        };
        match query.get(ask, parse) {
            Ok(offloads) => Ok(Some(offloads)),
            Err(errno) if errno.number() == libc::ENODEV => Err(NicError::NotFound {
                name: ifindex.to_string(),
            }),
            Err(_) => Ok(None),
        }
    }

    /// Made up, for tests and examples.
    pub fn with_active<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            active: names.into_iter().map(ToOwned::to_owned).collect(),
        }
    }

    /// Whether the one of this name is at work.
    pub fn is_active(&self, name: &str) -> bool {
        self.active.iter().any(|active| active == name)
    }

    /// The names of all that are at work.
    pub fn active(&self) -> impl Iterator<Item = &str> {
        self.active.iter().map(String::as_str)
    }
}

// linux/ethtool_netlink.h
const ETHTOOL_MSG_FEATURES_GET: u8 = 11;
const ETHTOOL_A_FEATURES_HEADER: u16 = 1;
const ETHTOOL_A_FEATURES_ACTIVE: u16 = 4;
const ETHTOOL_A_HEADER_DEV_INDEX: u16 = 1;
const ETHTOOL_A_BITSET_BITS: u16 = 3;
const ETHTOOL_A_BITSET_BITS_BIT: u16 = 1;
const ETHTOOL_A_BITSET_BIT_NAME: u16 = 2;
/// `NLA_F_NESTED`.
const NESTED: u16 = 1 << 15;
/// `struct genlmsghdr`.
const GENL_HEADER_BYTES: usize = 4;

fn nested(attributes: &[(u16, &[u8])]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, payload) in attributes {
        bytes.extend_from_slice(&(4 + payload.len() as u16).to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    bytes
}

/// The bits that are set, by name: a bit set without a mask lists only those.
fn parse(payload: &[u8]) -> Option<Offloads> {
    let only = |wanted: u16| {
        move |(kind, value): (u16, _)| -> Option<&[u8]> { (kind == wanted).then_some(value) }
    };
    let (_, set) = attributes(payload.get(GENL_HEADER_BYTES..)?)
        .find(|(kind, _)| *kind == ETHTOOL_A_FEATURES_ACTIVE)?;
    let active = attributes(set)
        .filter_map(only(ETHTOOL_A_BITSET_BITS))
        .flat_map(attributes)
        .filter_map(only(ETHTOOL_A_BITSET_BITS_BIT))
        .filter_map(|bit| attributes(bit).find_map(only(ETHTOOL_A_BITSET_BIT_NAME)))
        .map(read_text)
        .collect();
    Some(Offloads { active })
}
