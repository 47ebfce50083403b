//! Rows about Ethernet headers and VLAN tags.
#![expect(clippy::too_many_lines, reason = "flat tables")]

use sluicegate_bpf::Exit;

use crate::frame::{BRIDGE_MAC, CLIENT_MAC, Frame, TPID_8021AD, TPID_8021Q, v4, v6};
use crate::rows::{MAX_FRAME_BYTES, Row, V4_HEADERS, V6_HEADERS, fill, row};

pub(crate) fn link() -> Vec<Row> {
    let to = |mac| move |f: &mut Frame| f.destination_mac = mac;
    let from_group = |f: &mut Frame| f.source_mac[0] |= 1;
    vec![
        row("link: broadcast", Exit::OtherMac, &v4().with(to([0xff; 6]))),
        row(
            "link: multicast",
            Exit::OtherMac,
            &v6().with(to([0x33, 0x33, 0, 0, 0, 1])),
        ),
        row(
            "link: somebody else's MAC",
            Exit::OtherMac,
            &v4().with(to(CLIENT_MAC)),
        ),
        row(
            "link: last byte of the MAC differs",
            Exit::OtherMac,
            &v4().with(|f| f.destination_mac[5] ^= 1),
        ),
        row(
            "link: first byte of the MAC differs",
            Exit::OtherMac,
            &v4().with(|f| f.destination_mac[0] ^= 4),
        ),
        row(
            "link: to the MAC of another interface of this host",
            Exit::OtherMac,
            &v4().with(to(BRIDGE_MAC)),
        ),
        row(
            "link: somebody else's query to somebody else",
            Exit::NotListening,
            &v4()
                .with(to(CLIENT_MAC))
                .ip4(|ip| ip.destination = [192, 0, 2, 77].into()),
        ),
        row(
            "link: from a group MAC",
            Exit::SourceMac,
            &v4().with(from_group),
        ),
        row(
            "link: ARP",
            Exit::Ethertype,
            &v4().with(|f| f.ethertype = Some(0x0806)),
        ),
        row(
            "link: IEEE 802.3 length field",
            Exit::Ethertype,
            &v4().with(|f| f.ethertype = Some(46)),
        ),
        row(
            "link: IPv6 under IPv4's ethertype",
            Exit::Ipv4Header,
            &v6().with(|f| f.ethertype = Some(0x0800)),
        ),
        row(
            "link: IPv4 under IPv6's ethertype",
            Exit::Ipv6Header,
            &v4().with(|f| f.ethertype = Some(0x86dd)),
        ),
        row(
            "link: one byte too long",
            Exit::Oversize,
            &v4().with(|f| fill(f, V4_HEADERS, 1)),
        ),
        row(
            "link: one byte of padding too long",
            Exit::Oversize,
            &v6().with(overpad),
        ),
        row(
            "link: Ethernet header alone",
            Exit::Ipv4Header,
            &v4().with(|f| f.cut = Some(14)),
        ),
    ]
}

