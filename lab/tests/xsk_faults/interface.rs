//! The interface changes under a bound socket.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sluicegate_xsk::QueueError;

use crate::scene::{CLIENT, FRAMES, Hosts, PATIENCE, SERVER, Server, run_to_failure};

/// A worker's tick is 100 ms; the rest is for the kernel's work and a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_secs(1);

/// A worker that waits for packets says `Gone` soon after `change`; nothing hangs.
fn ends_by(hosts: &Hosts, change: impl FnOnce() -> Result<()>) -> Result<Server> {
    let mut server = hosts.serve(1, |builder| builder)?;
    let client = hosts.connect()?;
    server.echo_once(&client, b"before")?;
    let queue = server.queues.remove(0);
    let worker = thread::spawn(move || (run_to_failure(queue), Instant::now()));
    let start = Instant::now();
    change()?;
    let changed = Instant::now();
    let Ok(((error, queue), noticed)) = worker.join() else {
        anyhow::bail!("the worker panicked")
    };
    ensure!(error == QueueError::Gone, "{error}");
    let late = noticed.saturating_duration_since(changed);
    ensure!(
        late < NOTICED_WITHIN,
        "noticed {late:?} after a change of {:?}",
        changed - start
    );
    ensure!(queue.census().total() == FRAMES, "{:?}", queue.census());
    Ok(server)
}

pub(crate) fn deleted() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(1)?;
    let server = ends_by(&hosts, || {
        hosts.server.ip(&format!("link del {SERVER}")).map(drop)
    })?;
    ensure!(
        !server.link.is_live(),
        "the link thinks that its interface is still there"
    );
    drop((ends, server));
    // The interface comes back: all is made anew, and works.
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder)?;
    server.echo_once(&hosts.connect()?, b"after")
}

pub(crate) fn moved() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let elsewhere = sluicegate_lab::netns::Netns::new()?;
    let to = elsewhere.path();
    let server = ends_by(&hosts, || {
        let words = format!("link set {SERVER} netns {}", to.display());
        hosts.server.ip(&words).map(drop)
    })?;
    // The program has gone along, and goes with its link.
    let has_program = || -> Result<bool> {
        let shown = elsewhere.ip(&format!("-d link show dev {SERVER}"))?;
        Ok(shown.contains("prog/xdp"))
    };
    ensure!(has_program()? == server.link.is_live());
    drop(server);
    ensure!(!has_program()?, "the program was left behind");
    Ok(())
}

pub(crate) fn renamed() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder)?;
    let client = hosts.connect()?;
    server.echo_once(&client, b"before")?;
    let index = hosts.nic()?.index();
    hosts
        .server
        .ip(&format!("link set {SERVER} name sluice9"))?;
    server.echo_once(&client, b"after")?;
    let refreshed = hosts
        .server
        .enter(|| sluicegate_xsk::nic::Nic::by_index(index))?;
    ensure!(refreshed.name() == "sluice9");
    ensure!(server.link.is_live());
    server.check()
}

pub(crate) fn down_and_up() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder)?;
    let client = hosts.connect()?;
    server.echo_once(&client, b"before")?;
    hosts.server.ip(&format!("link set {SERVER} down"))?;
    // Waiting is still waiting.
    let start = Instant::now();
    server.queues[0].idle(Duration::from_millis(60), None)?;
    ensure!(
        start.elapsed() >= Duration::from_millis(50),
        "an interface that is down keeps its worker spinning"
    );
    // Packets made meanwhile wait; nothing fails, and nothing spins.
    for _ in 0..10 {
        ensure!(server.queues[0].transmit_with(local_packet)?);
    }
    for _ in 0..5 {
        server.queues[0].idle(Duration::from_millis(1), None)?;
    }
    ensure!(
        server.queues[0].census().tx == 10,
        "{:?}",
        server.queues[0].census()
    );
    ensure!(server.queues[0].counters().kicks_down > 0);
    hosts.server.ip(&format!("link set {SERVER} up"))?;
    server.echo_soon(&client)?;
    ensure!(
        server.queues[0].census().tx == 0,
        "{:?}",
        server.queues[0].census()
    );
    ensure!(server.link.is_live());
    server.check()
}

