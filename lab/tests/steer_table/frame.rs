//! Frames described field by field. Lengths and checksums come out right unless a field says otherwise.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The interface's own MAC address in the table.
pub(crate) const OWN_MAC: [u8; 6] = [0x02, 0x53, 0x4c, 0x55, 0x49, 0x43];
/// That of another interface of this host, which has the addresses of VLAN 300.
pub(crate) const BRIDGE_MAC: [u8; 6] = [0x02, 0x62, 0x72, 0x69, 0x64, 0x67];
/// The client's.
pub(crate) const CLIENT_MAC: [u8; 6] = [0x02, 0x63, 0x6c, 0x69, 0x65, 0x6e];
/// TPID of a customer tag.
pub(crate) const TPID_8021Q: u16 = 0x8100;
/// TPID of a service tag.
pub(crate) const TPID_8021AD: u16 = 0x88a8;

/// A frame with a DNS query in UDP.
#[derive(Clone)]
pub(crate) struct Frame {
    pub(crate) destination_mac: [u8; 6],
    pub(crate) source_mac: [u8; 6],
    /// (TPID, tag control) from the outermost on.
    pub(crate) tags: Vec<(u16, u16)>,
    pub(crate) ethertype: Option<u16>,
    pub(crate) ip: Ip,
    pub(crate) udp: Udp,
    /// The UDP payload.
    pub(crate) payload: Vec<u8>,
    /// Bytes between the end of the IP packet and that of the frame.
    pub(crate) padding: usize,
    /// Cuts the frame to this many bytes, after everything else.
    pub(crate) cut: Option<usize>,
}

#[derive(Clone)]
pub(crate) enum Ip {
    V4(V4),
    V6(V6),
}

#[derive(Clone)]
pub(crate) struct V4 {
    pub(crate) version: u8,
    pub(crate) ihl: Option<u8>,
    pub(crate) options: Vec<u8>,
    pub(crate) total_length: Option<u16>,
    /// Flags and offset, as the 16 bits on the wire.
    pub(crate) fragment: u16,
    pub(crate) ttl: u8,
    pub(crate) protocol: u8,
    pub(crate) source: Ipv4Addr,
    pub(crate) destination: Ipv4Addr,
}

#[derive(Clone)]
pub(crate) struct V6 {
    pub(crate) version: u8,
    pub(crate) payload_length: Option<u16>,
    pub(crate) next_header: u8,
    /// Extension headers, whole, between the IPv6 and the UDP header.
    pub(crate) extensions: Vec<u8>,
    pub(crate) hop_limit: u8,
    pub(crate) source: Ipv6Addr,
    pub(crate) destination: Ipv6Addr,
}

#[derive(Clone)]
pub(crate) struct Udp {
    pub(crate) source: u16,
    pub(crate) destination: u16,
    pub(crate) length: Option<u16>,
}

/// `example. A`, RD=1.
pub(crate) fn query() -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0];
    query.extend_from_slice(b"\x07example\x00\x00\x01\x00\x01");
    query
}

/// A query from 192.0.2.100 to 192.0.2.1.
pub(crate) fn v4() -> Frame {
    Frame::new(Ip::V4(V4 {
        version: 4,
        ihl: None,
        options: Vec::new(),
        total_length: None,
        fragment: 0x4000,
        ttl: 64,
        protocol: 17,
        source: Ipv4Addr::new(192, 0, 2, 100),
        destination: Ipv4Addr::new(192, 0, 2, 1),
    }))
}

/// A query from `2001:db8::100` to `2001:db8::1`.
pub(crate) fn v6() -> Frame {
    Frame::new(Ip::V6(V6 {
        version: 6,
        payload_length: None,
        next_header: 17,
        extensions: Vec::new(),
        hop_limit: 64,
        source: "2001:db8::100".parse().expect("an address"),
        destination: "2001:db8::1".parse().expect("an address"),
    }))
}

