use crate::MAX_HEADER_BYTES;
use crate::datagram::{Datagram, ETHERNET_BYTES, IPV4_BYTES, UDP_BYTES};

/// Time to live and hop limit of replies: our own, not what the query had left.
const HOPS: u8 = 64;
const DONT_FRAGMENT: u8 = 0x40;

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
pub fn reply_in_place(frame: &mut [u8], request: &Datagram, payload_len: usize) -> usize {
    let reply = request.with_payload(payload_len);
    let end = reply.payload().end;
    swap_halves(&mut frame[..12]);
    swap_halves(&mut frame[reply.addresses()]);
    let udp = usize::from(reply.udp);
    swap_halves(&mut frame[udp..udp + 4]);
    let udp_len = (UDP_BYTES + payload_len) as u16;
    frame[udp + 4..udp + 6].copy_from_slice(&udp_len.to_be_bytes());
    frame[udp + 6..udp + 8].fill(0);
    if reply.is_ipv6 {
        write_ipv6(&mut frame[usize::from(reply.ip)..], udp_len);
    } else {
        write_ipv4(&mut frame[usize::from(reply.ip)..], udp_len);
    }
    let checksum = match reply
        .pseudo_header(frame)
        .octets(reply.udp_segment(frame))
        .complement()
    {
        [0, 0] => [0xff, 0xff], // 0 means "no checksum"
        other => other,
    };
    frame[udp + 6..udp + 8].copy_from_slice(&checksum);
    end
}

/// All of the IPv4 header but the addresses, which stand already.
fn write_ipv4(ip: &mut [u8], udp_len: u16) {
    let [high, low] = (udp_len + IPV4_BYTES as u16).to_be_bytes();
    // Unfragmented and not to be fragmented: the identification may be 0 (RFC 6864, 4.1).
    ip[..12].copy_from_slice(&[0x45, 0, high, low, 0, 0, DONT_FRAGMENT, 0, HOPS, 17, 0, 0]);
    let checksum = crate::checksum::Sum::default()
        .octets(&ip[..IPV4_BYTES])
        .complement();
    ip[10..12].copy_from_slice(&checksum);
}

/// All of the IPv6 header but the addresses; traffic class and flow label 0.
fn write_ipv6(ip: &mut [u8], udp_len: u16) {
    let [high, low] = udp_len.to_be_bytes();
    ip[..8].copy_from_slice(&[0x60, 0, 0, 0, high, low, 17, HOPS]);
}

fn swap_halves(octets: &mut [u8]) {
    let (one, other) = octets.split_at_mut(octets.len() / 2);
    one.swap_with_slice(other);
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

const _: () = assert!(MAX_HEADER_BYTES > ETHERNET_BYTES);
