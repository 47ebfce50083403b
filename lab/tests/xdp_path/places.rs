//! Addresses on interfaces that stand on others: where their packets are taken, and what the kernel keeps.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::netns::{Netns, veth_pair};
use sluicegate_lab::server::{Builder, Server, server};
use sluicegate_lab::vm::wire;
use sluicegate_lab::wire::{
    FrameSpec, Message, RawSocket, ask_udp, query, rtype, udp_frame, udp_payload,
};

use crate::site::{CLIENT4, Path, SERVER4, SERVER6, Site, patience, replied, resume, which};

const BRIDGE_MAC: &str = "02:00:00:00:b0:01";

/// What the log says where the fast path can't be had.
const UNAVAILABLE: &str = "XDP not available, serving through the kernel:";

/// The address is on a bridge, whose only port takes its packets, and no others.
pub(crate) fn bridge() -> Result<()> {
    let site = Site::joined(1)?;
    put_under_bridge(&site)?;
    let server = named().start(&site.there)?;
    server.wait_for_line("XDP fast path active interface=eth0", resume())?;
    site.wait_for_xdp(&server, &[SERVER4, SERVER6])?;
    // A card may have a better mode, and more queues.
    let how = if wire().is_some() {
        ""
    } else {
        "copy, 1 queue)"
    };
    let place = format!("place.{SERVER4}@53=br0 (bridge): XDP at eth0 ({how}");
    let text = server.stats_text()?;
    ensure!(text.lines().any(|line| line.starts_with(&place)), "{text}");
    // To the port's own MAC address: the bridge takes it for its own, and so the kernel answers.
    let bridge = parse(BRIDGE_MAC)?;
    ask_mac(&site, &server, bridge, Path::Xdp)?;
    ask_mac(&site, &server, site.eth0().mac()?, Path::Kernel)
}

/// A second port makes the bridge a switch between parts of this machine: its packets stay with it, and come back to
/// the fast path when the port goes. A card is the bridge's uplink whatever else is a port.
pub(crate) fn bridge_ports() -> Result<()> {
    let site = Site::joined(1)?;
    put_under_bridge(&site)?;
    let server = named().start(&site.there)?;
    site.wait_for_xdp(&server, &[SERVER4])?;
    let guest = Netns::new()?;
    let (port, inside) = veth_pair(&site.there, "guest", &guest, "eth0", 1)?;
    port.netns.ip("link set guest master br0")?;
    if wire().is_some() {
        inside.add_address("10.11.1.3/24")?;
        return beside_an_uplink(&site, &server, &guest);
    }
    server.wait_for_line(&format!("{UNAVAILABLE} interface=br0"), resume())?;
    site.wait_for(&server, &[SERVER4], Path::Kernel)?;
    // The kernel answers from the moment that the queues are off; the program goes a little later.
    let until = Instant::now() + resume();
    while site.eth0().xdp_program()?.is_some() {
        ensure!(Instant::now() < until, "the port still has a program");
    }
    site.there.ip("link del guest")?;
    site.wait_for_xdp(&server, &[SERVER4])
}

/// Guests are answered by the kernel, and who comes in by the card still by the fast path.
fn beside_an_uplink(site: &Site, server: &Server, guest: &Netns) -> Result<()> {
    let program = site.eth0().xdp_program()?;
    let address = SocketAddr::new(SERVER4.parse()?, 53);
    let asked = query("host.test", rtype::A).build();
    let before = replied(server)?;
    let answer = guest.enter(|| ask_udp(address, &asked, patience()))?;
    ensure!(answer.is_some(), "the guest is not answered");
    ensure!(which(server, before)? == Path::Kernel, "by the fast path");
    site.expect(server, SERVER4, Path::Xdp)?;
    ensure!(program.is_some() && site.eth0().xdp_program()? == program);
    Ok(())
}

/// An interface becomes a bridge's port under the server, and leaves it. Meanwhile its address is of no use: packets for
/// it are the bridge's.
pub(crate) fn master() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    site.there.ip("link add br0 type bridge")?;
    // Without an address of its own, not even the link's: that would be served at the port.
    site.there.ip("link set br0 addrgenmode none")?;
    site.there.ip("link set br0 up")?;
    site.there.ip("link set eth0 master br0")?;
    server.wait_for_line("reason=it is a port of br0", resume())?;
    let until = Instant::now() + resume();
    while site.eth0().xdp_program()?.is_some() {
        ensure!(Instant::now() < until, "the port still has a program");
    }
    site.there.ip("link set eth0 nomaster")?;
    site.wait_for_xdp(&server, &[SERVER4, SERVER6])
}