impl Frame {
    fn new(ip: Ip) -> Self {
        Self {
            destination_mac: OWN_MAC,
            source_mac: CLIENT_MAC,
            tags: Vec::new(),
            ethertype: None,
            ip,
            udp: Udp {
                source: 40000,
                destination: 53,
                length: None,
            },
            payload: query(),
            padding: 0,
            cut: None,
        }
    }

    /// Changes the frame.
    pub(crate) fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Changes the IPv4 header.
    pub(crate) fn ip4(mut self, change: impl FnOnce(&mut V4)) -> Self {
        let Ip::V4(ip) = &mut self.ip else {
            panic!("not IPv4")
        };
        change(ip);
        self
    }

    /// Changes the IPv6 header.
    pub(crate) fn ip6(mut self, change: impl FnOnce(&mut V6)) -> Self {
        let Ip::V6(ip) = &mut self.ip else {
            panic!("not IPv6")
        };
        change(ip);
        self
    }

    /// The frame's bytes.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend_from_slice(&self.destination_mac);
        bytes.extend_from_slice(&self.source_mac);
        for (tpid, control) in &self.tags {
            bytes.extend_from_slice(&tpid.to_be_bytes());
            bytes.extend_from_slice(&control.to_be_bytes());
        }
        let ethertype = match self.ip {
            Ip::V4(_) => 0x0800,
            Ip::V6(_) => 0x86dd_u16,
        };
        bytes.extend_from_slice(&self.ethertype.unwrap_or(ethertype).to_be_bytes());
        match &self.ip {
            Ip::V4(ip) => ip.write(&self.udp_bytes(), &mut bytes),
            Ip::V6(ip) => ip.write(&self.udp_bytes(), &mut bytes),
        }
        bytes.resize(bytes.len() + self.padding, 0);
        bytes.truncate(self.cut.unwrap_or(usize::MAX));
        bytes
    }

    /// The program does not look at the checksum: it stays 0.
    fn udp_bytes(&self) -> Vec<u8> {
        let length = self.udp.length.unwrap_or(8 + self.payload.len() as u16);
        let mut bytes = Vec::new();
        for word in [self.udp.source, self.udp.destination, length, 0] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

impl V4 {
    fn write(&self, udp: &[u8], bytes: &mut Vec<u8>) {
        let header_bytes = 20 + self.options.len();
        let total = self
            .total_length
            .unwrap_or((header_bytes + udp.len()) as u16);
        let start = bytes.len();
        bytes.extend_from_slice(&[
            self.version << 4 | self.ihl.unwrap_or((header_bytes / 4) as u8),
            0,
        ]);
        bytes.extend_from_slice(&total.to_be_bytes());
        bytes.extend_from_slice(&[0, 1]);
        bytes.extend_from_slice(&self.fragment.to_be_bytes());
        bytes.extend_from_slice(&[self.ttl, self.protocol, 0, 0]);
        bytes.extend_from_slice(&self.source.octets());
        bytes.extend_from_slice(&self.destination.octets());
        bytes.extend_from_slice(&self.options);
        let words = bytes[start..]
            .chunks(2)
            .map(|w| u32::from(w[0]) << 8 | u32::from(w[1]));
        let sum: u32 = words.sum();
        let sum = (sum & 0xffff) + (sum >> 16);
        let checksum = !((sum & 0xffff) + (sum >> 16)) as u16;
        bytes[start + 10..start + 12].copy_from_slice(&checksum.to_be_bytes());
        bytes.extend_from_slice(udp);
    }
}

impl V6 {
    fn write(&self, udp: &[u8], bytes: &mut Vec<u8>) {
        let length = self
            .payload_length
            .unwrap_or((self.extensions.len() + udp.len()) as u16);
        bytes.extend_from_slice(&[self.version << 4, 0, 0, 0]);
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&[self.next_header, self.hop_limit]);
        bytes.extend_from_slice(&self.source.octets());
        bytes.extend_from_slice(&self.destination.octets());
        bytes.extend_from_slice(&self.extensions);
        bytes.extend_from_slice(udp);
    }
}
