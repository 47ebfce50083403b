//! Frames built by hand, answered, and checked by a second, naive implementation.

use proptest::prelude::*;

use super::*;
use crate::{Headers, MAX_HEADER_BYTES, reply_in_place};

const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];

/// One's complement sum, word by word (RFC 1071, 1).
fn naive_sum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn pseudo_header(addresses: &[u8], udp_len: usize) -> Vec<u8> {
    [addresses, &[0, 17], &(udp_len as u16).to_be_bytes()].concat()
}

/// A query frame with right checksums.
fn frame(ipv6: bool, vlans: &[u16], payload: &[u8]) -> Vec<u8> {
    let addresses: Vec<u8> = if ipv6 {
        let mut octets = vec![0xfd; 32];
        octets[15] = 2;
        octets[31] = 1;
        octets
    } else {
        vec![10, 11, 1, 2, 10, 11, 1, 1]
    };
    let udp_len = payload.len() + 8;
    let mut udp = [
        40_000u16.to_be_bytes(),
        53u16.to_be_bytes(),
        (udp_len as u16).to_be_bytes(),
        [0, 0],
    ]
    .concat();
    udp.extend(payload);
    let sum = !naive_sum(&[&pseudo_header(&addresses, udp_len), &udp]);
    udp[6..8].copy_from_slice(&if sum == 0 { 0xffff } else { sum }.to_be_bytes());
    let mut frame = [SERVER_MAC, CLIENT_MAC].concat();
    for vlan in vlans {
        frame.extend([0x81, 0]);
        frame.extend(vlan.to_be_bytes());
    }
    if ipv6 {
        frame.extend([0x86, 0xdd, 0x61, 0x23, 0x45, 0x67]);
        frame.extend((udp_len as u16).to_be_bytes());
        frame.extend([17, 3]);
        frame.extend(&addresses);
    } else {
        frame.extend([8, 0]);
        let start = frame.len();
        frame.extend([0x45, 0x10]);
        frame.extend((udp_len as u16 + 20).to_be_bytes());
        frame.extend([7, 7, 0, 0, 3, 17, 0, 0]);
        frame.extend(&addresses);
        let sum = !naive_sum(&[&frame[start..]]);
        frame[start + 10..start + 12].copy_from_slice(&sum.to_be_bytes());
    }
    frame.extend(udp);
    frame
}

/// Corrects the IPv4 header checksum after a change, so that the change alone is what is seen.
fn mend_ipv4(frame: &mut [u8]) {
    frame[24..26].fill(0);
    let sum = !naive_sum(&[&frame[14..34]]);
    frame[24..26].copy_from_slice(&sum.to_be_bytes());
}

#[test]
fn reads_addresses_and_payload() {
    for (ipv6, vlans) in [
        (false, &[][..]),
        (false, &[5]),
        (true, &[]),
        (true, &[5, 4094]),
    ] {
        let frame = frame(ipv6, vlans, b"hello");
        let datagram = Datagram::parse(&frame).unwrap();
        assert_eq!(&frame[datagram.payload()], b"hello");
        assert_eq!(datagram.is_ipv6(), ipv6);
        assert_eq!(datagram.ip_overhead(), if ipv6 { 48 } else { 28 });
        let ip = |last| {
            if ipv6 {
                format!("[{}{last:x}]", "fdfd:".repeat(7) + "fd0")
            } else {
                format!("10.11.1.{last}")
            }
        };
        assert_eq!(
            datagram.source(&frame),
            format!("{}:40000", ip(2)).parse().unwrap()
        );
        assert_eq!(
            datagram.destination(&frame),
            format!("{}:53", ip(1)).parse().unwrap()
        );
    }
}

#[test]
fn padding_is_legal_and_not_payload() {
    for ipv6 in [false, true] {
        let mut padded = frame(ipv6, &[], b"root?");
        padded.resize(100, 0x55);
        let datagram = Datagram::parse(&padded).unwrap();
        assert_eq!(&padded[datagram.payload()], b"root?");
        padded[datagram.payload().start..][..2].copy_from_slice(b"ok");
        let len = reply_in_place(&mut padded, &datagram, 2);
        assert_eq!(len, datagram.header_len() + 2);
    }
}

