//! Rows about IP headers and addresses.
#![expect(clippy::too_many_lines, reason = "flat tables")]

use std::net::{Ipv4Addr, Ipv6Addr};

use sluicegate_bpf::Exit;

use crate::frame::{V6, query, v4, v6};
use crate::rows::{Row, row};

pub(crate) fn ipv4() -> Vec<Row> {
    use Exit::{
        Ipv4Fragment as Fragment, Ipv4Header as Header, Ipv4Length as Length,
        Ipv4Options as Options,
    };
    let right = (20 + 8 + query().len()) as u16;
    let length = |bytes: u16| v4().ip4(|ip| ip.total_length = Some(bytes));
    vec![
        row("ipv4: version 5", Header, &v4().ip4(|ip| ip.version = 5)),
        row("ipv4: version 6", Header, &v4().ip4(|ip| ip.version = 6)),
        row("ipv4: IHL 4", Header, &v4().ip4(|ip| ip.ihl = Some(4))),
        row("ipv4: IHL 0", Header, &v4().ip4(|ip| ip.ihl = Some(0))),
        row(
            "ipv4: header cut off",
            Header,
            &v4().with(|f| f.cut = Some(33)),
        ),
        row(
            "ipv4: router alert option",
            Options,
            &v4().ip4(|ip| ip.options = vec![0x94, 4, 0, 0]),
        ),
        row(
            "ipv4: 40 bytes of options",
            Options,
            &v4().ip4(|ip| ip.options = vec![1; 40]),
        ),
        row(
            "ipv4: IHL 6 without an option",
            Options,
            &v4().ip4(|ip| ip.ihl = Some(6)),
        ),
        row(
            "ipv4: first fragment",
            Fragment,
            &v4().ip4(|ip| ip.fragment = 0x2000),
        ),
        row(
            "ipv4: middle fragment",
            Fragment,
            &v4().ip4(|ip| ip.fragment = 0x2010),
        ),
        row(
            "ipv4: last fragment",
            Fragment,
            &v4().ip4(|ip| ip.fragment = 0x0010),
        ),
        row(
            "ipv4: DF and an offset",
            Fragment,
            &v4().ip4(|ip| ip.fragment = 0x4001),
        ),
        row(
            "ipv4: reserved flag",
            Fragment,
            &v4().ip4(|ip| ip.fragment = 0x8000),
        ),
        row(
            "ipv4: total length beyond the frame",
            Length,
            &length(right + 1),
        ),
        row(
            "ipv4: total length 65535",
            Length,
            &v4().ip4(|ip| ip.total_length = Some(65535)),
        ),
        row(
            "ipv4: total length below the header",
            Length,
            &v4().ip4(|ip| ip.total_length = Some(19)),
        ),
        row(
            "ipv4: total length 0",
            Length,
            &v4().ip4(|ip| ip.total_length = Some(0)),
        ),
        row(
            "ipv4: total length one less than UDP's",
            Exit::UdpLength,
            &length(right - 1),
        ),
        row(
            "ipv4: total length of the header alone",
            Exit::UdpLength,
            &v4().ip4(|ip| ip.total_length = Some(20)),
        ),
        row(
            "ipv4: total length counts a byte of padding",
            Exit::UdpLength,
            &length(right + 1).with(|f| f.padding = 1),
        ),
        row("ipv4: TCP", Exit::Protocol, &v4().ip4(|ip| ip.protocol = 6)),
        row(
            "ipv4: ICMP",
            Exit::Protocol,
            &v4().ip4(|ip| ip.protocol = 1),
        ),
        row(
            "ipv4: UDP-Lite",
            Exit::Protocol,
            &v4().ip4(|ip| ip.protocol = 136),
        ),
    ]
}

