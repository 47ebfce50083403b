use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// What the program must know of the interface it is attached to: `struct link`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The longest frame, from the Ethernet header on, that the queues' frames can hold.
    pub max_frame_bytes: u32,
}

impl Link {
    /// Size of the map's value.
    pub const BYTES: usize = 8;
    /// The value before anything is known: everything is passed.
    pub const NOT_READY: [u8; Self::BYTES] = [0; Self::BYTES];

    /// The map's value, which makes the program ready: bytes 0-3 the longest frame, 4-7 the number 1.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.max_frame_bytes.to_ne_bytes());
        bytes[4..].copy_from_slice(&1u32.to_ne_bytes());
        bytes
    }
}

/// The interface that has the address of a [`ListenKey`]: `struct owner`.
///
/// It is the one that the program is attached to, or one above it: a VLAN, a bridge, a bond.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// Its MAC address: a frame to another one is not for us.
    pub mac: [u8; 6],
    /// The index of the interface that the route of a reply must leave by, else the kernel takes the query;
    /// 0: routes don't matter.
    pub reply_ifindex: u32,
}

impl Owner {
    /// Size of the map's value.
    pub const BYTES: usize = 12;

    /// The map's value: bytes 0-5 the MAC address, 6-7 zero, 8-11 the index.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..6].copy_from_slice(&self.mac);
        bytes[8..].copy_from_slice(&self.reply_ifindex.to_ne_bytes());
        bytes
    }
}

/// What the program knows of a queue: `struct queue`. Programs of somebody else's that go by a map of ours need only its
/// first four bytes, and their map has only those.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueEntry {
    /// Whether its socket is bound and served.
    pub enabled: bool,
    /// Packets redirected since it was enabled; wraps.
    pub redirected: u32,
}

impl QueueEntry {
    /// Size of the map's value: a cache line.
    pub const BYTES: usize = 64;

    /// The map's value of a queue that is switched on or off, with nothing redirected yet: bytes 0-3 the number 1 or 0,
    /// the rest zero.
    pub fn switched(enabled: bool) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&u32::from(enabled).to_ne_bytes());
        bytes
    }

    /// Reads the map's value; `None` if it is too short for one of ours.
    pub fn read(bytes: &[u8]) -> Option<Self> {
        let word = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            Some(u32::from_ne_bytes(bytes.try_into().ok()?))
        };
        Some(Self {
            enabled: word(0)? != 0,
            redirected: word(4)?,
        })
    }
}

/// One VLAN tag of a frame, or its absence. VLANs of one number are others in 802.1Q and in 802.1ad.
///
/// The number is the key's: the identifier, 1 to 4094, with bit 12 set for 802.1ad; 0 is no tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(u16);

impl Tag {
    /// No tag.
    pub const NONE: Self = Self(0);
    /// The protocol of customers' tags, 802.1Q, as their `EtherType` has it.
    pub const CUSTOMER: u16 = 0x8100;
    /// The protocol of service tags, 802.1ad, as their `EtherType` has it.
    pub const SERVICE: u16 = 0x88a8;
    const IS_SERVICE: u16 = 0x1000;

    /// A tag of 802.1Q.
    pub const fn customer(id: u16) -> Self {
        Self(id)
    }

    /// A tag of 802.1ad.
    pub const fn service(id: u16) -> Self {
        Self(id | Self::IS_SERVICE)
    }

    /// A tag of the protocol that its `EtherType` tells; all but 802.1ad's is taken for 802.1Q.
    pub const fn of(protocol: u16, id: u16) -> Self {
        if protocol == Self::SERVICE {
            Self::service(id)
        } else {
            Self::customer(id)
        }
    }

    /// Whether there is none.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The VLAN's number; 0 if there is no tag.
    pub const fn id(self) -> u16 {
        self.0 & !Self::IS_SERVICE
    }

    /// The tag's `EtherType`.
    pub const fn protocol(self) -> u16 {
        if self.0 & Self::IS_SERVICE == 0 {
            Self::CUSTOMER
        } else {
            Self::SERVICE
        }
    }
}

/// `5`, or `802.1ad 5`.
impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let family = if self.protocol() == Self::SERVICE {
            "802.1ad "
        } else {
            ""
        };
        write!(f, "{family}{}", self.id())
    }
}

/// The VLAN tags of a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlans {
    /// The first tag.
    pub outer: Tag,
    /// The second tag.
    pub inner: Tag,
}

/// A place that is listened on: `struct listen_key`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListenKey {
    /// Destination address and port. A scope or flow label of an IPv6 address does not count.
    pub local: SocketAddr,
    /// The tags the frame must carry.
    pub vlans: Vlans,
}