#[test]
fn three_tags_and_other_types_are_not_ours() {
    assert_eq!(
        Datagram::parse(&frame(false, &[1, 2, 3], b"x")),
        Err(Reject::Ethertype)
    );
    let mut arp = frame(false, &[], b"x");
    arp[13] = 6;
    assert_eq!(Datagram::parse(&arp), Err(Reject::Ethertype));
}

#[test]
fn every_cut_is_refused() {
    for ipv6 in [false, true] {
        let whole = frame(ipv6, &[9], b"some payload");
        for cut in 0..whole.len() {
            let error = Datagram::parse(&whole[..cut]).unwrap_err();
            assert!(
                matches!(error, Reject::Short | Reject::IpHeader),
                "{cut}: {error:?}"
            );
        }
    }
}

#[test]
fn ipv4_headers_that_are_refused() {
    let cases: [(usize, u8, Reject); 11] = [
        (14, 0x46, Reject::IpHeader),
        (14, 0x55, Reject::IpHeader),
        (17, 27, Reject::IpHeader),
        (20, 0x20, Reject::Fragment),
        (21, 1, Reject::Fragment),
        (23, 6, Reject::Protocol),
        (26, 127, Reject::Source),
        (26, 224, Reject::Source),
        (29, 1, Reject::Source), // the server's own address
        (30, 224, Reject::Destination),
        (0, 3, Reject::Destination),
    ];
    for (at, value, want) in cases {
        let mut frame = frame(false, &[], b"payload");
        frame[at] = value;
        mend_ipv4(&mut frame);
        assert_eq!(Datagram::parse(&frame), Err(want), "octet {at}");
    }
    let mut frame = frame(false, &[], b"payload");
    frame[22] ^= 1;
    assert_eq!(Datagram::parse(&frame), Err(Reject::Checksum));
}

#[test]
fn ipv6_headers_that_are_refused() {
    let cases: [(usize, u8, Reject); 8] = [
        (14, 0x45, Reject::IpHeader),
        (19, 7, Reject::IpHeader),
        (19, 200, Reject::IpHeader),
        (20, 44, Reject::Protocol),
        (22, 0xff, Reject::Source),
        (37, 1, Reject::Source), // the server's own address
        (38, 0xff, Reject::Destination),
        (0, 0x33, Reject::Destination),
    ];
    for (at, value, want) in cases {
        let mut frame = frame(true, &[], b"payload");
        frame[at] = value;
        assert_eq!(Datagram::parse(&frame), Err(want), "octet {at}");
    }
    for last in [0, 1] {
        let mut frame = frame(true, &[], b"payload");
        frame[22..38].fill(0);
        frame[37] = last;
        assert_eq!(Datagram::parse(&frame), Err(Reject::Source));
    }
}

#[test]
fn udp_lengths_ports_and_checksums() {
    for ipv6 in [false, true] {
        let good = frame(ipv6, &[], b"payload");
        let udp = Datagram::parse(&good).unwrap().header_len() - 8;
        let with = |at: usize, value: u8| {
            let mut frame = good.clone();
            frame[udp + at] = value;
            Datagram::parse(&frame)
        };
        assert_eq!(with(5, 14), Err(Reject::Udp), "shorter than IP says");
        assert_eq!(with(5, 16), Err(Reject::Udp), "longer than IP says");
        assert_eq!(with(9, b'!'), Err(Reject::Checksum), "changed payload");
        let mut no_port = good.clone();
        no_port[udp..udp + 2].fill(0);
        assert_eq!(Datagram::parse(&no_port), Err(Reject::Udp));
        let mut unsummed = good.clone();
        unsummed[udp + 6..udp + 8].fill(0);
        assert_eq!(
            Datagram::parse(&unsummed).is_ok(),
            !ipv6,
            "no checksum: IPv4 only"
        );
        let mut partial = good.clone();
        let addresses = good[udp - if ipv6 { 32 } else { 8 }..udp].to_vec();
        let sum = naive_sum(&[&pseudo_header(&addresses, good.len() - udp)]);
        partial[udp + 6..udp + 8].copy_from_slice(&sum.to_be_bytes());
        assert!(
            Datagram::parse(&partial).is_ok(),
            "left to hardware that is not there"
        );
    }
}