/// A macvlan has no queues of its own: the kernel serves it, beside the fast path of the interface below.
pub(crate) fn macvlan() -> Result<()> {
    let site = Site::joined(1)?;
    site.there
        .ip("link add link eth0 name mac0 type macvlan mode bridge")?;
    site.there.ip("link set mac0 up")?;
    site.there.ip("addr add 10.11.8.1/24 dev mac0")?;
    site.here.ip("addr add 10.11.8.2/24 dev eth0")?;
    let server = site.start()?;
    let line = server.wait_for_line(&format!("{UNAVAILABLE} interface=mac0"), resume())?;
    ensure!(line.contains("macvlan"), "{line}");
    site.expect(&server, SERVER4, Path::Xdp)?;
    site.expect(&server, "10.11.8.1", Path::Kernel)
}

/// Two interfaces in one subnet; the address that is listened on moves from one to the other.
pub(crate) fn moved_address() -> Result<()> {
    const MOVING: &str = "10.11.1.250";
    let site = Site::joined(1)?;
    veth_pair(&site.there, "eth1", &site.here, "eth1", 1)?;
    site.there.ip("addr add 10.11.1.201/24 dev eth1")?;
    let config = Site::config("").replace("interface: 0.0.0.0", &format!("interface: {MOVING}"));
    site.there.ip(&format!("addr add {MOVING}/24 dev eth1"))?;
    site.here.ip(&format!("route add {MOVING} dev eth1"))?;
    let config = config.replace("  interface: ::0\n", "");
    let server = server(&config).start(&site.there)?;
    server.wait_for_line("XDP fast path active interface=eth1", resume())?;
    site.wait_for_xdp(&server, &[MOVING])?;
    ensure!(
        site.eth0().xdp_program()?.is_none(),
        "a program on the other interface"
    );
    site.there.ip(&format!("addr del {MOVING}/24 dev eth1"))?;
    site.there.ip(&format!("addr add {MOVING}/24 dev eth0"))?;
    site.here.ip(&format!("route replace {MOVING} dev eth0"))?;
    server.wait_for_line("XDP fast path active interface=eth0", resume())?;
    site.wait_for_xdp(&server, &[MOVING])?;
    let log = "interface=eth1 reason=it carries no listen address any more";
    server.wait_for_line(log, resume()).map(drop)
}

/// A server that names the address: a wildcard alone doesn't mean a bridge's only veth, which may be a guest's.
fn named() -> Builder {
    let address = format!("interface: {SERVER4}\n");
    server(&Site::config("").replace("interface: 0.0.0.0\n", &address))
}

/// `eth0` becomes the port of a bridge that takes over its addresses.
fn put_under_bridge(site: &Site) -> Result<()> {
    site.there.ip("addr flush dev eth0")?;
    site.there
        .ip(&format!("link add br0 address {BRIDGE_MAC} type bridge"))?;
    site.there.sysctl("net/ipv6/conf/br0/accept_dad", "0")?;
    site.there.ip("link set eth0 master br0")?;
    site.there.ip("link set br0 up")?;
    site.there.ip(&format!("addr add {SERVER4}/24 dev br0"))?;
    site.there
        .ip(&format!("addr add {SERVER6}/64 dev br0 nodad"))?;
    site.here.ip("neigh flush all").map(drop)
}

/// Asks the server's address at a MAC address.
fn ask_mac(site: &Site, server: &Server, mac: [u8; 6], path: Path) -> Result<()> {
    let raw = RawSocket::open(&site.here, "eth0")?;
    let spec = FrameSpec {
        source_mac: raw.mac(),
        destination_mac: mac,
        tags: Vec::new(),
        source: SocketAddr::new(CLIENT4.parse()?, 4000),
        destination: SocketAddr::new(SERVER4.parse()?, 53),
        hop_limit: 64,
    };
    let before = replied(server)?;
    raw.send(&udp_frame(&spec, &query("host.test", rtype::A).build()))?;
    if path == Path::Xdp {
        let ours = |frame: &[u8]| frame.get(6..12) == Some(&mac[..]) && payload(frame).is_some();
        let reply = raw.receive(patience(), ours)?;
        let reply = reply.context("no answer from the MAC address that was asked")?;
        let message = Message::parse(&payload(&reply).unwrap_or_default())?;
        ensure!(message.answer.len() == 1, "another answer: {message:?}");
    }
    let seen = which(server, before)?;
    ensure!(seen == path, "answered by {seen:?}, not by {path:?}");
    Ok(())
}

fn payload(frame: &[u8]) -> Option<Vec<u8>> {
    udp_payload(frame).ok()?.map(|(_, _, payload)| payload)
}

fn parse(mac: &str) -> Result<[u8; 6]> {
    let mut bytes = [0; 6];
    for (byte, text) in bytes.iter_mut().zip(mac.split(':')) {
        *byte = u8::from_str_radix(text, 16)?;
    }
    Ok(bytes)
}