impl ListenKey {
    /// Size of the map's key.
    pub const BYTES: usize = 24;

    /// The map's key: bytes 0-15 the address as on the wire (IPv4 as `::ffff:a.b.c.d`), 16-17 the port in
    /// network order, 18-19 and 20-21 the VLAN tags, 22-23 zero.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let address = match self.local.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&address.octets());
        bytes[16..18].copy_from_slice(&self.local.port().to_be_bytes());
        bytes[18..20].copy_from_slice(&self.vlans.outer.0.to_ne_bytes());
        bytes[20..22].copy_from_slice(&self.vlans.inner.0.to_ne_bytes());
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_key_of_ipv4_is_mapped() {
        let key = ListenKey {
            local: "10.11.1.1:53".parse().unwrap(),
            vlans: Vlans {
                outer: Tag::customer(5),
                inner: Tag::NONE,
            },
        };
        let mut want = [0u8; 24];
        want[10..18].copy_from_slice(&[0xff, 0xff, 10, 11, 1, 1, 0, 53]);
        want[18..20].copy_from_slice(&5u16.to_ne_bytes());
        assert_eq!(key.to_bytes(), want);
    }

    #[test]
    fn tags_of_one_number_differ_by_their_protocol() {
        let tags = [Tag::NONE, Tag::customer(5), Tag::service(5)];
        assert_eq!(tags.map(|tag| tag.0), [0, 5, 0x1005]);
        assert_eq!(tags.map(Tag::id), [0, 5, 5]);
        assert_eq!(tags.map(Tag::is_none), [true, false, false]);
        for tag in &tags[1..] {
            assert_eq!(Tag::of(tag.protocol(), tag.id()), *tag);
        }
        assert_eq!(tags[2].to_string(), "802.1ad 5");
        let source = include_str!("../steer.bpf.c");
        assert!(source.contains("#define SERVICE_TAG 0x1000\n"));
    }

    #[test]
    fn listen_key_ignores_the_scope() {
        let plain = ListenKey {
            local: "[fe80::1]:53".parse().unwrap(),
            vlans: Vlans::default(),
        };
        let scoped = ListenKey {
            local: "[fe80::1%7]:53".parse().unwrap(),
            vlans: Vlans::default(),
        };
        assert_eq!(plain.to_bytes(), scoped.to_bytes());
        assert_eq!(plain.to_bytes()[..2], [0xfe, 0x80]);
    }

    #[test]
    fn link_bytes() {
        let bytes = Link {
            max_frame_bytes: 1792,
        }
        .to_bytes();
        assert_eq!(bytes[..4], 1792u32.to_ne_bytes());
        assert_eq!(bytes[4..], 1u32.to_ne_bytes());
        assert_ne!(bytes, Link::NOT_READY);
    }

    #[test]
    fn queue_entries_are_read_as_the_program_writes_them() {
        let mut bytes = QueueEntry::switched(true);
        bytes[4..8].copy_from_slice(&7u32.to_ne_bytes());
        let entry = QueueEntry::read(&bytes).unwrap();
        assert_eq!((entry.enabled, entry.redirected), (true, 7));
        assert_eq!(QueueEntry::switched(false), [0; QueueEntry::BYTES]);
        assert_eq!(QueueEntry::read(&bytes[..4]), None);
    }

    #[test]
    fn owner_bytes() {
        let bytes = Owner {
            mac: [2, 0, 0, 0, 0, 9],
            reply_ifindex: 7,
        }
        .to_bytes();
        assert_eq!(bytes[..8], [2, 0, 0, 0, 0, 9, 0, 0]);
        assert_eq!(bytes[8..], 7u32.to_ne_bytes());
    }

    /// The sizes and bounds in the C source are the ones said here.
    #[test]
    fn bounds_agree_with_the_program() {
        let source = include_str!("../steer.bpf.c");
        for (name, value) in [
            ("MAX_QUEUES", crate::MAX_QUEUES as usize),
            ("MAX_LISTEN", crate::MAX_LISTEN),
            ("MAX_BROADCAST", crate::MAX_BROADCAST),
        ] {
            assert!(
                source.contains(&format!("#define {name} {value}\n")),
                "{name}"
            );
        }
    }

    #[test]
    fn object_is_an_aligned_bpf_elf() {
        assert!(crate::STEER.starts_with(b"\x7fELF"));
        assert_eq!(crate::STEER.as_ptr() as usize % 8, 0);
        assert_eq!(
            u16::from_ne_bytes([crate::STEER[18], crate::STEER[19]]),
            247,
            "e_machine is EM_BPF"
        );
    }
}