#[test]
fn kept_headers_make_the_same_reply() {
    for (ipv6, vlans) in [(false, &[7][..]), (true, &[7, 8])] {
        let request = frame(ipv6, vlans, b"query");
        let datagram = Datagram::parse(&request).unwrap();
        let headers = Headers::save(&request, &datagram);
        assert_eq!(headers.as_bytes(), &request[..datagram.header_len()]);
        let mut at_once = request.clone();
        at_once[datagram.payload()].copy_from_slice(b"reply");
        let at_once_len = reply_in_place(&mut at_once, &datagram, 5);
        let mut later = vec![0xaa; MAX_HEADER_BYTES + 5];
        let restored = headers.restore(&mut later);
        later[restored.payload()].copy_from_slice(b"reply");
        let later_len = reply_in_place(&mut later, &restored, 5);
        assert_eq!(later[..later_len], at_once[..at_once_len]);
    }
}

proptest! {
    /// Everything about a reply, against the naive implementation.
    #[test]
    fn replies_are_right(
        ipv6: bool,
        vlans in proptest::collection::vec(1u16..4095, 0..3),
        query in proptest::collection::vec(any::<u8>(), 0..300),
        reply in proptest::collection::vec(any::<u8>(), 0..1300),
    ) {
        let request = frame(ipv6, &vlans, &query);
        let datagram = Datagram::parse(&request).unwrap();
        let mut buf = request.clone();
        buf.resize(2048, 0x5a);
        let start = datagram.header_len();
        buf[start..start + reply.len()].copy_from_slice(&reply);
        let len = reply_in_place(&mut buf, &datagram, reply.len());
        let answer = &buf[..len];
        prop_assert_eq!(len, start + reply.len());
        prop_assert_eq!(&answer[start..], &reply[..]);
        prop_assert_eq!(&answer[..6], CLIENT_MAC);
        prop_assert_eq!(&answer[6..12], SERVER_MAC);
        let ip = 14 + vlans.len() * 4;
        prop_assert_eq!(&answer[12..ip], &request[12..ip]);
        let parsed = Datagram::parse(answer).unwrap();
        prop_assert_eq!(parsed.source(answer), datagram.destination(&request));
        prop_assert_eq!(parsed.destination(answer), datagram.source(&request));
        let udp = start - 8;
        let addresses = &answer[udp - if ipv6 { 32 } else { 8 }..udp];
        prop_assert_eq!(naive_sum(&[&pseudo_header(addresses, len - udp), &answer[udp..]]), 0xffff);
        prop_assert_ne!(&answer[udp + 6..udp + 8], &[0, 0]);
        if ipv6 {
            prop_assert_eq!(answer[ip + 7], 64);
        } else {
            prop_assert_eq!(naive_sum(&[&answer[ip..ip + 20]]), 0xffff);
            prop_assert_eq!(answer[ip + 8], 64);
            prop_assert_eq!(answer[ip + 6], 0x40);
        }
    }

    #[test]
    fn no_octets_make_it_panic(mut octets in proptest::collection::vec(any::<u8>(), 0..200), ethertype in 0usize..4) {
        if octets.len() > 14 {
            let types = [[8, 0], [0x86, 0xdd], [0x81, 0], [octets[12], octets[13]]];
            octets[12..14].copy_from_slice(&types[ethertype]);
            octets[14] = [0x45, 0x60, octets[14], octets[14]][ethertype];
        }
        if let Ok(datagram) = Datagram::parse(&octets) {
            datagram.source(&octets);
            datagram.destination(&octets);
            let len = datagram.payload().len();
            reply_in_place(&mut octets, &datagram, len);
        }
    }
}
