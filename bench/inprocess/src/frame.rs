use std::net::{Ipv4Addr, SocketAddrV4};

/// Room for a reply.
pub const BUFFER_BYTES: usize = 2048;

/// Ethernet, IPv4 and UDP in front of the query.
pub(crate) const HEADERS: usize = 14 + 20 + 8;
/// The client and the server.
pub(crate) const CLIENT: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 40_000);
pub(crate) const SERVER: SocketAddrV4 = SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 1), 53);
/// Where the digits of a name stand: behind the headers, the DNS header, a length and a letter.
const DIGITS_AT: usize = HEADERS + 12 + 2;
const DIGITS: usize = 7;

/// The frame of a query for a name's address, as it comes from the interface; without a UDP checksum, so that the name can
/// be changed in place.
pub fn frame(name: &str) -> Vec<u8> {
    let query = query(name);
    let udp_len = query.len() as u16 + 8;
    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0];
    frame.extend((udp_len + 20).to_be_bytes());
    frame.extend([0, 0, 0x40, 0, 64, 17, 0, 0]);
    frame.extend(CLIENT.ip().octets());
    frame.extend(SERVER.ip().octets());
    let sum = header_checksum(&frame[14..34]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
    for number in [CLIENT.port(), SERVER.port(), udp_len, 0] {
        frame.extend(number.to_be_bytes());
    }
    frame.extend(query);
    frame
}

/// Puts another number into the name of a frame of [`frame`].
#[inline]
pub fn renumber(frame: &mut [u8], number: u32) {
    let mut left = number;
    for digit in frame[DIGITS_AT..DIGITS_AT + DIGITS].iter_mut().rev() {
        *digit = b'0' + (left % 10) as u8;
        left /= 10;
    }
}

fn query(name: &str) -> Vec<u8> {
    let mut query = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        query.push(label.len() as u8);
        query.extend(label.bytes());
    }
    query.extend([0, 0, 1, 0, 1]);
    query
}

/// RFC 791, section 3.1; the checksum's own field is zero.
fn header_checksum(header: &[u8]) -> u16 {
    let words = header.chunks(2);
    let sum: u32 = words
        .map(|word| u32::from(word[0]) << 8 | u32::from(word[1]))
        .sum();
    !((sum & 0xffff) + (sum >> 16)) as u16
}