pub(crate) fn ipv6() -> Vec<Row> {
    use Exit::{Ipv6Header as Header, Ipv6Length as Length, Protocol};
    let right = (8 + query().len()) as u16;
    let length = |bytes: u16| v6().ip6(|ip| ip.payload_length = Some(bytes));
    let extension = |number: u8, bytes: &[u8]| {
        let bytes = bytes.to_vec();
        v6().ip6(|ip| (ip.next_header, ip.extensions) = (number, bytes))
    };
    vec![
        row("ipv6: version 4", Header, &v6().ip6(|ip| ip.version = 4)),
        row(
            "ipv6: header cut off",
            Header,
            &v6().with(|f| f.cut = Some(53)),
        ),
        row(
            "ipv6: payload length beyond the frame",
            Length,
            &length(right + 1),
        ),
        row("ipv6: payload length 65535", Length, &length(65535)),
        row(
            "ipv6: payload length one less than UDP's",
            Exit::UdpLength,
            &length(right - 1),
        ),
        row(
            "ipv6: payload length counts a byte of padding",
            Exit::UdpLength,
            &length(right + 1).with(|f| f.padding = 1),
        ),
        row(
            "ipv6: payload length 0 (jumbogram)",
            Exit::UdpLength,
            &length(0),
        ),
        row(
            "ipv6: hop-by-hop options",
            Protocol,
            &extension(0, &[17, 0, 1, 4, 0, 0, 0, 0]),
        ),
        row(
            "ipv6: destination options",
            Protocol,
            &extension(60, &[17, 0, 1, 4, 0, 0, 0, 0]),
        ),
        row(
            "ipv6: routing header",
            Protocol,
            &extension(43, &[17, 0, 4, 0, 0, 0, 0, 0]),
        ),
        row(
            "ipv6: fragment header",
            Protocol,
            &extension(44, &[17, 0, 0, 1, 0, 0, 0, 7]),
        ),
        row(
            "ipv6: atomic fragment",
            Protocol,
            &extension(44, &[17, 0, 0, 0, 0, 0, 0, 7]),
        ),
        row("ipv6: TCP", Protocol, &extension(6, &[])),
        row("ipv6: ICMPv6", Protocol, &extension(58, &[])),
        row("ipv6: no next header", Protocol, &extension(59, &[])),
    ]
}

pub(crate) fn addresses4() -> Vec<Row> {
    use Exit::{NotListening, SourceAddress as Source};
    let from = |a: [u8; 4]| v4().ip4(|ip| ip.source = Ipv4Addr::from(a));
    let to = |a: [u8; 4]| v4().ip4(|ip| ip.destination = Ipv4Addr::from(a));
    vec![
        row("source: 0.0.0.0", Source, &from([0; 4])),
        row("source: 0.1.2.4", Source, &from([0, 1, 2, 4])),
        row("source: 127.0.0.1", Source, &from([127, 0, 0, 1])),
        row("source: 224.0.0.1", Source, &from([224, 0, 0, 1])),
        row("source: 240.0.0.1", Source, &from([240, 0, 0, 1])),
        row("source: 255.255.255.255", Source, &from([255; 4])),
        row(
            "source: broadcast of the own prefix",
            Source,
            &from([192, 0, 2, 255]),
        ),
        row("source: the own address", Source, &from([192, 0, 2, 1])),
        row("destination: 255.255.255.255", NotListening, &to([255; 4])),
        row(
            "destination: broadcast of the own prefix",
            NotListening,
            &to([192, 0, 2, 255]),
        ),
        row(
            "destination: 224.0.0.251",
            NotListening,
            &to([224, 0, 0, 251]),
        ),
        row(
            "destination: a neighbour's address",
            NotListening,
            &to([192, 0, 2, 2]),
        ),
    ]
}

pub(crate) fn addresses6() -> Vec<Row> {
    use Exit::{NotListening, SourceAddress as Source};
    let address = |text: &str| -> Ipv6Addr { text.parse().expect("an address") };
    let from = |text: &str| v6().ip6(|ip| ip.source = address(text));
    let to = |text: &str| v6().ip6(|ip| ip.destination = address(text));
    vec![
        row("source: ::", Source, &from("::")),
        row("source: ::1", Source, &from("::1")),
        row("source: ff02::1", Source, &from("ff02::1")),
        row(
            "source: ::ffff:192.0.2.100",
            Source,
            &from("::ffff:192.0.2.100"),
        ),
        row("source: ::192.0.2.100", Source, &from("::192.0.2.100")),
        row("source: the own IPv6 address", Source, &from("2001:db8::1")),
        row("destination: ff02::fb", NotListening, &to("ff02::fb")),
        row(
            "destination: IPv4-mapped own IPv4 address",
            NotListening,
            &v6().ip6(mapped_destination),
        ),
        row(
            "destination: another IPv6 address",
            NotListening,
            &to("2001:db8::2"),
        ),
    ]
}

fn mapped_destination(ip: &mut V6) {
    ip.destination = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
}
