//! Rings that are full, empty, or interrupted; modes that can't be had.

use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_xsk::nic::Nic;
use sluicegate_xsk::prog::AttachMode;
use sluicegate_xsk::{
    BindError, BusyPoll, Ladder, Mode, QueueBuilder, Rung, RungFailure, negotiate,
};

use crate::scene::{FRAMES, Hosts, PATIENCE, SERVER, load, reflect};

/// Longer than any wait may last.
const LONG: Duration = Duration::from_mins(1);

/// A change to the options of a queue.
type Adjust = fn(QueueBuilder) -> QueueBuilder;

/// Thousands of echoes over several queues, each of them right, and every frame accounted for.
pub(crate) fn echo() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(2)?;
    let mut server = hosts.serve(2, |builder| builder)?;
    let clients = (0..8)
        .map(|_| hosts.connect())
        .collect::<Result<Vec<_>>>()?;
    for round in 0..250u32 {
        for client in &clients {
            server.echo_once(client, &round.to_be_bytes())?;
        }
    }
    let mut sum = 0;
    for queue in &mut server.queues {
        queue.flush()?;
        let counters = queue.counters();
        ensure!(counters.rx_packets == counters.tx_packets, "{counters:?}");
        ensure!(counters.rx_packets > 0, "a queue got nothing");
        sum += counters.rx_packets;
        ensure!(queue.statistics()?.rx_lost() == 0);
    }
    ensure!(sum == 2000, "{sum} packets");
    ensure!(server.seen()? == 2000);
    server.check()
}

pub(crate) fn echo_generic() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve_in(AttachMode::Generic, 1, |builder| builder)?;
    let client = hosts.connect()?;
    for round in 0..100u32 {
        server.echo_once(&client, &round.to_be_bytes())?;
    }
    server.check()
}

/// Busy polling is taken and does no harm. Whether it drives the device depends on kernel and driver (veth: no).
pub(crate) fn busy_poll() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let options: Adjust = |builder| {
        builder.busy_poll(BusyPoll::On {
            usecs: 20,
            budget: 64,
        })
    };
    let mut server = hosts.serve(1, options)?;
    let client = hosts.connect()?;
    for round in 0..100u32 {
        server.echo_once(&client, &round.to_be_bytes())?;
    }
    let queue = &server.queues[0];
    ensure!(queue.counters().kicks_rx >= 100, "{:?}", queue.counters());
    server.check()
}

/// The largest frames that fit; a packet is never cut off.
pub(crate) fn echo_large() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(1)?;
    ends.0.set_mtu(3000)?;
    ends.1.set_mtu(3000)?;
    let mut server = hosts.serve(1, |builder| builder.chunk(4096))?;
    ensure!(server.queues[0].max_frame_bytes() == 3000 + 14 + 8);
    let client = hosts.connect()?;
    for len in [1, 1472, 2000, 2972] {
        let payload: Vec<u8> = (0..len).map(|i: u32| i.to_be_bytes()[3]).collect();
        server.echo_once(&client, &payload)?;
    }
    // A reply longer than the request, up to the limit; and one byte more is refused.
    client.send(b"more")?;
    let mut refused = 0;
    let end = Instant::now() + PATIENCE;
    let queue = &mut server.queues[0];
    let limit = queue.max_frame_bytes();
    while queue.turn(&mut |packet| refused += u32::from(!packet.transmit(limit + 1)))? == 0 {
        ensure!(Instant::now() < end, "no packet");
        queue.idle(Duration::from_millis(1), None)?;
    }
    ensure!(refused == 1 && queue.counters().tx_bad_length == 1);
    server.check()
}

