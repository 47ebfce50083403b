use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use crate::checksum::Sum;

/// Where the parts of a UDP datagram stand in its frame.
///
/// ```text
/// 0        12+4n     ip             udp      payload          end
/// |MACs|tags|type|IPv4 or IPv6 header|UDP header|payload ...|padding ...
/// ```
///
/// Offsets only: the octets stay in the frame and may be changed there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    pub(crate) ip: u8,
    pub(crate) udp: u8,
    payload_len: u16,
    pub(crate) is_ipv6: bool,
}

/// Why a frame is not a datagram that can be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reject {
    /// It ends inside a header.
    Short,
    /// Neither IPv4 nor IPv6 behind at most two VLAN tags.
    Ethertype,
    /// IP version, header length or total length that can't be; or options, or an extension header.
    IpHeader,
    /// A part of a larger packet.
    Fragment,
    /// Not UDP.
    Protocol,
    /// UDP and IP disagree about the length, or the source port is 0.
    Udp,
    /// Wrong IPv4 or UDP checksum.
    Checksum,
    /// From an address that can't be answered: multicast, broadcast, unspecified, loopback, or the destination's own.
    Source,
    /// To a group of hosts, by its MAC or IP address: no reply may come from there.
    Destination,
}

pub(crate) const ETHERNET_BYTES: usize = 14;
const VLAN_BYTES: usize = 4;
pub(crate) const IPV4_BYTES: usize = 20;
pub(crate) const IPV6_BYTES: usize = 40;
pub(crate) const UDP_BYTES: usize = 8;
pub(crate) const PROTOCOL_UDP: u8 = 17;
/// In a MAC address's first octet: a group of stations (IEEE 802.3, 3.2.3).
const GROUP_BIT: u8 = 1;
/// More fragments, and the offset.
const FRAGMENT_MASK: u16 = 0x3fff;

impl Datagram {
    /// Checks a frame from its Ethernet header on. IP's length counts, not the frame's: padding is legal.
    ///
    /// A UDP checksum must be right, or be absent (IPv4 only), or be exactly the pseudo-header's sum: so it stands
    /// in packets whose sender left the rest to hardware (`CHECKSUM_PARTIAL`), as local and veth senders do.
    pub fn parse(frame: &[u8]) -> Result<Self, Reject> {
        let (ip, ethertype) = skip_ethernet(frame)?;
        if frame[0] & GROUP_BIT != 0 {
            return Err(Reject::Destination);
        }
        let datagram = match ethertype {
            0x0800 => Self::parse_ipv4(frame, ip)?,
            0x86dd => Self::parse_ipv6(frame, ip)?,
            _ => return Err(Reject::Ethertype),
        };
        datagram.check_udp(frame)?;
        Ok(datagram)
    }

    fn parse_ipv4(frame: &[u8], ip: usize) -> Result<Self, Reject> {
        let header = frame[ip..]
            .first_chunk::<IPV4_BYTES>()
            .ok_or(Reject::Short)?;
        let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[0] != 0x45 || total < IPV4_BYTES + UDP_BYTES || total > frame.len() - ip {
            return Err(Reject::IpHeader);
        }
        if u16::from_be_bytes([header[6], header[7]]) & FRAGMENT_MASK != 0 {
            return Err(Reject::Fragment);
        }
        if header[9] != PROTOCOL_UDP {
            return Err(Reject::Protocol);
        }
        if Sum::default().octets(header).fold() != 0xffff {
            return Err(Reject::Checksum);
        }
        if matches!(header[12], 0 | 127 | 224..) || header[12..16] == header[16..20] {
            return Err(Reject::Source);
        }
        if header[16] >= 224 {
            return Err(Reject::Destination);
        }
        let payload_len = (total - IPV4_BYTES - UDP_BYTES) as u16;
        Ok(Self {
            ip: ip as u8,
            udp: (ip + IPV4_BYTES) as u8,
            payload_len,
            is_ipv6: false,
        })
    }

    fn parse_ipv6(frame: &[u8], ip: usize) -> Result<Self, Reject> {
        let header = frame[ip..]
            .first_chunk::<IPV6_BYTES>()
            .ok_or(Reject::Short)?;
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        if header[0] >> 4 != 6 || len < UDP_BYTES || len > frame.len() - ip - IPV6_BYTES {
            return Err(Reject::IpHeader);
        }
        if header[6] != PROTOCOL_UDP {
            return Err(Reject::Protocol);
        }
        let (source, destination) = (&header[8..24], &header[24..40]);
        let unanswerable = source[0] == 0xff || (source[..15] == [0; 15] && source[15] <= 1);
        if unanswerable || source == destination {
            return Err(Reject::Source);
        }
        if destination[0] == 0xff {
            return Err(Reject::Destination);
        }
        let payload_len = (len - UDP_BYTES) as u16;
        Ok(Self {
            ip: ip as u8,
            udp: (ip + IPV6_BYTES) as u8,
            payload_len,
            is_ipv6: true,
        })
    }

