//! What the kernel does with AF_XDP on interfaces where it can't work or only half works: the reasons behind rules of
//! `crates/places` and of the mode ladder. Sockets are opened here by hand, past those rules.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sluicegate_lab::vm::record;
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::prog::{AttachMode, AttachedLink, LoadOptions, Program};
use sluicegate_xsk::{Mode, Queue, QueueBuilder, RxPacket};

use crate::drivers::best_mode;
use crate::site::{driver, patience};
use crate::tower::{ASKED, Tower, far};
use crate::towers::IGBS;

/// Redirects what is sent to port 4053.
static REDIRECT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/redirect.o"));
const PORT: u16 = 4053;
const PACKETS: u64 = 40;

/// Sockets on an interface, by hand. Dropped in this order: some NICs hang if sockets go before the program.
struct Rig {
    _link: AttachedLink,
    queues: Vec<Queue>,
    program: Program,
}

/// The bond's own queues: all succeeds, and every packet is lost without being counted at the socket. That is why packets
/// are taken at the members, and why an interface whose redirects don't arrive is given up.
pub(crate) fn bond_itself() -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.lacp()?;
    tower.build(&[&format!("addr add {ASKED}/24 dev bond0")])?;
    tower.client_on("bond0", &[])?;
    let (client, kernel) = ends(&tower)?;
    ensure!(
        reaches(&client, &kernel)?,
        "nothing comes without a program"
    );
    let mut rig = Rig::new(&tower, "bond0", AttachMode::Native, |builder| {
        builder.mode(Mode::Copy)
    })?;
    // Attaching has reset the members.
    tower.aggregated(2)?;
    rig.redirect(true)?;
    let before = rig.seen()?;
    let until = Instant::now() + patience();
    while rig.seen()? < before + PACKETS {
        ensure!(Instant::now() < until, "the program sees no packets");
        client.send(b"to a bond")?;
        rig.reflect(Duration::from_millis(20))?;
    }
    rig.reflect(Duration::from_secs(1))?;
    let arrived = rig.arrived()?;
    let verdict = format!("bind succeeds; {arrived} of {PACKETS} packets arrive");
    record("a socket on the bond itself", "bonding", "copy", &verdict)?;
    ensure!(arrived == 0, "a bond's own queues do receive: {verdict}");
    rig.redirect(false)?;
    ensure!(
        reaches(&client, &kernel)?,
        "what the program passes does not come"
    );
    Ok(())
}

/// A generic program with a socket that may be bound zero-copy: where the driver has that, it is of no use. With
/// `XDP_COPY` it works everywhere.
pub(crate) fn generic_auto(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = tower.nics[0].clone();
    tower.build(&[&format!("addr add {ASKED}/24 dev {nic}")])?;
    tower.client_on(&far(&nic), &[])?;
    for mode in [Mode::Auto, Mode::Copy] {
        let (client, kernel) = ends(&tower)?;
        let mut rig = Rig::new(&tower, &nic, AttachMode::Generic, |builder| {
            builder.mode(mode)
        })?;
        let until = Instant::now() + patience();
        while !reaches(&client, &kernel)? {
            ensure!(Instant::now() < until, "the NIC does not come back");
        }
        rig.redirect(true)?;
        let echoed = rig.echoes(&client);
        let verdict = match &echoed {
            Ok(echoed) => format!(
                "receives: {}; sends: {}",
                yes(rig.arrived()? > 0),
                yes(*echoed)
            ),
            Err(error) => error.to_string(),
        };
        let kind = format!("generic program, bind {mode}");
        record(&kind, &driver(&tower.server, &nic)?, "generic", &verdict)?;
        // Where an auto bind has become zero-copy, nothing is sent.
        let useless = mode == Mode::Auto && best_mode(wire)? == "zero-copy";
        ensure!(matches!(echoed, Ok(true)) != useless, "{kind}: {verdict}");
    }
    Ok(())
}

/// Generic mode on interfaces of all kinds: `XDP_PASS` is heeded everywhere, but a redirect that fails once the map's
/// look-up has found a socket (here: no frames are left to receive into) is a drop, wherever it happens.
pub(crate) fn generic_drop(wire: &str, kind: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = tower.nics[0].clone();
    let (name, near) = if kind.is_empty() {
        (nic.clone(), Vec::new())
    } else {
        let add = format!("link add link {nic} name upper0 type {kind}");
        (
            "upper0".to_owned(),
            vec![add, "link set upper0 up".to_owned()],
        )
    };
    for command in &near {
        tower.server.ip(command)?;
    }
    tower.build(&[&format!("addr add {ASKED}/24 dev {name}")])?;
    let far = far(&nic);
    if kind.starts_with("vlan") {
        let add = format!("link add link {far} name upper0 type {kind}");
        tower.client_on("upper0", &[&add])?;
    } else {
        tower.client_on(&far, &[])?;
    }
    let (client, kernel) = ends(&tower)?;
    let mut rig = Rig::new(&tower, &name, AttachMode::Generic, |builder| {
        builder.mode(Mode::Copy).frames(64)
    })?;
    ensure!(reaches(&client, &kernel)?, "XDP_PASS is not heeded");
    rig.redirect(true)?;
    let echoed = rig.echoes(&client)?;
    // Nobody serves the queues: frames run out.
    let before = rig.seen()?;
    let until = Instant::now() + patience() / 4;
    while rig.seen()? < before + 4 * PACKETS && Instant::now() < until {
        client.send(b"nobody serves")?;
    }
    let seen = rig.seen()? - before;
    let stolen = !hears(&kernel)?;
    let lost = rig.lost()?;
    rig.redirect(false)?;
    let passed = reaches(&client, &kernel)?;
    let verdict = format!(
        "echoes: {}; of {seen} unserved packets {lost} are dropped and counted, and the kernel gets {}",
        yes(echoed),
        if stolen { "none" } else { "some" },
    );
    let what = if kind.is_empty() { "NIC" } else { kind };
    let driver = driver(&tower.server, &nic)?;
    record(
        &format!("generic mode, {what}"),
        &driver,
        "generic",
        &verdict,
    )?;
    // On Linux 6.1 and 6.12 a macvlan's program sees nothing, and the kernel gets it all; on 7.3 it sees everything.
    ensure!(
        seen > 0 || kind == "macvlan",
        "the program sees no packets: {verdict}"
    );
    ensure!(passed, "XDP_PASS is not heeded after a drop: {verdict}");
    ensure!(
        stolen || seen == 0,
        "a failed redirect goes on to the kernel: {verdict}"
    );
    ensure!(
        lost > 0 || !echoed || seen == 0,
        "lost without being counted: {verdict}"
    );
    Ok(())
}