pub(crate) fn vlan() -> Vec<Row> {
    use Exit::{Ethertype, NotListening, Redirected, Vlan};
    let tags = |frame: Frame, tags: &[(u16, u16)]| frame.with(|f| f.tags = tags.to_vec());
    let (q, ad) = (TPID_8021Q, TPID_8021AD);
    vec![
        row("vlan: 802.1Q 5, IPv4", Redirected, &tags(v4(), &[(q, 5)])),
        row("vlan: 802.1Q 5, IPv6", Redirected, &tags(v6(), &[(q, 5)])),
        row("vlan: 802.1ad 7, IPv4", Redirected, &tags(v4(), &[(ad, 7)])),
        row("vlan: 802.1ad 7, IPv6", Redirected, &tags(v6(), &[(ad, 7)])),
        row(
            "vlan: 802.1ad 5 where 802.1Q 5 is listened on, IPv4",
            NotListening,
            &tags(v4(), &[(ad, 5)]),
        ),
        row(
            "vlan: 802.1ad 5 where 802.1Q 5 is listened on, IPv6",
            NotListening,
            &tags(v6(), &[(ad, 5)]),
        ),
        row(
            "vlan: 802.1Q 7 where 802.1ad 7 is listened on",
            NotListening,
            &tags(v4(), &[(q, 7)]),
        ),
        row(
            "vlan: priority and drop bits do not count",
            Redirected,
            &tags(v4(), &[(q, 0xf005)]),
        ),
        row(
            "vlan: 802.1ad 100 and 802.1Q 200, IPv4",
            Redirected,
            &tags(v4(), &[(ad, 100), (q, 200)]),
        ),
        row(
            "vlan: 802.1ad 100 and 802.1Q 200, IPv6",
            Redirected,
            &tags(v6(), &[(ad, 100), (q, 200)]),
        ),
        row(
            "vlan: 802.1Q twice where the outer one is 802.1ad",
            NotListening,
            &tags(v4(), &[(q, 100), (q, 200)]),
        ),
        row(
            "vlan: 802.1ad twice where the inner one is 802.1Q",
            NotListening,
            &tags(v6(), &[(ad, 100), (ad, 200)]),
        ),
        row(
            "vlan: to the MAC of the interface that has the address",
            Redirected,
            &tags(v4().with(|f| f.destination_mac = BRIDGE_MAC), &[(q, 300)]),
        ),
        row(
            "vlan: to the MAC of the interface below it",
            Exit::OtherMac,
            &tags(v4(), &[(q, 300)]),
        ),
        row(
            "vlan: with padding",
            Redirected,
            &tags(v4().with(|f| f.padding = 9), &[(q, 5)]),
        ),
        row(
            "vlan: no tag, address of VLAN 5 only",
            NotListening,
            &v4().ip4(|ip| ip.destination = [192, 0, 2, 5].into()),
        ),
        row(
            "vlan: an identifier that is not listened on",
            NotListening,
            &tags(v4(), &[(q, 6)]),
        ),
        row(
            "vlan: inner differs",
            NotListening,
            &tags(v4(), &[(ad, 100), (q, 201)]),
        ),
        row(
            "vlan: outer differs",
            NotListening,
            &tags(v6(), &[(ad, 101), (q, 200)]),
        ),
        row(
            "vlan: outer and inner exchanged",
            NotListening,
            &tags(v4(), &[(ad, 200), (q, 100)]),
        ),
        row(
            "vlan: inner missing",
            NotListening,
            &tags(v4(), &[(ad, 100)]),
        ),
        row(
            "vlan: priority tag (identifier 0)",
            Vlan,
            &tags(v4(), &[(q, 0xe000)]),
        ),
        row(
            "vlan: inner priority tag",
            Vlan,
            &tags(v4(), &[(ad, 5), (q, 0)]),
        ),
        row(
            "vlan: three tags",
            Ethertype,
            &tags(v4(), &[(ad, 100), (q, 200), (q, 5)]),
        ),
        row(
            "vlan: tag cut off",
            Vlan,
            &tags(v4(), &[(q, 5)]).with(|f| f.cut = Some(17)),
        ),
        row(
            "vlan: second tag cut off",
            Vlan,
            &tags(v4(), &[(ad, 100), (q, 200)]).with(|f| f.cut = Some(20)),
        ),
        row(
            "vlan: ARP behind the tag",
            Ethertype,
            &tags(v4(), &[(q, 5)]).with(|f| f.ethertype = Some(0x0806)),
        ),
        row(
            "vlan: IPv4 length reaches beyond the tagged frame",
            Exit::Ipv4Length,
            &tags(v4(), &[(q, 5)]).with(one_short),
        ),
    ]
}

fn overpad(f: &mut Frame) {
    f.padding = MAX_FRAME_BYTES + 1 - V6_HEADERS - f.payload.len();
}

/// Cuts the frame's last byte off.
fn one_short(f: &mut Frame) {
    f.cut = Some(f.bytes().len() - 1);
}
