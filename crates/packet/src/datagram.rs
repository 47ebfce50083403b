use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
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
    // Of the machine's own width, so that they stay in registers where it is made and used at once.
    pub(crate) ip: usize,
    pub(crate) udp: usize,
    payload_len: usize,
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
    #[expect(
        clippy::inline_always,
        reason = "called once, where its parts can stay in registers"
    )]
    #[inline(always)]
    pub fn parse(frame: &[u8]) -> Result<Self, Reject> {
        let (ip, ethertype) = skip_ethernet(frame)?;
        if frame[0] & GROUP_BIT != 0 {
            return Err(Reject::Destination);
        }
        let (header_len, payload_len, is_ipv6) = match ethertype {
            0x0800 => (IPV4_BYTES, check_ipv4(frame, ip)?, false),
            0x86dd => (IPV6_BYTES, check_ipv6(frame, ip)?, true),
            _ => return Err(Reject::Ethertype),
        };
        Ok(Self {
            ip,
            udp: ip + header_len,
            payload_len,
            is_ipv6,
        })
    }

    /// Where the UDP payload stands in the frame.
    pub fn payload(self) -> Range<usize> {
        let start = self.header_len();
        start..start + self.payload_len
    }

    /// Octets in front of the payload.
    pub fn header_len(self) -> usize {
        self.udp + UDP_BYTES
    }

    /// Octets of the IP and UDP headers: what an MTU must hold beside the payload.
    pub fn ip_overhead(self) -> usize {
        self.header_len() - self.ip
    }

    /// IPv6, not IPv4.
    pub fn is_ipv6(self) -> bool {
        self.is_ipv6
    }

    /// Who sent it.
    #[inline]
    pub fn source(self, frame: &[u8]) -> SocketAddr {
        self.party(frame, 0)
    }

    /// To whom.
    #[inline]
    pub fn destination(self, frame: &[u8]) -> SocketAddr {
        self.party(frame, 1)
    }

    /// The sender is number 0, the receiver number 1.
    #[inline]
    fn party(self, frame: &[u8], number: usize) -> SocketAddr {
        let udp = self.udp;
        // Both addresses and both ports stand one behind the other: one look at the frame's length will do.
        if self.is_ipv6 {
            let octets: &[u8; 36] = octets_at(frame, udp - 32);
            let (addresses, ports) = octets.split_at(32);
            let ip = Ipv6Addr::from(addresses.as_chunks().0[number]);
            SocketAddr::new(ip.into(), u16::from_be_bytes(ports.as_chunks().0[number]))
        } else {
            let octets: &[u8; 12] = octets_at(frame, udp - 8);
            let (addresses, ports) = octets.split_at(8);
            let ip = Ipv4Addr::from(addresses.as_chunks::<4>().0[number]);
            SocketAddr::new(ip.into(), u16::from_be_bytes(ports.as_chunks().0[number]))
        }
    }
}

/// Checks what an IPv4 header and the UDP header behind it say; octets of the payload.
#[expect(clippy::inline_always, reason = "called once")]
#[inline(always)]
fn check_ipv4(frame: &[u8], ip: usize) -> Result<usize, Reject> {
    let (header, rest) = frame
        .get(ip..)
        .and_then(<[u8]>::split_first_chunk::<IPV4_BYTES>)
        .ok_or(Reject::Short)?;
    let total = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let udp = total
        .checked_sub(IPV4_BYTES)
        .and_then(|len| Segment::cut(rest, len))
        .filter(|_| header[0] == 0x45)
        .ok_or(Reject::IpHeader)?;
    if u16::from_be_bytes([header[6], header[7]]) & FRAGMENT_MASK != 0 {
        return Err(Reject::Fragment);
    }
    if header[9] != PROTOCOL_UDP {
        return Err(Reject::Protocol);
    }
    let addresses = Sum::default().octets(&header[12..]);
    if addresses.octets(&header[..12]).fold() != 0xffff {
        return Err(Reject::Checksum);
    }
    if matches!(header[12], 0 | 127 | 224..) || header[12..16] == header[16..20] {
        return Err(Reject::Source);
    }
    if header[16] >= 224 {
        return Err(Reject::Destination);
    }
    udp.check(addresses, false)?;
    Ok(udp.payload.len())
}

/// As [`check_ipv4`], for IPv6.
#[inline(never)]
fn check_ipv6(frame: &[u8], ip: usize) -> Result<usize, Reject> {
    let (header, rest) = frame
        .get(ip..)
        .and_then(<[u8]>::split_first_chunk::<IPV6_BYTES>)
        .ok_or(Reject::Short)?;
    let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
    let udp = Segment::cut(rest, len)
        .filter(|_| header[0] >> 4 == 6)
        .ok_or(Reject::IpHeader)?;
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
    udp.check(Sum::default().octets(&header[8..]), true)?;
    Ok(udp.payload.len())
}

/// So many octets of a frame from `at` on.
#[inline]
fn octets_at<const N: usize>(frame: &[u8], at: usize) -> &[u8; N] {
    let octets = frame.get(at..).and_then(<[u8]>::first_chunk);
    octets.expect("a frame as long as the one that was parsed")
}

/// A UDP header and its payload.
#[derive(Clone, Copy)]
struct Segment<'a> {
    header: &'a [u8; UDP_BYTES],
    payload: &'a [u8],
}

impl<'a> Segment<'a> {
    /// The first `len` octets, if there are so many and a header fits into them.
    #[inline]
    fn cut(octets: &'a [u8], len: usize) -> Option<Self> {
        let (header, payload) = octets.get(..len)?.split_first_chunk()?;
        Some(Self { header, payload })
    }

    /// Checks length, source port and checksum; `addresses` is the sum of the IP addresses.
    ///
    /// The pseudo-header is addresses, protocol and UDP length (RFC 768; RFC 8200, 8.1).
    #[expect(
        clippy::inline_always,
        reason = "what it is made of is in registers where it is called"
    )]
    #[inline(always)]
    fn check(self, addresses: Sum, is_ipv6: bool) -> Result<(), Reject> {
        let Self { header, payload } = self;
        let len = (UDP_BYTES + payload.len()) as u16;
        if u16::from_be_bytes([header[4], header[5]]) != len || header[..2] == [0, 0] {
            return Err(Reject::Udp);
        }
        let checksum = [header[6], header[7]];
        if checksum == [0, 0] {
            return if is_ipv6 {
                Err(Reject::Checksum)
            } else {
                Ok(())
            };
        }
        let pseudo = addresses.numbers([u16::from(PROTOCOL_UDP), len]);
        let right = pseudo.octets(header).octets(payload).fold() == 0xffff;
        if right || checksum == pseudo.fold().to_ne_bytes() {
            Ok(())
        } else {
            Err(Reject::Checksum)
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