impl Rig {
    fn new(
        tower: &Tower,
        interface: &str,
        mode: AttachMode,
        adjust: impl Fn(QueueBuilder) -> QueueBuilder + Sync,
    ) -> Result<Self> {
        tower.server.enter(|| {
            let nic = Nic::by_name(interface)?;
            let program = Program::load(REDIRECT, "redirect", &LoadOptions::new())?;
            let link = program.attach(&nic, mode)?;
            let xsks = program.xskmap("xsks")?;
            // A bond says more than its members have.
            let count = nic.caps().rx_queues().min(2);
            let open = |queue| {
                let builder = adjust(QueueBuilder::new(&nic, queue).frames(256).rings(64, 64));
                anyhow::Ok(builder.open(&xsks)?.0)
            };
            let queues = (0..count).map(open).collect::<Result<_>>()?;
            Ok(Self {
                _link: link,
                queues,
                program,
            })
        })
    }

    fn redirect(&self, redirect: bool) -> Result<()> {
        let map = self.program.map("queues")?;
        let value = u32::from(redirect).to_ne_bytes();
        (0..8u32).try_for_each(|queue| Ok(map.set(&queue.to_ne_bytes(), &value)?))
    }

    /// How many packets the program has seen.
    fn seen(&self) -> Result<u64> {
        let map = self.program.map("seen")?;
        let each = (0..8u32).map(|queue| map.sum_per_cpu(&queue.to_ne_bytes()));
        Ok(each.sum::<Result<u64, _>>()?)
    }

    /// Packets that came to the sockets, taken or dropped.
    fn arrived(&self) -> Result<u64> {
        let taken: u64 = self
            .queues
            .iter()
            .map(|queue| queue.counters().rx_packets)
            .sum();
        Ok(taken + self.lost()?)
    }

    /// Packets that the sockets dropped.
    fn lost(&self) -> Result<u64> {
        let mut lost = 0;
        for queue in &self.queues {
            lost += queue.statistics()?.rx_lost();
        }
        Ok(lost)
    }

    /// Serves the queues for a while.
    fn reflect(&mut self, time: Duration) -> Result<()> {
        let until = Instant::now() + time;
        loop {
            for queue in &mut self.queues {
                queue.turn(&mut reflect)?;
            }
            if Instant::now() >= until {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Whether one of many packets comes back.
    fn echoes(&mut self, client: &UdpSocket) -> Result<bool> {
        let mut buffer = [0; 64];
        client.set_read_timeout(Some(Duration::from_millis(1)))?;
        for _ in 0..PACKETS {
            client.send(b"echo")?;
            self.reflect(Duration::from_millis(50))?;
            if client.recv(&mut buffer).is_ok() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// The client's socket, and one of the kernel's on the server's host that hears what the program passes.
fn ends(tower: &Tower) -> Result<(UdpSocket, UdpSocket)> {
    let kernel = tower.server.enter(|| UdpSocket::bind((ASKED, PORT)))?;
    let client = tower.client.enter(|| UdpSocket::bind("0.0.0.0:0"))?;
    tower.client.enter(|| client.connect((ASKED, PORT)))?;
    Ok((client, kernel))
}

/// Whether packets come through to the kernel's socket, sooner or later.
fn reaches(client: &UdpSocket, kernel: &UdpSocket) -> Result<bool> {
    hears(kernel)?;
    let until = Instant::now() + patience();
    while Instant::now() < until {
        client.send(b"to the kernel")?;
        if hears(kernel)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether the kernel's socket has heard anything; reads all of it.
fn hears(kernel: &UdpSocket) -> Result<bool> {
    kernel.set_read_timeout(Some(Duration::from_millis(200)))?;
    let mut buffer = [0; 64];
    let mut heard = false;
    while kernel.recv(&mut buffer).is_ok() {
        heard = true;
    }
    Ok(heard)
}

/// Sends a packet back to where it came from.
fn reflect(mut packet: RxPacket<'_>) {
    let len = packet.len();
    let Some(headers) = packet.window().first_chunk_mut::<42>() else {
        return;
    };
    headers[..12].rotate_left(6);
    headers[26..34].rotate_left(4);
    headers[34..38].rotate_left(2);
    // None is as good over IPv4.
    headers[40..42].fill(0);
    packet.transmit(len);
}

const fn yes(yes: bool) -> &'static str {
    if yes { "yes" } else { "no" }
}
