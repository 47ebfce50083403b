//! Packets that the program leaves to the kernel: there they must be answered.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::wire::{
    FrameSpec, Message, RawSocket, internet_checksum, query, rtype, udp_frame,
};

use crate::site::{CLIENT4, CLIENT6, Path, SERVER4, SERVER6, Site, patience, replied, which};

/// Client port of the crafted queries.
const PORT: u16 = 4000;

/// Each is a query in its own right; the kernel puts fragments together and skips options.
pub(crate) fn odd_packets() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    let raw = RawSocket::open(&site.here, "eth0")?;
    // The crafted queries do not go through the client's kernel: it would refuse the port's replies by
    // ICMP, and need not be asked for its MAC address.
    site.eth0().add_neighbour(CLIENT4.parse()?, raw.mac())?;
    site.eth0().add_neighbour(CLIENT6.parse()?, raw.mac())?;
    let v4 = frame(&site, &raw, CLIENT4, SERVER4)?;
    let v6 = frame(&site, &raw, CLIENT6, SERVER6)?;
    let cases: [(&str, Vec<Vec<u8>>, Path); 8] = [
        ("IPv4 as it should be", vec![v4.clone()], Path::Xdp),
        ("IPv6 as it should be", vec![v6.clone()], Path::Xdp),
        (
            "IPv4 with padding",
            vec![[&v4[..], &[0; 9]].concat()],
            Path::Xdp,
        ),
        ("IPv4 options", vec![with_options(&v4)], Path::Kernel),
        ("IPv4 in two fragments", fragments4(&v4), Path::Kernel),
        ("IPv6 in two fragments", fragments6(&v6), Path::Kernel),
        (
            "IPv6 destination options",
            vec![with_destination_options(&v6)],
            Path::Kernel,
        ),
        ("IPv4 again", vec![v4.clone()], Path::Xdp),
    ];
    for (name, frames, path) in cases {
        let seen = exchange(&server, &raw, &frames).with_context(|| name.to_owned())?;
        ensure!(
            seen == path,
            "{name}: answered by {seen:?}, not by {path:?}"
        );
    }
    Ok(())
}

/// Packets of such an interface are not to the MAC address of the one below: the kernel has them.
pub(crate) fn vlan_interface() -> Result<()> {
    let site = Site::joined(1)?;
    for (netns, last) in [(&site.there, 1), (&site.here, 2)] {
        netns.ip(&format!(
            "link add link eth0 name tagged address 02:00:00:00:07:0{last} type vlan id 7"
        ))?;
        netns.ip("link set tagged up")?;
        netns.ip(&format!("addr add 10.11.7.{last}/24 dev tagged"))?;
    }
    let server = site.start()?;
    site.expect(&server, "10.11.7.1", Path::Kernel)?;
    site.expect(&server, SERVER4, Path::Xdp)
}

/// An address whose port another server holds is that server's, though we were told to listen on it.
pub(crate) fn held_port() -> Result<()> {
    const THEIRS: &str = "10.11.1.3";
    let site = Site::joined(1)?;
    site.eth0().add_address(&format!("{THEIRS}/24"))?;
    let theirs = SocketAddr::new(THEIRS.parse()?, 53);
    let socket = site.there.enter(|| UdpSocket::bind(theirs))?;
    socket.set_read_timeout(Some(patience()))?;
    let config = Site::config("")
        .replace(
            "interface: 0.0.0.0",
            &format!("interface: {SERVER4}\n  interface: {THEIRS}"),
        )
        .replace("  interface: ::0\n", "");
    let server = server(&config).start(&site.there)?;
    site.wait_for_start(&server)?;
    site.wait_for_xdp(&server, &[SERVER4])?;
    let asked = query("host.test", rtype::A).build();
    let client = site.here.enter(|| UdpSocket::bind((CLIENT4, 0)))?;
    client.send_to(&asked, theirs)?;
    let mut taken = [0; 512];
    let (len, _) = socket
        .recv_from(&mut taken)
        .context("their query was taken from them")?;
    ensure!(taken[..len] == asked, "another query");
    drop(socket);
    // Now the port is free: we take it, and the fast path with it.
    site.wait_for_xdp(&server, &[THEIRS])
}

