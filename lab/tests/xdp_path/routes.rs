//! Queries that come in by one link and whose replies are routed out of another.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use sluicegate_lab::netns::veth_pair;
use sluicegate_lab::server::Server;
use sluicegate_lab::vm::wire;
use sluicegate_lab::wire::RawSocket;

use crate::site::{GLIMPSE, Path, SERVER4, SERVER6, Site, resume};

/// The client's other addresses, to which the server has a route of its own.
const FAR4: &str = "10.99.0.9";
const FAR6: &str = "fc00:dead:cafe:99::9";
const BOTH: [&str; 2] = [SERVER4, SERVER6];
/// How long one look at a tap takes, if nothing is there.
const GLANCE: Duration = Duration::from_millis(20);

/// With `yes`, and with `auto` on two links, a reply takes the kernel's way; when that is the way the query came, the
/// fast path has it again.
pub(crate) fn asymmetric() -> Result<()> {
    for setting in ["yes", "auto"] {
        let site = joined_twice()?;
        forward(&site, "1")?;
        route(&site, "eth1", "10.11.9.2", "fc00:dead:cafe:9::2")?;
        let server = Site::server(&clause(setting)).start(&site.there)?;
        site.wait_for_start(&server)?;
        for address in BOTH {
            ensure!(ask_and_see(&site, &server, address)? == (Path::Kernel, "eth1"));
        }
        server.wait_for_stats(resume(), |all| {
            all.get("xdp.eth0.pass.route-other-interface")
                .is_some_and(|count| *count >= 2)
        })?;
        route(&site, "eth0", "10.11.1.2", "fc00:dead:cafe:1::2")?;
        site.wait_for_xdp(&server, &BOTH)?;
        for address in BOTH {
            ensure!(ask_and_see(&site, &server, address)? == (Path::Xdp, "eth0"));
        }
    }
    Ok(())
}

/// The route leads to another neighbour on the link that the query came by.
pub(crate) fn another_next_hop() -> Result<()> {
    let site = Site::joined(1)?;
    forward(&site, "1")?;
    let server = Site::server(&clause("yes")).start(&site.there)?;
    site.wait_for_xdp(&server, &BOTH)?;
    for (address, v6) in [("10.11.1.2", false), ("fc00:dead:cafe:1::2", true)] {
        site.eth0()
            .add_neighbour(address.parse()?, [2, 0, 0, 0, 0, 0x77])?;
        // The kernel's reply goes to that neighbour too: nobody here takes it.
        let address = BOTH[usize::from(v6)];
        ensure!(site.ask_within(&server, address, GLIMPSE).is_err());
    }
    server.wait_for_stats(resume(), |all| {
        all.get("xdp.eth0.pass.route-other-next-hop")
            .is_some_and(|count| *count >= 2)
    })
}

/// With `no`, and with `auto` where the kernel tells no routes or there is one link only, a reply leaves by the link that
/// its query came by.
pub(crate) fn unchecked() -> Result<()> {
    for (setting, forwarding) in [("no", "1"), ("auto", "0")] {
        let site = joined_twice()?;
        forward(&site, forwarding)?;
        route(&site, "eth1", "10.11.9.2", "fc00:dead:cafe:9::2")?;
        let server = Site::server(&clause(setting)).start(&site.there)?;
        site.wait_for_start(&server)?;
        site.wait_for_xdp(&server, &BOTH)?;
        for address in BOTH {
            ensure!(ask_and_see(&site, &server, address)? == (Path::Xdp, "eth0"));
        }
        let told = server.process().lines_with("conf.lo.forwarding").len();
        // While a card resets there is one link, and the check matters no more; then it is told again.
        let right = match (setting, wire()) {
            ("auto", Some(_)) => told >= 2,
            ("auto", None) => told == 2,
            _ => told == 0,
        };
        ensure!(right, "told {told} times");
    }
    Ok(())
}

fn clause(setting: &str) -> String {
    format!("xdp:\n  route-check: {setting}")
}

/// A second link beside the first; the client asks from addresses that are on neither.
fn joined_twice() -> Result<Site> {
    let site = Site::joined(1)?;
    let (server, client) = veth_pair(&site.there, "eth1", &site.here, "eth1", 1)?;
    for (end, host) in [(&server, "1"), (&client, "2")] {
        end.add_address(&format!("10.11.9.{host}/24"))?;
        end.add_address(&format!("fc00:dead:cafe:9::{host}/64"))?;
    }
    drop((server, client));
    for netns in [&site.here, &site.there] {
        for interface in ["all", "eth0", "eth1"] {
            netns.sysctl(&format!("net/ipv4/conf/{interface}/rp_filter"), "0")?;
        }
    }
    site.here.ip(&format!("addr add {FAR4}/32 dev lo"))?;
    site.here.ip(&format!("addr add {FAR6}/128 dev lo"))?;
    for (far, address) in [(FAR4, SERVER4), (FAR6, SERVER6)] {
        site.here
            .ip(&format!("route add {address} dev eth0 src {far}"))?;
    }
    Ok(site)
}

/// Whether the kernel looks up routes for XDP programs.
fn forward(site: &Site, value: &str) -> Result<()> {
    for family in ["ipv4", "ipv6"] {
        let knob = format!("net/{family}/conf/lo/forwarding");
        site.there.sysctl(&knob, value)?;
    }
    Ok(())
}

/// The server's way to the client's other addresses.
fn route(site: &Site, interface: &str, via4: &str, via6: &str) -> Result<()> {
    for (far, via) in [(FAR4, via4), (FAR6, via6)] {
        site.there
            .ip(&format!("route replace {far} via {via} dev {interface}"))?;
    }
    Ok(())
}

/// Which path answered, and the client's link that the answer came by.
fn ask_and_see(site: &Site, server: &Server, address: &str) -> Result<(Path, &'static str)> {
    let links = ["eth0", "eth1"];
    let taps = [
        RawSocket::open(&site.here, links[0])?,
        RawSocket::open(&site.here, links[1])?,
    ];
    let path = site.ask(server, address)?;
    // It is there already, in one of them.
    let until = Instant::now() + resume();
    while Instant::now() < until {
        for (tap, link) in taps.iter().zip(links) {
            if tap.receive(GLANCE, is_reply)?.is_some() {
                return Ok((path, link));
            }
        }
    }
    bail!("{address} has answered by no link")
}

/// Whether a frame is UDP from port 53; its checksum is none yet where the kernel sent it over veth.
fn is_reply(frame: &[u8]) -> bool {
    let (protocol_at, port_at) = match frame.get(12..14) {
        Some([0x08, 0x00]) => (23, 34),
        Some([0x86, 0xdd]) => (20, 54),
        _ => return false,
    };
    frame.get(protocol_at) == Some(&17) && frame.get(port_at..port_at + 2) == Some(&[0, 53])
}
