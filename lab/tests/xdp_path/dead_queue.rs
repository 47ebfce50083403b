//! One queue of several whose packets reach nobody.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use aya::maps::{Map, XskMap};
use sluicegate_lab::netns::veth_pair;
use sluicegate_lab::wire::{query, rtype, send_udp};
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::{Mode, QueueBuilder};

use crate::answers::map_of;
use crate::site::{Path, SERVER4, Site};

/// Twice the watch's period, and what a busy machine takes more.
const LIMIT: Duration = Duration::from_mins(1);

/// The second queue's slot gets a socket of another interface, so that what is redirected there is dropped. The first
/// queue goes on receiving all the while.
pub(crate) fn is_noticed() -> Result<()> {
    let site = Site::joined(2)?;
    let server = site.start()?;
    site.expect(&server, SERVER4, Path::Xdp)?;
    let (_near, _far) = veth_pair(&site.here, "other0", &site.here, "other1", 2)?;
    let map = map_of(&site, sluicegate_bpf::MAP_XSKS)?;
    let slots = map_of(&site, sluicegate_bpf::MAP_XSKS)?;
    let mut slots: XskMap<_> = Map::XskMap(slots).try_into()?;
    slots.unset(1)?;
    let stray = site.here.enter(|| -> Result<_> {
        let nic = Nic::by_name("other0")?;
        let builder = QueueBuilder::new(&nic, 1).frames(64).rings(64, 64);
        Ok(builder.mode(Mode::Copy).open(map.fd())?)
    })?;
    let address = SocketAddr::new(SERVER4.parse()?, 53);
    let asked = query("host.test", rtype::A).build();
    let said = "packets to queue 1, and none reached the socket";
    let until = Instant::now() + LIMIT;
    while server.process().lines_with(said).is_empty() {
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
    site.expect(&server, SERVER4, Path::Kernel)?;
    ensure!(
        site.eth0().xdp_program()?.is_none(),
        "a program that swallows packets was left where it is"
    );
    drop(stray);
    Ok(())
}