/// Sends frames and waits for the one answer; by which path it came.
fn exchange(server: &Server, raw: &RawSocket, frames: &[Vec<u8>]) -> Result<Path> {
    let before = replied(server)?;
    for frame in frames {
        raw.send(frame)?;
    }
    let reply = raw
        .receive(patience(), |frame| reply_payload(frame).is_some())?
        .context("no answer")?;
    let message = Message::parse(reply_payload(&reply).unwrap_or_default())?;
    ensure!(message.answer.len() == 1, "another answer: {message:?}");
    which(server, before)
}

/// The DNS message in a reply to [`PORT`]. Checksums are the client kernel's affair elsewhere: a reply of
/// the server's kernel leaves its checksum to the veth's missing hardware.
fn reply_payload(frame: &[u8]) -> Option<&[u8]> {
    let udp = match frame.get(12..14)? {
        [0x08, 0x00] if frame.get(23) == Some(&17) => frame.get(34..)?,
        [0x86, 0xdd] if frame.get(20) == Some(&17) => frame.get(54..)?,
        _ => return None,
    };
    let ours = udp.get(..4) == Some(&[0, 53, (PORT >> 8) as u8, PORT as u8][..]);
    ours.then(|| udp.get(8..usize::from(u16::from_be_bytes([udp[4], udp[5]]))))
        .flatten()
}

fn frame(site: &Site, raw: &RawSocket, client: &str, server: &str) -> Result<Vec<u8>> {
    let spec = FrameSpec {
        source_mac: raw.mac(),
        destination_mac: site.eth0().mac()?,
        tags: Vec::new(),
        source: SocketAddr::new(client.parse()?, PORT),
        destination: SocketAddr::new(server.parse()?, 53),
        hop_limit: 64,
    };
    Ok(udp_frame(&spec, &query("host.test", rtype::A).build()))
}

/// Two "no operation" options and an end.
fn with_options(frame: &[u8]) -> Vec<u8> {
    let mut header = frame[14..34].to_vec();
    header[0] = 0x46;
    let total = u16::from_be_bytes([header[2], header[3]]) + 4;
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header.extend_from_slice(&[1, 1, 1, 0]);
    [&frame[..14], &sealed(header), &frame[34..]].concat()
}

fn fragments4(frame: &[u8]) -> Vec<Vec<u8>> {
    let payload = &frame[34..];
    let part = |range: std::ops::Range<usize>, more: u16| {
        let mut header = frame[14..34].to_vec();
        let total = (20 + range.len()) as u16;
        header[2..4].copy_from_slice(&total.to_be_bytes());
        header[4..6].copy_from_slice(&0x1234_u16.to_be_bytes());
        header[6..8].copy_from_slice(&(more | (range.start / 8) as u16).to_be_bytes());
        [&frame[..14], &sealed(header), &payload[range]].concat()
    };
    vec![part(0..16, 0x2000), part(16..payload.len(), 0)]
}

fn fragments6(frame: &[u8]) -> Vec<Vec<u8>> {
    let payload = &frame[54..];
    let part = |range: std::ops::Range<usize>, more: u16| {
        let offset = (range.start as u16) | more;
        let [high, low] = offset.to_be_bytes();
        let header = [17, 0, high, low, 0x12, 0x34, 0x56, 0x78];
        with_extension(frame, 44, &header, &payload[range])
    };
    vec![part(0..16, 1), part(16..payload.len(), 0)]
}

/// One `PadN` option of four bytes.
fn with_destination_options(frame: &[u8]) -> Vec<u8> {
    with_extension(frame, 60, &[17, 0, 1, 4, 0, 0, 0, 0], &frame[54..])
}

fn with_extension(frame: &[u8], number: u8, extension: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut header = frame[14..54].to_vec();
    header[4..6].copy_from_slice(&((extension.len() + payload.len()) as u16).to_be_bytes());
    header[6] = number;
    [&frame[..14], &header, extension, payload].concat()
}

/// The IPv4 header with its checksum.
fn sealed(mut header: Vec<u8>) -> Vec<u8> {
    header[10..12].copy_from_slice(&[0, 0]);
    let sum = internet_checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}