/// Packets of one's own leave, and another descriptor ends a wait.
pub(crate) fn local_packets() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder)?;
    let client = hosts.connect()?;
    server.echo_once(&client, b"before")?;
    let frame = sluicegate_lab::wire::udp_frame(
        &sluicegate_lab::wire::FrameSpec {
            source_mac: ends.0.mac()?,
            destination_mac: ends.1.mac()?,
            tags: Vec::new(),
            source: crate::scene::SERVICE.parse()?,
            destination: client.local_addr()?,
            hop_limit: 64,
        },
        b"unasked",
    );
    let queue = &mut server.queues[0];
    let sent = queue.transmit_with(|room| {
        room.get_mut(..frame.len())?.copy_from_slice(&frame);
        Some(frame.len())
    })?;
    ensure!(sent);
    queue.flush()?;
    let mut buffer = [0; 64];
    let len = client.recv(&mut buffer)?;
    ensure!(&buffer[..len] == b"unasked");

    let (reader, mut writer) = std::io::pipe()?;
    std::io::Write::write_all(&mut writer, b"!")?;
    let start = Instant::now();
    let woken = queue.idle(LONG, Some(reader.as_fd()))?;
    ensure!(woken.wake && !woken.rx, "{woken:?}");
    let (quiet, _writer) = std::io::pipe()?;
    let woken = queue.idle(LONG, Some(quiet.as_fd()))?;
    ensure!(!woken.wake && !woken.rx, "{woken:?}");
    ensure!(
        start.elapsed() < Duration::from_secs(2),
        "a wait is 100 ms at most"
    );
    client.send(b"wake up")?;
    let end = Instant::now() + PATIENCE;
    while !queue.idle(LONG, None)?.rx {
        ensure!(Instant::now() < end, "the packet woke nobody");
    }
    server.check()
}

pub(crate) fn tx_full() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder.rings(64, 64).tx_reserve(512))?;
    let client = hosts.connect()?;
    server.echo_once(&client, b"before")?;
    // An interface that is down takes nothing out of the ring.
    hosts.server.ip(&format!("link set {SERVER} down"))?;
    let queue = &mut server.queues[0];
    let start = Instant::now();
    let mut sent = 0;
    for _ in 0..200 {
        sent += u32::from(queue.transmit_with(|room| {
            room[..60].fill(0);
            Some(60)
        })?);
        queue.turn(&mut reflect)?;
    }
    ensure!(sent == 64, "{sent} packets in a ring of 64");
    ensure!(
        queue.counters().tx_full == 200 - 64,
        "{:?}",
        queue.counters()
    );
    ensure!(
        start.elapsed() < Duration::from_secs(2),
        "a full ring held the queue up"
    );
    ensure!(queue.census().tx == 64, "{:?}", queue.census());
    hosts.server.ip(&format!("link set {SERVER} up"))?;
    server.echo_soon(&client)?;
    ensure!(server.queues[0].census().tx == 0);
    server.check()
}

pub(crate) fn fill_starved() -> Result<()> {
    const PACKETS: u64 = 500;
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder.rings(64, 64).tx_reserve(FRAMES - 32))?;
    let kernel = hosts.listen()?;
    let client = hosts.connect()?;
    for _ in 0..PACKETS {
        client.send(b"too many")?;
    }
    let end = Instant::now() + PATIENCE;
    while server.seen()? < PACKETS {
        ensure!(
            Instant::now() < end,
            "the program saw {} packets",
            server.seen()?
        );
    }
    let queue = &mut server.queues[0];
    let mut received = 0;
    loop {
        match queue.turn(&mut |packet| drop(packet))? {
            0 => break,
            more => received += more as u64,
        }
    }
    let statistics = queue.statistics()?;
    ensure!(statistics.rx_fill_ring_empty > 0, "{statistics:?}");
    ensure!(
        received + statistics.rx_lost() == PACKETS,
        "{received} received, {statistics:?}: not {PACKETS} together"
    );
    ensure!(queue.counters().fill_starved > 0);
    // Whoever sees that sends the packets by the kernel instead, before they are redirected.
    server.enable(0, false)?;
    client.send(b"by the kernel")?;
    let mut buffer = [0; 64];
    let len = kernel.recv(&mut buffer)?;
    ensure!(&buffer[..len] == b"by the kernel");
    server.enable(0, true)?;
    server.echo_once(&client, b"after")?;
    server.check()
}

