//! One queue of several whose packets reach nobody.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::maps::{Map, XskMap};
use sluicegate_lab::netns::veth_pair;
use sluicegate_lab::server::Server;
use sluicegate_lab::vm::{lenient, wire};
use sluicegate_lab::wire::{query, rtype, send_udp};
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::{Mode, QueueBuilder};

use crate::answers::map_of;
use crate::site::{Path, SERVER4, Site, resume};

/// Twice the watch's period, and what a busy machine takes more.
fn limit() -> Duration {
    lenient(Duration::from_secs(30))
}

/// A queue's slot gets a socket of another interface, so that what is redirected there is dropped. With veth that is the
/// second one, and the first goes on receiving all the while; a card may put all of one client's packets into one.
pub(crate) fn is_noticed() -> Result<()> {
    let site = Site::joined(2)?;
    let server = site.start()?;
    site.wait_for_xdp(&server, &[SERVER4])?;
    let queue = if wire().is_some() { busy(&server)? } else { 1 };
    let (_near, _far) = veth_pair(&site.here, "other0", &site.here, "other1", 2)?;
    let map = map_of(&site, sluicegate_bpf::MAP_XSKS)?;
    let slots = map_of(&site, sluicegate_bpf::MAP_XSKS)?;
    let mut slots: XskMap<_> = Map::XskMap(slots).try_into()?;
    slots.unset(queue)?;
    let stray = site.here.enter(|| -> Result<_> {
        let nic = Nic::by_name("other0")?;
        let builder = QueueBuilder::new(&nic, queue).frames(64).rings(64, 64);
        Ok(builder.mode(Mode::Copy).open(map.fd())?)
    })?;
    let address = SocketAddr::new(SERVER4.parse()?, 53);
    let asked = query("host.test", rtype::A).build();
    let said = format!("packets to queue {queue}, and none reached the socket");
    let until = Instant::now() + limit();
    while server.process().lines_with(&said).is_empty() {
        ensure!(
            Instant::now() < until,
            "nobody noticed: {:#?}",
            server.stats()?
        );
        // Each from a port of its own, so that both queues get some.
        for _ in 0..32 {
            site.here.enter(|| send_udp(address, &asked))?;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
    site.wait_for(&server, &[SERVER4], Path::Kernel)?;
    ensure!(
        site.eth0().xdp_program()?.is_none(),
        "a program that swallows packets was left where it is"
    );
    drop(stray);
    stays_with_the_kernel(&site, &server)
}

/// Taking the program off resets some cards, and that alone is no reason to attach it again, which would reset it once
/// more. Something done to the card is one.
fn stays_with_the_kernel(site: &Site, server: &Server) -> Result<()> {
    const ACTIVE: &str = "XDP fast path active interface=eth0";
    // A veth doesn't reset, and a link that comes back in the middle of it does so within some seconds.
    let looks = if wire().is_some() { 50 } else { 5 };
    for _ in 0..looks {
        std::thread::sleep(Duration::from_millis(200));
        site.wait_for(server, &[SERVER4], Path::Kernel)?;
        let attached = server.process().lines_with(ACTIVE).len();
        ensure!(attached == 1, "attached {attached} times");
    }
    site.eth0().set_up(false)?;
    server.wait_for_line("eth0 is down", resume())?;
    site.eth0().set_up(true)?;
    server
        .process()
        .wait_for_line_after(1, ACTIVE, resume())
        .context("not tried again after it was set down and up")?;
    site.wait_for_link()?;
    site.wait_for_xdp(server, &[SERVER4])
}

/// The queue that questions come in by.
fn busy(server: &Server) -> Result<u32> {
    let all = server.stats()?;
    let replied = |queue: &u32| all.get(&format!("xdp.eth0.{queue}.replied")) > Some(&0);
    (0..2).find(replied).context("no queue has replied")
}
