//! The table: what a frame is, in which state the maps are, and by which exit it must leave.
#![expect(clippy::too_many_lines, reason = "flat tables")]

use std::net::{Ipv4Addr, Ipv6Addr};

use sluicegate_bpf::Exit;

use crate::frame::{BRIDGE_MAC, CLIENT_MAC, Frame, TPID_8021AD, TPID_8021Q, query, v4, v6};

/// The longest frame that the table's interface takes.
pub(crate) const MAX_FRAME_BYTES: usize = 1792;
/// IPv4's own headers in front of the DNS message: Ethernet, IPv4, UDP.
const V4_HEADERS: usize = 14 + 20 + 8;
/// The same for IPv6.
const V6_HEADERS: usize = 14 + 40 + 8;

/// The state of the maps beside what is listened on.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum State {
    /// Queue 0 is enabled and has a socket.
    Serving,
    /// The interface is not filled in.
    NotReady,
    /// Queue 0 has a socket but is not enabled.
    QueueOff,
    /// Queue 0 is enabled but has no socket.
    NoSocket,
}

pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) state: State,
    pub(crate) frame: Vec<u8>,
    pub(crate) exit: Exit,
}

fn row(name: &'static str, exit: Exit, frame: &Frame) -> Row {
    Row {
        name,
        state: State::Serving,
        frame: frame.bytes(),
        exit,
    }
}