pub(crate) fn handler_panics() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder)?;
    let client = hosts.connect()?;
    for round in 0..20u32 {
        for _ in 0..3 {
            client.send(b"hot potato")?;
        }
        let queue = &mut server.queues[0];
        let end = Instant::now() + PATIENCE;
        let mut panics = 0;
        while panics < 3 {
            ensure!(Instant::now() < end, "round {round}: {panics} panics");
            let outcome = catch_unwind(AssertUnwindSafe(|| {
                queue.turn(&mut |_packet| std::panic::resume_unwind(Box::new("on purpose")))
            }));
            panics += u32::from(outcome.is_err());
            ensure!(queue.census().user == 0, "{:?}", queue.census());
        }
        server.echo_once(&client, &round.to_be_bytes())?;
        server.check()?;
    }
    Ok(())
}

pub(crate) fn ladder() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(2)?;
    hosts.server.enter(|| -> Result<()> {
        let nic = Nic::by_name(SERVER)?;
        let program = load()?;
        let xsks = program.xskmap("xsks")?;
        let builders = [0, 1].map(|queue| QueueBuilder::new(&nic, queue).frames(FRAMES));
        // All rungs: the second one holds, and the first one's reason is told.
        let got = negotiate(&program, &xsks, &nic, Ladder::default(), &builders)?;
        ensure!(got.rung == Rung::Copy && got.queues.len() == 2);
        ensure!(got.link.mode() == AttachMode::Native);
        ensure!(got.reports.iter().all(|report| report.mode == Mode::Copy));
        let [(Rung::ZeroCopy, RungFailure::Bind { queue: 0, error })] = &got.failed[..] else {
            anyhow::bail!("{:?}", got.failed)
        };
        ensure!(
            error
                .to_string()
                .starts_with("zero-copy is not supported here"),
            "{error}"
        );
        drop((got.queues, got.link));
        // Zero-copy or nothing: nothing, and nothing is left behind.
        let only = Ladder {
            top: Rung::ZeroCopy,
            bottom: Rung::ZeroCopy,
        };
        let error = negotiate(&program, &xsks, &nic, only, &builders)
            .err()
            .context("veth has no zero-copy")?;
        ensure!(error.failed.len() == 1, "{error}");
        ensure!(ends.0.xdp_program()?.is_none());
        // The loopback interface runs programs in the generic hook only.
        let lo = Nic::by_name("lo")?;
        let builders = [QueueBuilder::new(&lo, 0).frames(FRAMES)];
        let got = negotiate(&program, &xsks, &lo, Ladder::default(), &builders)?;
        ensure!(got.rung == Rung::Generic, "{:?}", got.failed);
        ensure!(got.failed.len() == 2, "{:?}", got.failed);
        Ok(())
    })?;
    refusals(&hosts)
}

/// Options that can't be had are refused with their reason.
fn refusals(hosts: &Hosts) -> Result<()> {
    let server = hosts.serve(1, |builder| builder)?;
    let open = |queue, adjust: Adjust| hosts.open(&server.xsks, queue, adjust).err();
    let none = open(2, |builder| builder);
    ensure!(
        matches!(none, Some(BindError::NoSuchQueue { queues: 2, .. })),
        "{none:?}"
    );
    let none = open(8, |builder| builder);
    ensure!(
        matches!(none, Some(BindError::NoSlot { slots: 8, .. })),
        "{none:?}"
    );
    let impossible: [Adjust; 4] = [
        |builder| builder.frames(4),
        |builder| builder.chunk(3000),
        |builder| builder.headroom(1800),
        |builder| builder.tx_reserve(FRAMES),
    ];
    for adjust in impossible {
        let refused = open(1, adjust);
        ensure!(
            matches!(refused, Some(BindError::Options(_))),
            "{refused:?}"
        );
    }
    let refused = open(1, |builder| builder.mode(Mode::ZeroCopy));
    ensure!(
        matches!(
            refused,
            Some(BindError::ModeUnsupported {
                mode: Mode::ZeroCopy,
                ..
            })
        ),
        "{refused:?}"
    );
    let other = server.program.map("queues")?;
    let builder = QueueBuilder::new(&hosts.nic()?, 1);
    let refused = hosts.server.enter(|| builder.open(&other).err());
    ensure!(refused == Some(BindError::NotXskMap), "{refused:?}");
    let fine = open(1, |builder| builder);
    ensure!(fine.is_none(), "the queue itself is fine: {fine:?}");
    Ok(())
}
