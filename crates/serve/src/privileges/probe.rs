//! Frames of the self-test: UDP from a neighbour that isn't there to an address of this machine.

use std::net::{IpAddr, SocketAddr};

use sluicegate_bpf::Vlans;

/// Where a probe goes, and where it seems to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Probe {
    /// The address of this machine, and the port.
    pub(super) to: SocketAddr,
    /// The MAC address of the interface that has it.
    pub(super) mac: [u8; 6],
    /// The tags that its packets carry.
    pub(super) vlans: Vlans,
    /// The neighbour; of the same family.
    pub(super) from: SocketAddr,
}

/// A made-up station, of the kind that is nobody's by sale.
const STATION: [u8; 6] = [0x02, 0x73, 0x6c, 0x75, 0x69, 0x63];
const UDP: u8 = 17;
const HOP_LIMIT: u8 = 64;

impl Probe {
    /// The frame that carries `payload`, a few bytes.
    pub(super) fn frame(&self, payload: &[u8]) -> Vec<u8> {
        let mut frame = [self.mac, STATION].concat();
        for tag in [self.vlans.outer, self.vlans.inner] {
            if !tag.is_none() {
                frame.extend(tag.protocol().to_be_bytes());
                frame.extend(tag.id().to_be_bytes());
            }
        }
        let mut udp = Vec::from(self.from.port().to_be_bytes());
        udp.extend(self.to.port().to_be_bytes());
        udp.extend((8 + payload.len() as u16).to_be_bytes());
        udp.extend([0, 0]);
        udp.extend(payload);
        let addresses = [octets(self.from.ip()), octets(self.to.ip())].concat();
        let len = udp.len() as u16;
        let pseudo = [&addresses[..], &[0, UDP], &len.to_be_bytes()].concat();
        let sum = checksum(&[&pseudo, &udp]);
        // 0 would say that there is none.
        let sum = if sum == 0 { u16::MAX } else { sum };
        udp[6..8].copy_from_slice(&sum.to_be_bytes());
        frame.extend(self.ip_header(&addresses, len));
        frame.extend(udp);
        frame
    }

    /// From the `EtherType` on.
    fn ip_header(&self, addresses: &[u8], len: u16) -> Vec<u8> {
        let mut header = Vec::with_capacity(42);
        if self.to.is_ipv6() {
            header.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            header.extend(len.to_be_bytes());
            header.extend([UDP, HOP_LIMIT]);
            header.extend(addresses);
        } else {
            header.extend([0x08, 0, 0x45, 0]);
            header.extend((20 + len).to_be_bytes());
            header.extend([0, 0, 0, 0, HOP_LIMIT, UDP, 0, 0]);
            header.extend(addresses);
            let sum = checksum(&[&header[2..]]);
            header[12..14].copy_from_slice(&sum.to_be_bytes());
        }
        header
    }
}

/// An address on the link of `own` that is none of `all`; where the prefix has no room for others, one for documentation.
pub(super) fn neighbour(own: IpAddr, prefix_len: u8, all: &[IpAddr]) -> IpAddr {
    let (number, bits): (u128, u32) = match own {
        IpAddr::V4(ip) => (u32::from(ip).into(), 32),
        IpAddr::V6(ip) => (ip.into(), 128),
    };
    let hosts = bits.saturating_sub(prefix_len.into());
    let address = |number: u128| match own {
        IpAddr::V4(_) => IpAddr::V4((number as u32).into()), // 32 bits at most
        IpAddr::V6(_) => IpAddr::V6(number.into()),
    };
    let mask = 1u128.checked_shl(hosts).map_or(u128::MAX, |size| size - 1);
    // The first is the network's own, the last means all; of two, both are hosts.
    let (first, last) = if hosts == 1 {
        (0, 1)
    } else {
        (1, mask.saturating_sub(1))
    };
    let mut others = (first..=last.min(first + 64)).map(|host| address((number & !mask) | host));
    let free = others.find(|other| !all.contains(other));
    free.filter(|_| hosts > 0).unwrap_or(match own {
        IpAddr::V4(_) => IpAddr::from([192, 0, 2, 1]),
        IpAddr::V6(_) => IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]),
    })
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().into(),
        IpAddr::V6(ip) => ip.octets().into(),
    }
}

/// The Internet checksum (RFC 1071) of parts that follow on each other, all but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    let mut sum: u64 = words.map(word).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use sluicegate_bpf::Tag;
    use sluicegate_packet::Datagram;

    use super::*;

    const NO_TAGS: Vlans = Vlans {
        outer: Tag::NONE,
        inner: Tag::NONE,
    };

    #[test]
    fn probes_are_datagrams_whose_checksums_hold() {
        let two = Vlans {
            outer: Tag::service(100),
            inner: Tag::customer(200),
        };
        for (to, from) in [
            ("10.11.1.1:40000", "10.11.1.3:53"),
            ("[fc00:dead::1]:40000", "[fc00:dead::3]:53"),
        ] {
            for vlans in [NO_TAGS, two] {
                let probe = Probe {
                    to: to.parse().unwrap(),
                    mac: [2, 0, 0, 0, 0, 1],
                    vlans,
                    from: from.parse().unwrap(),
                };
                let frame = probe.frame(b"an odd number");
                // It checks lengths and all sums.
                let datagram = Datagram::parse(&frame).unwrap();
                assert_eq!(datagram.destination(&frame), probe.to);
                assert_eq!(datagram.source(&frame), probe.from);
                assert_eq!(&frame[datagram.payload()], b"an odd number");
                let tags = if vlans == NO_TAGS { 0 } else { 8 };
                let mut broken = frame.clone();
                *broken.last_mut().unwrap() ^= 1;
                assert!(Datagram::parse(&broken).is_err());
                assert_eq!(frame[12..14] == [0x88, 0xa8], tags != 0);
            }
        }
    }

    #[test]
    fn neighbours_are_on_the_link_and_not_us() {
        let of = |own: &str, len, all: &[&str]| {
            let all: Vec<IpAddr> = all.iter().map(|ip| ip.parse().unwrap()).collect();
            neighbour(own.parse().unwrap(), len, &all).to_string()
        };
        assert_eq!(of("10.11.1.1", 24, &["10.11.1.1"]), "10.11.1.2");
        assert_eq!(of("10.11.1.9", 24, &["10.11.1.9"]), "10.11.1.1");
        assert_eq!(of("10.0.0.1", 30, &["10.0.0.1", "10.0.0.2"]), "192.0.2.1");
        assert_eq!(of("10.0.0.1", 31, &["10.0.0.1"]), "10.0.0.0");
        assert_eq!(of("10.0.0.1", 32, &["10.0.0.1"]), "192.0.2.1");
        assert_eq!(of("fc00::1", 64, &["fc00::1"]), "fc00::2");
        assert_eq!(of("fc00::1", 128, &["fc00::1"]), "2001:db8::1");
        assert_eq!(of("10.0.0.1", 0, &["10.0.0.1"]), "0.0.0.1");
    }
}