pub(crate) fn rows() -> Vec<Row> {
    [
        taken(),
        states(),
        link(),
        vlan(),
        ipv4(),
        ipv6(),
        addresses4(),
        addresses6(),
        udp(),
        dns(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn taken() -> Vec<Row> {
    use Exit::Redirected as Taken;
    vec![
        row("taken: IPv4 query", Taken, &v4()),
        row("taken: IPv6 query", Taken, &v6()),
        row(
            "taken: IPv4 padded to 60 bytes",
            Taken,
            &v4().with(root_query).with(|f| f.padding = 1),
        ),
        row(
            "taken: IPv4 with 400 bytes behind the packet",
            Taken,
            &v4().with(|f| f.padding = 400),
        ),
        row(
            "taken: IPv6 with padding",
            Taken,
            &v6().with(|f| f.padding = 6),
        ),
        row(
            "taken: IPv4 bare DNS header",
            Taken,
            &v4().with(|f| f.payload.truncate(12)),
        ),
        row(
            "taken: IPv6 bare DNS header",
            Taken,
            &v6().with(|f| f.payload.truncate(12)),
        ),
        row(
            "taken: IPv4 may be fragmented (DF=0)",
            Taken,
            &v4().ip4(|ip| ip.fragment = 0),
        ),
        row("taken: IPv4 TTL 1", Taken, &v4().ip4(|ip| ip.ttl = 1)),
        row(
            "taken: IPv6 hop limit 1",
            Taken,
            &v6().ip6(|ip| ip.hop_limit = 1),
        ),
        row(
            "taken: IPv4 from source port 53",
            Taken,
            &v4().with(|f| f.udp.source = 53),
        ),
        row(
            "taken: IPv4 second port of the table",
            Taken,
            &v4().with(|f| f.udp.destination = 5353),
        ),
        row(
            "taken: IPv6 link-local source and destination",
            Taken,
            &v6().ip6(link_local),
        ),
        row(
            "taken: IPv4 frame of the greatest length",
            Taken,
            &v4().with(|f| fill(f, V4_HEADERS, 0)),
        ),
        row(
            "taken: IPv6 frame of the greatest length",
            Taken,
            &v6().with(|f| fill(f, V6_HEADERS, 0)),
        ),
        row(
            "taken: opcode NOTIFY is still a query",
            Taken,
            &v4().with(|f| f.payload[2] = 0x20),
        ),
        row(
            "taken: garbage behind a DNS header with QR=0",
            Taken,
            &v4().with(garbage),
        ),
        row(
            "taken: ends like a broadcast address, is none",
            Taken,
            &v4().ip4(|ip| ip.source = [192, 0, 2, 127].into()),
        ),
    ]
}

fn states() -> Vec<Row> {
    let state = |name, state, exit, frame: &Frame| Row {
        name,
        state,
        frame: frame.bytes(),
        exit,
    };
    vec![
        state(
            "state: interface not filled in, IPv4",
            State::NotReady,
            Exit::NotReady,
            &v4(),
        ),
        state(
            "state: interface not filled in, IPv6",
            State::NotReady,
            Exit::NotReady,
            &v6(),
        ),
        state(
            "state: queue not enabled, IPv4",
            State::QueueOff,
            Exit::QueueOff,
            &v4(),
        ),
        state(
            "state: queue not enabled, IPv6",
            State::QueueOff,
            Exit::QueueOff,
            &v6(),
        ),
        state(
            "state: no socket, IPv4",
            State::NoSocket,
            Exit::NoSocket,
            &v4(),
        ),
        state(
            "state: no socket, IPv6",
            State::NoSocket,
            Exit::NoSocket,
            &v6(),
        ),
    ]
}

fn link() -> Vec<Row> {
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

fn vlan() -> Vec<Row> {
    use Exit::{Ethertype, NotListening, Redirected, Vlan};
    let tags = |frame: Frame, tags: &[(u16, u16)]| frame.with(|f| f.tags = tags.to_vec());
    let (q, ad) = (TPID_8021Q, TPID_8021AD);
    vec![
        row("vlan: 802.1Q 5, IPv4", Redirected, &tags(v4(), &[(q, 5)])),
        row("vlan: 802.1Q 5, IPv6", Redirected, &tags(v6(), &[(q, 5)])),
        row("vlan: 802.1ad 5, IPv4", Redirected, &tags(v4(), &[(ad, 5)])),
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
            "vlan: 802.1Q twice",
            Redirected,
            &tags(v4(), &[(q, 100), (q, 200)]),
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

fn ipv4() -> Vec<Row> {
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

fn ipv6() -> Vec<Row> {
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

fn addresses4() -> Vec<Row> {
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

fn addresses6() -> Vec<Row> {
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

fn udp() -> Vec<Row> {
    use Exit::UdpLength as Length;
    let right = (8 + query().len()) as u16;
    let length = |frame: Frame, bytes: u16| frame.with(|f| f.udp.length = Some(bytes));
    vec![
        row(
            "udp: length one more than IPv4's",
            Length,
            &length(v4(), right + 1),
        ),
        row(
            "udp: length one less than IPv4's",
            Length,
            &length(v4(), right - 1),
        ),
        row("udp: length 0 in IPv4", Length, &length(v4(), 0)),
        row("udp: length 7", Length, &length(v4(), 7)),
        row(
            "udp: length one more than IPv6's",
            Length,
            &length(v6(), right + 1),
        ),
        row(
            "udp: length one less than IPv6's",
            Length,
            &length(v6(), right - 1),
        ),
        row("udp: length 0 in IPv6", Length, &length(v6(), 0)),
        row(
            "udp: header cut off",
            Length,
            &v4()
                .ip4(|ip| ip.total_length = Some(27))
                .with(|f| f.cut = Some(41)),
        ),
        row(
            "udp: source port 0",
            Exit::SourcePort,
            &v4().with(|f| f.udp.source = 0),
        ),
        row(
            "udp: source port 0 over IPv6",
            Exit::SourcePort,
            &v6().with(|f| f.udp.source = 0),
        ),
        row(
            "udp: port that is not listened on",
            Exit::NotListening,
            &v4().with(|f| f.udp.destination = 54),
        ),
        row(
            "udp: port of another address",
            Exit::NotListening,
            &v6().with(|f| f.udp.destination = 5353),
        ),
        row(
            "udp: port 0",
            Exit::NotListening,
            &v4().with(|f| f.udp.destination = 0),
        ),
        row(
            "udp: port 53 in the wrong byte order",
            Exit::NotListening,
            &v4().with(|f| f.udp.destination = 0x3500),
        ),
    ]
}

fn dns() -> Vec<Row> {
    use Exit::{DnsShort as Short, NotQuery};
    vec![
        row(
            "dns: empty payload",
            Short,
            &v4().with(|f| f.payload.clear()),
        ),
        row(
            "dns: empty payload, padded",
            Short,
            &v4().with(|f| f.payload.clear()).with(|f| f.padding = 18),
        ),
        row(
            "dns: 11 bytes over IPv4",
            Short,
            &v4().with(|f| f.payload.truncate(11)),
        ),
        row(
            "dns: 11 bytes over IPv6",
            Short,
            &v6().with(|f| f.payload.truncate(11)),
        ),
        row(
            "dns: response over IPv4",
            NotQuery,
            &v4().with(|f| f.payload[2] |= 0x80),
        ),
        row(
            "dns: response over IPv6",
            NotQuery,
            &v6().with(|f| f.payload[2] |= 0x80),
        ),
        row(
            "dns: response in a VLAN",
            NotQuery,
            &v4()
                .with(|f| f.tags = vec![(TPID_8021Q, 5)])
                .with(|f| f.payload[2] = 0x85),
        ),
    ]
}

/// The question `. NS`: 17 bytes, so that an IPv4 frame has 59.
fn root_query(f: &mut Frame) {
    f.payload.truncate(12);
    f.payload.extend_from_slice(&[0, 0, 2, 0, 1]);
}

/// Fills the payload until the frame is `beyond` bytes longer than the greatest.
fn fill(f: &mut Frame, headers_bytes: usize, beyond: usize) {
    f.payload
        .resize(MAX_FRAME_BYTES + beyond - headers_bytes, 0);
}

fn overpad(f: &mut Frame) {
    f.padding = MAX_FRAME_BYTES + 1 - V6_HEADERS - f.payload.len();
}

fn garbage(f: &mut Frame) {
    f.payload = vec![0x55; 100];
}

/// Cuts the frame's last byte off.
fn one_short(f: &mut Frame) {
    f.cut = Some(f.bytes().len() - 1);
}

fn link_local(ip: &mut crate::frame::V6) {
    ip.source = "fe80::100".parse().expect("an address");
    ip.destination = "fe80::1".parse().expect("an address");
}

fn mapped_destination(ip: &mut crate::frame::V6) {
    ip.destination = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped();
}
