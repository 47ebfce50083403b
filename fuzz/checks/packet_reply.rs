//! What must hold for every frame, whatever is in it. Run by the fuzz target and, over its corpus, by `cargo test`.
//!
//! ```text
//! 0        1
//! | control | frame ...
//! ```
//! Control, bit 0: put the checksums right first, else hardly a mutated frame would get past them. Bits 1 to 7:
//! length of the reply's payload, in units of 12 octets.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::ops::Range;

use sluicegate_packet::{Datagram, Headers, MAX_HEADER_BYTES, reply_in_place};

/// Panics if a frame is judged or answered otherwise than the naive reading below has it.
pub(crate) fn check(data: &[u8]) {
    let Some((&control, frame)) = data.split_first() else {
        return;
    };
    let mut frame = frame.to_vec();
    if control & 1 != 0 {
        mend_checksums(&mut frame);
    }
    let expected = Parts::read(&frame);
    let parsed = Datagram::parse(&frame);
    assert_eq!(
        parsed.is_ok(),
        expected.is_some(),
        "{parsed:?} of {frame:x?}"
    );
    if let (Ok(datagram), Some(parts)) = (parsed, expected) {
        assert_eq!(datagram.payload(), parts.payload);
        assert_eq!(datagram.is_ipv6(), parts.is_ipv6());
        assert_eq!(datagram.source(&frame), parts.endpoint(&frame, 0));
        assert_eq!(datagram.destination(&frame), parts.endpoint(&frame, 1));
        check_reply(&frame, datagram, &parts, usize::from(control >> 1) * 12);
    }
}

/// Answers the frame with some octets and reads the answer.
fn check_reply(frame: &[u8], request: Datagram, parts: &Parts, reply_len: usize) {
    let start = parts.payload.start;
    let headers = Headers::save(frame, &request);
    let mut buf = frame.to_vec();
    buf.resize(buf.len().max(start + reply_len) + 16, 0xa5);
    let reply: Vec<u8> = (0..reply_len).map(|place| (place * 7 + 3) as u8).collect();
    buf[start..start + reply_len].copy_from_slice(&reply);
    let behind = buf[start + reply_len..].to_vec();
    let len = reply_in_place(&mut buf, &request, reply_len);
    assert_eq!(len, start + reply_len);
    assert_eq!(buf[len..], behind, "nothing behind the reply is touched");
    let answer = &buf[..len];
    assert_eq!(answer[..6], frame[6..12]);
    assert_eq!(answer[6..12], frame[..6]);
    assert_eq!(
        answer[12..parts.ip],
        frame[12..parts.ip],
        "VLAN tags and type stay"
    );
    assert_eq!(answer[start..], reply);
    check_headers(answer, parts);
    let sent = Parts {
        payload: start..len,
        ..*parts
    };
    assert_eq!(sent.endpoint(answer, 0), parts.endpoint(frame, 1));
    assert_eq!(sent.endpoint(answer, 1), parts.endpoint(frame, 0));

    let mut later = vec![0x5a; MAX_HEADER_BYTES + reply_len];
    let restored = headers.restore(&mut later);
    assert_eq!(restored, request);
    later[start..start + reply_len].copy_from_slice(&reply);
    let later_len = reply_in_place(&mut later, &restored, reply_len);
    assert_eq!(
        later[..later_len],
        *answer,
        "a later reply is the same as one at once"
    );
}

/// Lengths, hops and checksums of a reply that ends where `answer` does.
fn check_headers(answer: &[u8], parts: &Parts) {
    let (ip, udp) = (&answer[parts.ip..parts.udp], &answer[parts.udp..]);
    if parts.is_ipv6() {
        assert_eq!(ip[..4], [0x60, 0, 0, 0]);
        assert_eq!(word(ip, 4), udp.len());
        assert_eq!(ip[6..8], [17, 64]);
    } else {
        assert_eq!(ip[..2], [0x45, 0]);
        assert_eq!(word(ip, 2), ip.len() + udp.len());
        assert_eq!(ip[4..10], [0, 0, 0x40, 0, 64, 17]);
        assert_eq!(sum(&[ip]), 0xffff);
    }
    assert_eq!(word(udp, 4), udp.len());
    assert_ne!(word(udp, 6), 0, "a checksum is always there");
    assert_eq!(sum(&[&pseudo_header(ip, udp.len()), udp]), 0xffff);
}

/// A frame that can be answered, read slowly: one idea a line.
struct Parts {
    ip: usize,
    udp: usize,
    payload: Range<usize>,
}