    fn check_udp(self, frame: &[u8]) -> Result<(), Reject> {
        let udp = self.udp_segment(frame);
        if u16::from_be_bytes([udp[4], udp[5]]) != udp.len() as u16 || udp[..2] == [0, 0] {
            return Err(Reject::Udp);
        }
        let checksum = [udp[6], udp[7]];
        let pseudo = self.pseudo_header(frame);
        let right = pseudo.octets(udp).fold() == 0xffff && checksum != [0, 0];
        let partial = checksum == pseudo.fold().to_ne_bytes();
        let absent = checksum == [0, 0] && !self.is_ipv6;
        if right || partial || absent {
            Ok(())
        } else {
            Err(Reject::Checksum)
        }
    }

    /// UDP header and payload.
    pub(crate) fn udp_segment(self, frame: &[u8]) -> &[u8] {
        &frame[usize::from(self.udp)..self.payload().end]
    }

    /// The sum of the pseudo-header: addresses, protocol, UDP length (RFC 768; RFC 8200, 8.1).
    pub(crate) fn pseudo_header(self, frame: &[u8]) -> Sum {
        Sum::default()
            .octets(&frame[self.addresses()])
            .word(u16::from(PROTOCOL_UDP))
            .word(self.payload_len + UDP_BYTES as u16)
    }

    /// Source and destination address, one behind the other.
    pub(crate) fn addresses(self) -> Range<usize> {
        let len = if self.is_ipv6 { 32 } else { 8 };
        usize::from(self.udp) - len..usize::from(self.udp)
    }

    /// Where the UDP payload stands in the frame.
    pub fn payload(self) -> Range<usize> {
        let start = self.header_len();
        start..start + usize::from(self.payload_len)
    }

    /// Octets in front of the payload.
    pub fn header_len(self) -> usize {
        usize::from(self.udp) + UDP_BYTES
    }

    /// Octets of the IP and UDP headers: what an MTU must hold beside the payload.
    pub fn ip_overhead(self) -> usize {
        self.header_len() - usize::from(self.ip)
    }

    /// IPv6, not IPv4.
    pub fn is_ipv6(self) -> bool {
        self.is_ipv6
    }

    /// Who sent it.
    pub fn source(self, frame: &[u8]) -> SocketAddr {
        let addresses = &frame[self.addresses()];
        self.socket_addr(frame, &addresses[..addresses.len() / 2], 0)
    }

    /// To whom.
    pub fn destination(self, frame: &[u8]) -> SocketAddr {
        let addresses = &frame[self.addresses()];
        self.socket_addr(frame, &addresses[addresses.len() / 2..], 2)
    }

    fn socket_addr(self, frame: &[u8], address: &[u8], port_at: usize) -> SocketAddr {
        let ip = match (<[u8; 4]>::try_from(address), <[u8; 16]>::try_from(address)) {
            (Ok(octets), _) => IpAddr::V4(Ipv4Addr::from(octets)),
            (_, Ok(octets)) => IpAddr::V6(Ipv6Addr::from(octets)),
            _ => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        };
        let port = usize::from(self.udp) + port_at;
        SocketAddr::new(ip, u16::from_be_bytes([frame[port], frame[port + 1]]))
    }

    /// The same datagram with a payload of another length.
    pub(crate) fn with_payload(self, payload_len: usize) -> Self {
        Self {
            payload_len: payload_len as u16,
            ..self
        }
    }
}

/// Where IP begins, and the ethertype in front of it.
fn skip_ethernet(frame: &[u8]) -> Result<(usize, u16), Reject> {
    let mut at = ETHERNET_BYTES;
    for _ in 0..3 {
        let ethertype = frame.get(at - 2..at).ok_or(Reject::Short)?;
        match u16::from_be_bytes([ethertype[0], ethertype[1]]) {
            0x8100 | 0x88a8 => at += VLAN_BYTES,
            other => return Ok((at, other)),
        }
    }
    Err(Reject::Ethertype)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
