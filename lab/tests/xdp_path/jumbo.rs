//! An MTU whose frames don't fit a UMEM frame: what fits goes the fast path, what doesn't the kernel's.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::server::Server;
use sluicegate_lab::wire::{Message, ask_tcp, ask_udp, query, rtype};

use crate::site::{Path, SERVER4, SERVER6, Site, patience, replied, resume, which};

const BOTH: [&str; 2] = [SERVER4, SERVER6];
const MTU_BYTES: u32 = 9000;
/// What a client says it takes.
const EDNS_BYTES: u16 = 4096;

/// Both ends with a large MTU from the start.
pub(crate) fn served() -> Result<()> {
    let site = Site::joined(2)?;
    set_mtu(&site, MTU_BYTES)?;
    let server = Site::server(&records()).start(&site.there)?;
    server.wait_for_line("XDP fast path active interface=eth0 mode=copy", resume())?;
    site.wait_for_xdp(&server, &BOTH)?;
    for address in BOTH {
        // A query that fills a UMEM frame, one that fills several, and one that the kernel has to put together.
        for (bytes, path) in [
            (1600, Path::Xdp),
            (1800, Path::Kernel),
            (3900, Path::Kernel),
        ] {
            let (seen, answer) = ask(&site, &server, address, &padded("host.test", bytes))?;
            ensure!(seen == path, "{bytes} bytes took {seen:?}");
            ensure!(answer.answer.len() == 1, "{bytes} bytes: {answer:?}");
        }
        replies(&site, &server, address)?;
    }
    Ok(())
}

/// A reply that fits the frame of its query is sent there; of a larger one the client hears that it has to ask by TCP.
fn replies(site: &Site, server: &Server, address: &str) -> Result<()> {
    let asked = |name: &str| query(name, rtype::A).edns(EDNS_BYTES, false).build();
    let (path, large) = ask(site, server, address, &asked("large.test"))?;
    ensure!(path == Path::Xdp && large.answer.len() == 100 && !large.truncated());
    let (path, huge) = ask(site, server, address, &asked("huge.test"))?;
    ensure!(path == Path::Xdp && huge.truncated(), "no TC bit: {path:?}");
    let at = SocketAddr::new(address.parse::<IpAddr>()?, 53);
    let whole = site
        .here
        .enter(|| ask_tcp(at, &asked("huge.test"), patience()))?
        .context("nothing over TCP")?;
    ensure!(Message::parse(&whole)?.answer.len() == 200);
    Ok(())
}

/// The MTU changes under the server, whichever changes the kernel allows: there is always an answer.
pub(crate) fn changed() -> Result<()> {
    let site = Site::joined(1)?;
    set_mtu(&site, MTU_BYTES)?;
    let server = Site::server("").start(&site.there)?;
    site.wait_for_xdp(&server, &BOTH)?;
    for (round, mtu_bytes) in [1500, 1400, 1700].into_iter().enumerate() {
        site.eth0().set_mtu(mtu_bytes)?;
        server.process().wait_for_line_after(
            round + 1,
            "XDP fast path active interface=eth0",
            resume(),
        )?;
        site.wait_for_xdp(&server, &BOTH)?;
    }
    // veth takes no such MTU as long as a program for small frames is there; whoever is refused keeps what there was.
    let raised = site.eth0().set_mtu(MTU_BYTES).is_ok();
    site.wait_for_xdp(&server, &BOTH)
        .with_context(|| format!("raised: {raised}"))?;
    // Without the program in between it can be raised.
    server.reload(&Site::config("xdp:\n  enable: no"))?;
    server.wait_for_line("switched off", resume())?;
    set_mtu(&site, MTU_BYTES)?;
    site.expect(&server, SERVER4, Path::Kernel)?;
    server.reload(&Site::config(""))?;
    site.wait_for_xdp(&server, &BOTH)
}

fn set_mtu(site: &Site, mtu_bytes: u32) -> Result<()> {
    site.here.ip(&format!("link set eth0 mtu {mtu_bytes}"))?;
    site.eth0().set_mtu(mtu_bytes)
}

/// Names with 100 and 200 addresses: replies of about 1,600 and 3,300 bytes.
fn records() -> String {
    let mut text = "server:\n  max-udp-size: 4096\n".to_owned();
    for (name, count) in [("large", 100), ("huge", 200)] {
        for host in 1..=count {
            let _ = writeln!(text, "  local-data: \"{name}.test. 60 A 192.0.2.{host}\"");
        }
    }
    text
}

/// A query for `name`, padded (RFC 7830) to this many bytes.
fn padded(name: &str, bytes: usize) -> Vec<u8> {
    const PADDING: u16 = 12;
    let mut message = query(name, rtype::A).edns(EDNS_BYTES, false).build();
    // The OPT record comes last, and has no options yet.
    let option_bytes = bytes - message.len();
    message.truncate(message.len() - 2);
    for word in [option_bytes as u16, PADDING, (option_bytes - 4) as u16] {
        message.extend_from_slice(&word.to_be_bytes());
    }
    message.resize(bytes, 0);
    message
}

fn ask(site: &Site, server: &Server, address: &str, asked: &[u8]) -> Result<(Path, Message)> {
    let at = SocketAddr::new(address.parse::<IpAddr>()?, 53);
    let before = replied(server)?;
    let answer = site.here.enter(|| ask_udp(at, asked, patience()))?;
    let answer = answer.with_context(|| format!("no answer to {} bytes", asked.len()))?;
    Ok((which(server, before)?, Message::parse(&answer)?))
}
