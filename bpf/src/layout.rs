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

/// The VLAN tags of a frame; 0 means no tag.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Vlans {
    /// Identifier in the first tag, 1 to 4094.
    pub outer: u16,
    /// Identifier in the second tag.
    pub inner: u16,
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
    /// network order, 18-19 and 20-21 the VLAN identifiers, 22-23 zero.
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let address = match self.local.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&address.octets());
        bytes[16..18].copy_from_slice(&self.local.port().to_be_bytes());
        bytes[18..20].copy_from_slice(&self.vlans.outer.to_ne_bytes());
        bytes[20..22].copy_from_slice(&self.vlans.inner.to_ne_bytes());
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
            vlans: Vlans { outer: 5, inner: 0 },
        };
        let mut want = [0u8; 24];
        want[10..18].copy_from_slice(&[0xff, 0xff, 10, 11, 1, 1, 0, 53]);
        want[18..20].copy_from_slice(&5u16.to_ne_bytes());
        assert_eq!(key.to_bytes(), want);
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