/// A frame to nobody.
fn local_packet(room: &mut [u8]) -> Option<usize> {
    let frame = room.get_mut(..60)?;
    frame.fill(0);
    frame[..6].fill(0x02);
    frame[12..14].copy_from_slice(&[0x88, 0xb5]);
    Some(60)
}

pub(crate) fn peer_down() -> Result<()> {
    const PACKETS: u64 = 200;
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder)?;
    let client = hosts.connect()?;
    server.echo_once(&client, b"before")?;
    hosts.client.ip(&format!("link set {CLIENT} down"))?;
    let queue = &mut server.queues[0];
    let before = *queue.counters();
    for _ in 0..PACKETS {
        ensure!(queue.transmit_with(local_packet)?);
    }
    let end = Instant::now() + PATIENCE;
    while queue.census().tx > 0 {
        ensure!(Instant::now() < end, "{:?}", queue.census());
        queue.flush()?;
    }
    let counters = queue.counters();
    let busy = counters.kicks_busy - before.kicks_busy;
    let kicks = counters.kicks_tx - before.kicks_tx;
    ensure!(busy > 0, "the kernel was expected to say that it drops");
    ensure!(
        kicks <= PACKETS + PACKETS / 20,
        "{kicks} kicks for {PACKETS} packets"
    );
    hosts.client.ip(&format!("link set {CLIENT} up"))?;
    hosts.client.ip(&format!(
        "neigh replace 10.11.9.1 lladdr {} nud permanent dev {CLIENT}",
        mac(&hosts)?
    ))?;
    server.echo_soon(&client)?;
    server.check()
}

fn mac(hosts: &Hosts) -> Result<String> {
    let mac = hosts.nic()?.link().mac.unwrap_or_default();
    Ok(mac.map(|byte| format!("{byte:02x}")).join(":"))
}

pub(crate) fn channels() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(4)?;
    // No more queues here than there, or the driver takes no program.
    hosts.client.ethtool(&format!("-L {CLIENT} rx 2 tx 2"))?;
    hosts.server.ethtool(&format!("-L {SERVER} rx 2 tx 2"))?;
    let mut server = hosts.serve(2, |builder| builder)?;
    let client = hosts.connect()?;
    server.echo_once(&client, b"before")?;
    // Fewer queues than are bound: the kernel refuses.
    let refused = hosts.server.ethtool(&format!("-L {SERVER} rx 1 tx 1"));
    ensure!(refused.is_err(), "the kernel took a bound queue away");
    server.echo_once(&client, b"between")?;
    // More queues: nobody is told, but who asks sees it, and the kernel's own socket gets what comes there.
    let nic = hosts.nic()?;
    ensure!(nic.caps().rx_queues() == 2, "{:?}", nic.caps().channels);
    hosts.server.ethtool(&format!("-L {SERVER} rx 4 tx 4"))?;
    let now = hosts.server.enter(|| nic.refresh())?;
    ensure!(now.caps().rx_queues() == 4, "{:?}", now.caps().channels);
    hosts.client.ethtool(&format!("-L {CLIENT} rx 4 tx 4"))?;
    let kernel = hosts.listen()?;
    kernel.set_nonblocking(true)?;
    let many = (0..64)
        .map(|_| hosts.connect())
        .collect::<Result<Vec<_>>>()?;
    let mut buffer = [0; 64];
    let mut passed = false;
    server.reflect_until(|_| {
        for client in &many {
            let _ = client.send(b"anywhere");
        }
        passed |= kernel.recv(&mut buffer).is_ok();
        passed
    })?;
    server.check()
}
