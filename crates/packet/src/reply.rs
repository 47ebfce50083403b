use crate::MAX_HEADER_BYTES;
use crate::checksum::Sum;
use crate::datagram::{Datagram, ETHERNET_BYTES, IPV4_BYTES, IPV6_BYTES, PROTOCOL_UDP, UDP_BYTES};

/// Time to live and hop limit of replies: our own, not what the query had left.
const HOPS: u8 = 64;
const DONT_FRAGMENT: u16 = 0x4000;
const HOPS_AND_PROTOCOL: u16 = u16::from_be_bytes([HOPS, PROTOCOL_UDP]);

/// Turns a request's frame into its reply's, whose payload of `payload_len` octets already stands behind the
/// headers; the frame's new length.
///
/// MAC addresses, IP addresses and ports change places; VLAN tags stay. IP and UDP headers are written anew: own
/// TTL, no options, "don't fragment", both checksums computed in full. (The request's checksum may be one that
/// hardware was to complete, so nothing is derived from it.)
///
/// # Panics
///
/// If the frame is shorter than its headers and the payload.
#[inline]
pub fn reply_in_place(frame: &mut [u8], request: &Datagram, payload_len: usize) -> usize {
    let end = request.header_len() + payload_len;
    let (ethernet, packet) = frame[..end].split_at_mut(request.ip);
    if let Some((destination, rest)) = ethernet.split_first_chunk_mut::<6>()
        && let Some(source) = rest.first_chunk_mut::<6>()
    {
        std::mem::swap(destination, source);
    }
    let udp_len = (UDP_BYTES + payload_len) as u16;
    if request.is_ipv6 {
        write_ipv6(packet, udp_len);
    } else {
        write_ipv4(packet, udp_len);
    }
    end
}

/// All of the IPv4 and UDP headers, from those of the request, which stand there still.
#[inline]
fn write_ipv4(packet: &mut [u8], udp_len: u16) {
    let (ip, segment) = packet.split_first_chunk_mut::<IPV4_BYTES>().expect(WHOLE);
    let len = udp_len + IPV4_BYTES as u16;
    let (front, addresses) = ip.split_at_mut(12);
    swap_halves::<8>(addresses);
    let sum = Sum::default().octets(addresses);
    // Unfragmented and not to be fragmented: the identification may be 0 (RFC 6864, 4.1).
    let rest = [0x4500, len, 0, DONT_FRAGMENT, HOPS_AND_PROTOCOL];
    let checksum = sum.numbers(rest).complement().to_be();
    let [one, two, three, four, five] = rest;
    let words = [one, two, three, four, five, checksum].map(u16::to_be_bytes);
    front.copy_from_slice(words.as_flattened());
    write_udp(segment, udp_len, sum);
}

/// All of the IPv6 and UDP headers, from those of the request; traffic class and flow label 0.
#[inline(never)]
fn write_ipv6(packet: &mut [u8], udp_len: u16) {
    let (ip, segment) = packet.split_first_chunk_mut::<IPV6_BYTES>().expect(WHOLE);
    let [high, low] = udp_len.to_be_bytes();
    ip[..8].copy_from_slice(&[0x60, 0, 0, 0, high, low, PROTOCOL_UDP, HOPS]);
    let (source, destination) = ip[8..].split_at_mut(16);
    source.swap_with_slice(destination);
    write_udp(segment, udp_len, Sum::default().octets(&ip[8..]));
}

/// The UDP header of the reply; `addresses` is the sum of the IP addresses.
#[inline]
fn write_udp(segment: &mut [u8], udp_len: u16, addresses: Sum) {
    let (udp, payload) = segment.split_first_chunk_mut::<UDP_BYTES>().expect(WHOLE);
    swap_halves::<4>(udp);
    let (ports, rest) = udp.split_at_mut(4);
    let sum = addresses
        .octets(ports)
        .numbers([u16::from(PROTOCOL_UDP), udp_len, udp_len])
        .octets(payload);
    let checksum = match sum.complement() {
        0 => 0xffff, // 0 means "no checksum"
        other => other,
    };
    let words = [udp_len, checksum.to_be()].map(u16::to_be_bytes);
    rest.copy_from_slice(words.as_flattened());
}

/// Lets the two halves of the first `N` octets change places.
#[inline]
fn swap_halves<const N: usize>(octets: &mut [u8]) {
    if let Some(octets) = octets.first_chunk_mut::<N>() {
        let (one, other) = octets.split_at_mut(N / 2);
        one.swap_with_slice(other);
    }
}

/// A request's headers, kept for a reply that is sent later and in another frame.
#[derive(Clone, Copy, Debug)]
pub struct Headers {
    datagram: Datagram,
    octets: [u8; MAX_HEADER_BYTES],
}

impl Headers {
    /// Copies the headers of `datagram` out of its frame.
    pub fn save(frame: &[u8], datagram: &Datagram) -> Self {
        let mut octets = [0; MAX_HEADER_BYTES];
        let len = datagram.header_len();
        octets[..len].copy_from_slice(&frame[..len]);
        Self {
            datagram: *datagram,
            octets,
        }
    }

    /// Writes the headers to the start of another frame, as the request had them. The result says where the
    /// payload belongs, and is what [`reply_in_place`] wants.
    ///
    /// # Panics
    ///
    /// If `frame` is shorter than [`MAX_HEADER_BYTES`].
    pub fn restore(&self, frame: &mut [u8]) -> Datagram {
        let len = self.datagram.header_len();
        frame[..len].copy_from_slice(&self.octets[..len]);
        self.datagram
    }

    /// The datagram's parts; offsets and addresses are valid for a frame that [`Headers::restore`] wrote.
    pub fn datagram(&self) -> &Datagram {
        &self.datagram
    }

    /// The request's headers as octets, Ethernet first.
    pub fn as_bytes(&self) -> &[u8] {
        &self.octets[..self.datagram.header_len()]
    }
}

/// Why a packet has room for its headers: it is as long as they are, and the payload.
const WHOLE: &str = "headers, whose length was checked when they were parsed";
const _: () = assert!(MAX_HEADER_BYTES > ETHERNET_BYTES);