impl Parts {
    fn read(frame: &[u8]) -> Option<Self> {
        let ip = ip_offset(frame)?;
        let header = &frame[ip..];
        let (header_len, packet_len) = match word(frame, ip - 2) {
            0x0800 if header.len() >= 20 && header[0] == 0x45 => (20, word(header, 2)),
            0x86dd if header.len() >= 40 && header[0] / 16 == 6 => (40, 40 + word(header, 4)),
            _ => return None,
        };
        let packet = header.get(..packet_len)?;
        if packet_len < header_len + 8 {
            return None;
        }
        let (header, udp) = packet.split_at(header_len);
        let ipv6 = header_len == 40;
        let one_to_one = if ipv6 {
            let (source, destination) = (ipv6_address(header, 8), ipv6_address(header, 24));
            let group = source.is_multicast() || destination.is_multicast();
            !group && !source.is_loopback() && !source.is_unspecified() && source != destination
        } else {
            let is_host = |octet: u8| octet < 224;
            let (source, destination) = (&header[12..16], &header[16..20]);
            is_host(source[0])
                && is_host(destination[0])
                && ![0, 127].contains(&source[0])
                && source != destination
        };
        let one_to_one = one_to_one && frame[0] & 1 == 0;
        let fragment = !ipv6 && word(header, 6) & !0xc000 != 0;
        let protocol = if ipv6 { header[6] } else { header[9] };
        let header_is_whole = ipv6 || sum(&[header]) == 0xffff;
        let pseudo = pseudo_header(header, udp.len());
        let checksum_is_right = match word(udp, 6) {
            0 => !ipv6,
            field => sum(&[&pseudo, udp]) == 0xffff || field == usize::from(sum(&[&pseudo])),
        };
        let answerable = one_to_one && word(udp, 0) != 0 && word(udp, 4) == udp.len();
        let good =
            answerable && !fragment && protocol == 17 && header_is_whole && checksum_is_right;
        let start = ip + header_len;
        good.then_some(Self {
            ip,
            udp: start,
            payload: start + 8..ip + packet_len,
        })
    }

    fn is_ipv6(&self) -> bool {
        self.udp - self.ip == 40
    }

    fn endpoint(&self, frame: &[u8], side: usize) -> SocketAddr {
        let header = &frame[self.ip..];
        let ip = if self.is_ipv6() {
            IpAddr::V6(ipv6_address(header, 8 + 16 * side))
        } else {
            let at = 12 + 4 * side;
            IpAddr::from([header[at], header[at + 1], header[at + 2], header[at + 3]])
        };
        SocketAddr::new(ip, word(frame, self.udp + 2 * side) as u16)
    }
}

/// Where IP begins, behind at most two VLAN tags.
fn ip_offset(frame: &[u8]) -> Option<usize> {
    let tags = frame
        .get(12..)?
        .chunks(4)
        .take_while(|tag| [&[0x81, 0][..], &[0x88, 0xa8]].contains(&&tag[..tag.len().min(2)]))
        .count();
    let ip = 14 + 4 * tags;
    (tags <= 2 && frame.len() >= ip).then_some(ip)
}

/// Gives an IP packet the checksums it should have, as far as its lengths allow.
fn mend_checksums(frame: &mut [u8]) {
    let Some(ip) = ip_offset(frame) else { return };
    let (header_len, packet_len) = match (word(frame, ip - 2), frame.len() - ip) {
        (0x0800, 20..) => (20, word(frame, ip + 2)),
        (0x86dd, 40..) => (40, 40 + word(frame, ip + 4)),
        _ => return,
    };
    if header_len == 20 {
        frame[ip + 10..ip + 12].fill(0);
        let checksum = !sum(&[&frame[ip..ip + 20]]);
        frame[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());
    }
    let udp = ip + header_len;
    if packet_len >= header_len + 8 && ip + packet_len <= frame.len() {
        frame[udp + 6..udp + 8].fill(0);
        let segment = &frame[udp..ip + packet_len];
        let checksum = match !sum(&[&pseudo_header(&frame[ip..udp], segment.len()), segment]) {
            0 => 0xffff,
            other => other,
        };
        frame[udp + 6..udp + 8].copy_from_slice(&checksum.to_be_bytes());
    }
}

/// The pseudo-header of RFC 768 and RFC 8200, 8.1; zeros left out.
fn pseudo_header(ip_header: &[u8], udp_len: usize) -> Vec<u8> {
    let addresses = if ip_header.len() == 40 {
        &ip_header[8..]
    } else {
        &ip_header[12..]
    };
    [addresses, &[0, 17], &(udp_len as u16).to_be_bytes()].concat()
}

/// The ones' complement sum, word by word (RFC 1071). All parts but the last are of even length.
fn sum(parts: &[&[u8]]) -> u16 {
    let mut total = 0u32;
    for pair in parts.iter().flat_map(|part| part.chunks(2)) {
        total += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

fn word(bytes: &[u8], at: usize) -> usize {
    usize::from(bytes[at]) << 8 | usize::from(bytes[at + 1])
}

fn ipv6_address(bytes: &[u8], at: usize) -> Ipv6Addr {
    let mut octets = [0; 16];
    octets.copy_from_slice(&bytes[at..at + 16]);
    Ipv6Addr::from(octets)
}
