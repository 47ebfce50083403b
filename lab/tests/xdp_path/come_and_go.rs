//! Interfaces that come and go, and change under the server. Within five seconds of its return an
//! interface is served by AF_XDP again, and meanwhile the kernel answers wherever it can.

use std::time::Instant;

use anyhow::{Result, ensure};
use sluicegate_lab::netns::Netns;

use crate::site::{GLIMPSE, Path, SERVER4, SERVER6, Site, resume};

const BOTH: [&str; 2] = [SERVER4, SERVER6];

pub(crate) fn made_anew() -> Result<()> {
    let site = Site::joined(2)?;
    let server = site.start()?;
    for _ in 0..3 {
        site.wait_for_xdp(&server, &BOTH)?;
        site.there.ip("link del eth0")?;
        site.join(2)?;
        site.wait_for_xdp(&server, &BOTH)?;
    }
    ensure!(
        !server
            .process()
            .lines_with("interface=eth0 reason=it is gone")
            .is_empty(),
        "the log does not say that the interface went away"
    );
    Ok(())
}

pub(crate) fn down_and_up() -> Result<()> {
    let site = Site::joined(2)?;
    let server = site.start()?;
    for _ in 0..3 {
        site.eth0().set_up(false)?;
        site.eth0().set_up(true)?;
        // Linux takes IPv6 addresses away when an interface goes down.
        site.eth0().add_address(&format!("{SERVER6}/64"))?;
        site.wait_for_xdp(&server, &BOTH)?;
    }
    Ok(())
}

pub(crate) fn moved() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    let elsewhere = Netns::new()?;
    site.there.ip(&format!(
        "link set eth0 netns {}",
        elsewhere.path().display()
    ))?;
    server.wait_for_line("interface=eth0 reason=it is gone", resume())?;
    ensure!(
        elsewhere
            .ip("-d link show eth0")?
            .find("prog/xdp")
            .is_none(),
        "the program went along"
    );
    elsewhere.ip(&format!(
        "link set eth0 netns {}",
        site.there.path().display()
    ))?;
    site.eth0().set_up(true)?;
    site.eth0().add_address(&format!("{SERVER4}/24"))?;
    site.eth0().add_address(&format!("{SERVER6}/64"))?;
    site.wait_for_xdp(&server, &BOTH)
}

pub(crate) fn more_queues() -> Result<()> {
    let site = Site::joined(4)?;
    // A veth takes a native program only if it has as many RX queues as its peer has TX queues.
    site.here.ethtool("-L eth0 rx 1 tx 1")?;
    site.there.ethtool("-L eth0 rx 1 tx 1")?;
    let server = site.start()?;
    server.wait_for_line("queues=1", resume())?;
    site.there.ethtool("-L eth0 rx 3 tx 3")?;
    server.wait_for_line(
        "XDP fast path active interface=eth0 mode=copy queues=3",
        resume(),
    )?;
    site.here.ethtool("-L eth0 rx 3 tx 3")?;
    // Whichever queue it comes in by.
    for _ in 0..40 {
        for address in BOTH {
            site.expect(&server, address, Path::Xdp)?;
        }
    }
    Ok(())
}

pub(crate) fn another_mac() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    site.expect(&server, SERVER4, Path::Xdp)?;
    site.eth0().set_mac("02:00:00:00:00:77")?;
    site.here.ip("neigh flush all")?;
    site.wait_for_xdp(&server, &BOTH)
}

pub(crate) fn another_name() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    site.there.ip("link set eth0 name uplink")?;
    site.wait_for_xdp(&server, &BOTH)?;
    server.wait_for_line("XDP fast path active interface=uplink", resume())?;
    Ok(())
}

/// The server listens on the wildcard: an address that comes is taken, one that goes is given up.
pub(crate) fn addresses() -> Result<()> {
    let site = Site::joined(1)?;
    let server = site.start()?;
    let more = ["10.11.1.9", "fc00:dead:cafe:1::9"];
    site.eth0().add_address("10.11.1.9/24")?;
    site.eth0().add_address("fc00:dead:cafe:1::9/64")?;
    site.wait_for_xdp(&server, &more)?;
    site.there.ip("addr del 10.11.1.9/24 dev eth0")?;
    // Still routed here, no longer ours: whoever answers, it must not be the fast path.
    site.here.ip(&format!(
        "neigh replace 10.11.1.9 lladdr {} dev eth0",
        mac_text(&site)?
    ))?;
    let until = Instant::now() + resume();
    while site.ask_within(&server, "10.11.1.9", GLIMPSE).is_ok() {
        ensure!(
            Instant::now() < until,
            "an address that was removed is still answered"
        );
    }
    site.expect(&server, more[1], Path::Xdp)
}

fn mac_text(site: &Site) -> Result<String> {
    Ok(site
        .eth0()
        .mac()?
        .map(|byte| format!("{byte:02x}"))
        .join(":"))
}
