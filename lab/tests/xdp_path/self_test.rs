//! Generic mode where the driver takes no program: only after a self-test, else the kernel's path and the reason.

use anyhow::{Result, ensure};
use sluicegate_lab::netns::VethEnd;

use crate::site::{CLIENT4, Path, SERVER4, SERVER6, Site, resume};

/// Two hosts whose link takes no native program at the server's end: it has fewer queues than the client's sends by.
fn without_native(address: &str) -> Result<Site> {
    let site = Site::new()?;
    site.there.ip(&format!(
        "link add eth0 numtxqueues 1 numrxqueues 1 type veth peer name eth0 numtxqueues 2 numrxqueues 2 netns {}",
        site.here.path().display()
    ))?;
    let client = VethEnd::adopt(&site.here, "eth0")?;
    client.add_address(&format!("{CLIENT4}/24"))?;
    let server = VethEnd::adopt(&site.there, "eth0")?;
    server.add_address(address)?;
    Ok(site)
}

/// With privileges of its own, and with those of the process beside it; over both families.
pub(crate) fn passes() -> Result<()> {
    for user in ["", "nobody"] {
        let site = without_native(&format!("{SERVER4}/24"))?;
        let more = format!("server:\n  username: \"{user}\"\nxdp:\n  frames: 512");
        let server = Site::server(&more).start(&site.there)?;
        let line = server.wait_for_line("XDP fast path active interface=eth0", resume())?;
        ensure!(line.contains("mode=generic"), "{line}");
        site.expect(&server, SERVER4, Path::Xdp)?;
        // The test's own packets are none of the server's.
        server.expect_sum("xdp.eth0.redirected", "", 1)?;
    }
    // Where there is nothing else, by an address of the link alone.
    for only in [format!("{SERVER6}/64"), "fe80::53/64".to_owned()] {
        let site = without_native(&only)?;
        let server = Site::server("").start(&site.there)?;
        let line = server.wait_for_line("XDP fast path active interface=eth0", resume())?;
        ensure!(line.contains("mode=generic"), "{line}");
    }
    Ok(())
}

/// Something on the way drops the packet, with a program or without: that can't be told apart, and the kernel serves.
pub(crate) fn blocked() -> Result<()> {
    let site = without_native(&format!("{SERVER4}/32"))?;
    // Nobody but the client has a way back, so that packets of others are taken for forged.
    site.there.sysctl("net/ipv4/conf/eth0/rp_filter", "1")?;
    site.there.ip(&format!("route add {CLIENT4}/32 dev eth0"))?;
    let server = Site::server("").start(&site.there)?;
    let line = server.wait_for_line(
        "XDP not available, serving through the kernel: interface=eth0",
        resume(),
    )?;
    let why = "generic: self-test: can't be made: a test packet to UDP port";
    ensure!(
        line.contains(why) && line.contains("`mode: generic` goes without it"),
        "{line}"
    );
    site.expect(&server, SERVER4, Path::Kernel)?;
    let shown = server.stats_text()?;
    let place = shown
        .lines()
        .find(|line| line.starts_with(&format!("place.{SERVER4}@53")));
    ensure!(place.is_some_and(|place| place.contains(why)), "{shown}");
    ensure!(
        site.eth0().xdp_program()?.is_none(),
        "a program was left behind"
    );
    // Who asks for it by name has it, and no test.
    server.reload(&Site::config("xdp:\n  mode: generic"))?;
    let line = server.wait_for_line("XDP fast path active interface=eth0", resume())?;
    ensure!(line.contains("mode=generic"), "{line}");
    site.expect(&server, SERVER4, Path::Xdp)
}
