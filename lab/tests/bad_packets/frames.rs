use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, SILENCE, Scene};
use sluicegate_lab::server::Server;
use sluicegate_lab::wire::{
    FrameSpec, Message, RawSocket, Tag, internet_checksum, query, rcode, rtype, udp_frame,
    udp_payload,
};

/// Who must answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// The answer leaves by AF_XDP.
    Xdp,
    /// The kernel's sockets answer what AF_XDP must leave alone.
    Kernel,
    Nobody,
}

type Row = (&'static str, Vec<Vec<u8>>, Who);

const PORT: u16 = 4053;
const LOCAL_DATA: &str = r#"
  local-zone: "local.example" static
  local-data: "host.local.example A 192.0.2.1"
"#;

/// Where headers begin in an untagged frame.
const IP: usize = 14;
const UDP_V4: usize = IP + 20;
const UDP_V6: usize = IP + 40;

fn message() -> Vec<u8> {
    query("host.local.example", rtype::A).build()
}

pub(crate) fn over_ipv4() -> Result<()> {
    let scene = Scene::new(1)?;
    let (raw, spec) = scene.raw(false, PORT)?;
    let server = scene.start(LOCAL_DATA)?;
    let rows = [link_rows(&spec), ipv4_rows(&spec), address_rows(&spec)].concat();
    play(&server, &raw, &spec, rows)
}

pub(crate) fn over_ipv6() -> Result<()> {
    let scene = Scene::new(1)?;
    let (raw, spec) = scene.raw(true, PORT)?;
    let server = scene.start(LOCAL_DATA)?;
    let rows = [link_rows(&spec), ipv6_rows(&spec)].concat();
    play(&server, &raw, &spec, rows)
}

fn play(server: &Server, raw: &RawSocket, spec: &FrameSpec, rows: Vec<Row>) -> Result<()> {
    let good = ("a good query", vec![udp_frame(spec, &message())], Who::Xdp);
    let mut wrong = Vec::new();
    let mut by_xdp = 0;
    for row in rows {
        for (what, frames, who) in [&row, &good] {
            by_xdp += u64::from(*who == Who::Xdp);
            let counted = |()| server.expect_sum("xdp.", ".replied", by_xdp);
            if let Err(error) = try_row(raw, frames, *who).and_then(counted) {
                // Each row is counted on its own.
                by_xdp = server.sum("xdp.", ".replied")?;
                wrong.push(format!("{what} (with or after {:?}): {error:#}", row.0));
            }
        }
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn try_row(raw: &RawSocket, frames: &[Vec<u8>], who: Who) -> Result<()> {
    for frame in frames {
        raw.send(frame)?;
    }
    let limit = if who == Who::Nobody {
        SILENCE
    } else {
        PATIENCE
    };
    let reply = raw.receive(limit, |frame| port_of(frame) == Some(PORT))?;
    match (who, reply) {
        (Who::Nobody, reply) => ensure!(reply.is_none(), "it was answered"),
        (_, None) => anyhow::bail!("no answer"),
        (Who::Kernel, Some(_)) => {}
        (Who::Xdp, Some(frame)) => {
            let (_, _, payload) = udp_payload(&frame)?.context("the answer is no datagram")?;
            let answer = Message::parse(&payload)?;
            ensure!(
                answer.rcode() == rcode::NOERROR && answer.answer.len() == 1,
                "{answer:?}"
            );
        }
    }
    Ok(())
}

/// The UDP port that a frame is for, without looking at lengths and checksums: those of the kernel's own replies are
/// left to hardware that a veth doesn't have.
fn port_of(frame: &[u8]) -> Option<u16> {
    let udp = match frame.get(12..14)? {
        [0x08, 0x00] if frame.get(IP + 9) == Some(&17) => UDP_V4,
        [0x86, 0xdd] if frame.get(IP + 6) == Some(&17) => UDP_V6,
        _ => return None,
    };
    let port = frame.get(udp + 2..udp + 4)?;
    Some(u16::from_be_bytes([port[0], port[1]]))
}

fn one(frame: Vec<u8>) -> Vec<Vec<u8>> {
    vec![frame]
}

fn spoilt(spec: &FrameSpec, spoil: impl FnOnce(&mut Vec<u8>)) -> Vec<Vec<u8>> {
    let mut frame = udp_frame(spec, &message());
    spoil(&mut frame);
    one(frame)
}

/// Rows that are the same for both families.
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn link_rows(spec: &FrameSpec) -> Vec<Row> {
    let (udp, protocol) = if spec.source.is_ipv4() {
        (UDP_V4, IP + 9)
    } else {
        (UDP_V6, IP + 6)
    };
    let tagged = |tags: &[Tag]| {
        let mut spec = spec.clone();
        spec.tags = tags.to_vec();
        one(udp_frame(&spec, &message()))
    };
    let to_mac = |mac| {
        let mut spec = spec.clone();
        spec.destination_mac = mac;
        one(udp_frame(&spec, &message()))
    };
    let tag = |id| Tag {
        ethertype: 0x8100,
        id,
    };
    let from_port_0 = FrameSpec {
        source: SocketAddr::new(spec.source.ip(), 0),
        ..spec.clone()
    };
    vec![
        (
            "zeros behind the datagram",
            spoilt(spec, |f| f.extend_from_slice(&[0; 30])),
            Who::Xdp,
        ),
        (
            "other bytes behind the datagram",
            spoilt(spec, |f| f.extend_from_slice(&[0xa5; 3])),
            Who::Xdp,
        ),
        ("a VLAN that isn't there", tagged(&[tag(7)]), Who::Nobody),
        (
            "two VLANs that aren't there",
            tagged(&[
                Tag {
                    ethertype: 0x88a8,
                    id: 8,
                },
                tag(7),
            ]),
            Who::Nobody,
        ),
        (
            "a UDP header cut off",
            spoilt(spec, |f| f.truncate(udp + 5)),
            Who::Nobody,
        ),
        (
            "an IP header cut off",
            spoilt(spec, |f| f.truncate(IP + 10)),
            Who::Nobody,
        ),
        (
            "half an Ethernet header with padding",
            spoilt(spec, |f| f[12..].fill(0)),
            Who::Nobody,
        ),
        (
            "a wrong UDP checksum",
            spoilt(spec, |f| f[udp + 6] ^= 0x40),
            Who::Nobody,
        ),
        (
            "a UDP length longer than IP's",
            spoilt(spec, |f| f[udp + 5] += 1),
            Who::Nobody,
        ),
        (
            "a UDP length of 0",
            spoilt(spec, |f| f[udp + 5] = 0),
            Who::Nobody,
        ),
        (
            "a UDP length of 7",
            spoilt(spec, |f| f[udp + 5] = 7),
            Who::Nobody,
        ),
        (
            "another UDP port",
            spoilt(spec, |f| f[udp + 3] += 1),
            Who::Nobody,
        ),
        (
            "another protocol number",
            spoilt(spec, |f| {
                f[protocol] = 253;
            }),
            Who::Nobody,
        ),
        (
            "another host's MAC address",
            to_mac([2, 0, 0, 0, 0, 9]),
            Who::Nobody,
        ),
        (
            "source port 0",
            one(udp_frame(&from_port_0, &message())),
            Who::Nobody,
        ),
    ]
}

fn ipv4_rows(spec: &FrameSpec) -> Vec<Row> {
    vec![
        (
            "no UDP checksum",
            spoilt(spec, |f| f[UDP_V4 + 6..UDP_V4 + 8].fill(0)),
            Who::Xdp,
        ),
        (
            "a wrong header checksum",
            spoilt(spec, |f| f[IP + 10] ^= 1),
            Who::Nobody,
        ),
        ("IP version 5", spoilt(spec, |f| f[IP] = 0x55), Who::Nobody),
        (
            "a header length of 16",
            spoilt(spec, |f| resum(f, |ip| ip[0] = 0x44)),
            Who::Nobody,
        ),
        (
            "a total length beyond the frame",
            spoilt(spec, |f| resum(f, |ip| ip[3] += 1)),
            Who::Nobody,
        ),
        (
            "a total length within the UDP header",
            spoilt(spec, |f| resum(f, |ip| ip[3] = 24)),
            Who::Nobody,
        ),
        (
            "the evil bit",
            spoilt(spec, |f| resum(f, |ip| ip[6] |= 0x80)),
            Who::Kernel,
        ),
        ("IP options", one(with_options(spec)), Who::Kernel),
        ("two fragments", fragments(spec), Who::Kernel),
        (
            "the first fragment alone",
            fragments(spec)[..1].to_vec(),
            Who::Nobody,
        ),
        (
            "bytes between UDP's end and IP's",
            one(with_slack(spec)),
            Who::Kernel,
        ),
    ]
}

/// Sources and destinations that must not be answered.
fn address_rows(spec: &FrameSpec) -> Vec<Row> {
    let from = |address: &str| {
        let ip: IpAddr = address.parse().expect("an address");
        let source = SocketAddr::new(ip, PORT);
        one(udp_frame(
            &FrameSpec {
                source,
                ..spec.clone()
            },
            &message(),
        ))
    };
    let to = |address: &str, mac: Option<[u8; 6]>| {
        let ip: IpAddr = address.parse().expect("an address");
        let destination = SocketAddr::new(ip, 53);
        let destination_mac = mac.unwrap_or(spec.destination_mac);
        one(udp_frame(
            &FrameSpec {
                destination,
                destination_mac,
                ..spec.clone()
            },
            &message(),
        ))
    };
    vec![
        (
            "another host's address",
            to("10.11.1.77", None),
            Who::Nobody,
        ),
        (
            "the link's broadcast address",
            to("10.11.1.255", Some([0xff; 6])),
            Who::Nobody,
        ),
        (
            "a multicast address",
            to("224.0.0.251", Some([1, 0, 0x5e, 0, 0, 0xfb])),
            Who::Nobody,
        ),
        (
            "our address by broadcast",
            to("10.11.1.1", Some([0xff; 6])),
            Who::Kernel,
        ),
        (
            "from a broadcast address",
            from("255.255.255.255"),
            Who::Nobody,
        ),
        ("from a multicast address", from("224.0.0.1"), Who::Nobody),
        ("from a loopback address", from("127.0.0.1"), Who::Nobody),
        ("from nowhere", from("0.0.0.0"), Who::Nobody),
    ]
}

fn ipv6_rows(spec: &FrameSpec) -> Vec<Row> {
    let from_multicast = FrameSpec {
        source: SocketAddr::new("ff02::1".parse().expect("an address"), PORT),
        ..spec.clone()
    };
    vec![
        (
            "no UDP checksum",
            spoilt(spec, |f| f[UDP_V6 + 6..UDP_V6 + 8].fill(0)),
            Who::Nobody,
        ),
        ("IP version 5", spoilt(spec, |f| f[IP] = 0x50), Who::Nobody),
        (
            "a payload length beyond the frame",
            spoilt(spec, |f| f[IP + 5] += 1),
            Who::Nobody,
        ),
        (
            "a payload length within the UDP header",
            spoilt(spec, |f| f[IP + 5] = 4),
            Who::Nobody,
        ),
        (
            "destination options",
            one(with_header(spec, 60, [17, 0, 1, 4, 0, 0, 0, 0])),
            Who::Kernel,
        ),
        (
            "a fragment header on a whole datagram",
            one(with_header(spec, 44, [17, 0, 0, 0, 0, 0, 0, 9])),
            Who::Kernel,
        ),
        (
            "the first fragment alone",
            one(with_header(spec, 44, [17, 0, 0, 1, 0, 0, 0, 8])),
            Who::Nobody,
        ),
        (
            "from a multicast address",
            one(udp_frame(&from_multicast, &message())),
            Who::Nobody,
        ),
    ]
}

/// Changes the IPv4 header and makes its checksum right again.
fn resum(frame: &mut [u8], change: impl FnOnce(&mut [u8])) {
    let header_end = IP + 20;
    change(&mut frame[IP..header_end]);
    frame[IP + 10..IP + 12].fill(0);
    let sum = internet_checksum(&[&frame[IP..header_end]]);
    frame[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
}

/// Four bytes of options: "no operation" three times and the end.
fn with_options(spec: &FrameSpec) -> Vec<u8> {
    let mut frame = udp_frame(spec, &message());
    frame.splice(UDP_V4..UDP_V4, [1, 1, 1, 0]);
    frame[IP] = 0x46;
    frame[IP + 3] += 4;
    frame[IP + 10..IP + 12].fill(0);
    let sum = internet_checksum(&[&frame[IP..UDP_V4 + 4]]);
    frame[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    frame
}

/// The datagram in two IPv4 fragments, the first with 16 bytes of it.
fn fragments(spec: &FrameSpec) -> Vec<Vec<u8>> {
    const FIRST_BYTES: usize = 16;
    let whole = udp_frame(spec, &message());
    let piece = |from: usize, to: usize, offset_and_flags: u16| {
        let mut frame = [&whole[..UDP_V4], &whole[UDP_V4 + from..UDP_V4 + to]].concat();
        let length = u16::try_from(20 + to - from).expect("a short piece");
        resum(&mut frame, |ip| {
            ip[2..4].copy_from_slice(&length.to_be_bytes());
            ip[4..6].copy_from_slice(&[0x12, 0x34]);
            ip[6..8].copy_from_slice(&offset_and_flags.to_be_bytes());
        });
        frame
    };
    let bytes = whole.len() - UDP_V4;
    vec![piece(0, FIRST_BYTES, 0x2000), piece(FIRST_BYTES, bytes, 2)]
}

/// IP says four bytes more than UDP: legal, odd, and not for AF_XDP.
fn with_slack(spec: &FrameSpec) -> Vec<u8> {
    let mut frame = udp_frame(spec, &message());
    frame.extend_from_slice(&[0; 4]);
    resum(&mut frame, |ip| ip[3] += 4);
    frame
}

/// An IPv6 extension header of type `number` in front of UDP.
fn with_header(spec: &FrameSpec, number: u8, header: [u8; 8]) -> Vec<u8> {
    let mut frame = udp_frame(spec, &message());
    frame.splice(UDP_V6..UDP_V6, header);
    frame[IP + 6] = number;
    frame[IP + 5] += 8;
    frame
}
