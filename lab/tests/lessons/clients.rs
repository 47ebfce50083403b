//! Many clients, and odd ones.

use std::collections::HashSet;
use std::fs;
use std::net::{SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sluicegate_lab::netns::Netns;
use sluicegate_lab::scene::{PATIENCE, SERVER_V4, Scene};
use sluicegate_lab::wire::{Message, Record, ask_udp, query, rtype, udp_frame, udp_payload};

const LOCAL_DATA: &str = r#"
  local-zone: "local.example" static
  local-data: "host.local.example A 192.0.2.1"
"#;

const CLIENTS: u16 = 8;
const ROUNDS: u16 = 1500;
/// How many questions a client has in flight.
const WINDOW: u16 = 20;
const NAMES: u16 = 50;

/// dnsdist 7: under load every client gets an answer to each of its questions, once, and to no other.
pub(crate) fn every_client_gets_its_own_answers() -> Result<()> {
    let scene = Scene::new(4)?;
    let server = scene.start("")?;
    let expected: Vec<Record> = (0..NAMES)
        .map(|number| first_answer(&scene, number))
        .collect::<Result<_>>()?;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (scene, expected) = (&scene, &expected);
                scope.spawn(move || scene.client.enter(|| one_client(client, expected)))
            })
            .collect();
        clients
            .into_iter()
            .try_for_each(|client| client.join().expect("no panic"))
    })?;
    server.expect_sum("xdp.", ".replied", u64::from(NAMES + CLIENTS * ROUNDS))?;
    Ok(())
}

fn name(number: u16) -> String {
    format!("host{}.upstream.example", number % NAMES)
}

fn first_answer(scene: &Scene, number: u16) -> Result<Record> {
    let message = query(&name(number), rtype::A).build();
    let server = SocketAddr::new(SERVER_V4, 53);
    let answer = scene
        .client
        .enter(|| ask_udp(server, &message, PATIENCE))?
        .context("no answer")?;
    Message::parse(&answer)?.answer.pop().context("no record")
}

fn one_client(client: u16, expected: &[Record]) -> Result<()> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((SERVER_V4, 53))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    let mut buffer = [0; 1500];
    for start in (0..ROUNDS).step_by(usize::from(WINDOW)) {
        for round in start..start + WINDOW {
            socket.send(&query(&name(round + client), rtype::A).id(round).build())?;
        }
        let mut waiting: HashSet<u16> = (start..start + WINDOW).collect();
        while !waiting.is_empty() {
            let length = socket
                .recv(&mut buffer)
                .with_context(|| format!("{} answers missing", waiting.len()))?;
            let mut answer = Message::parse(&buffer[..length])?;
            ensure!(
                waiting.remove(&answer.id),
                "answer {} was not waited for",
                answer.id
            );
            let record = answer.answer.pop().context("no record")?;
            let right = &expected[usize::from((answer.id + client) % NAMES)];
            ensure!(
                record.name == right.name && record.rdata == right.rdata,
                "{record:?}, not {right:?}"
            );
        }
    }
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    ensure!(socket.recv(&mut buffer).is_err(), "an answer too many");
    Ok(())
}

/// dnsdist 8: link addresses are those of the query, never looked up, never configured.
pub(crate) fn replies_go_to_the_mac_that_asked() -> Result<()> {
    let scene = Scene::new(1)?;
    let (raw, spec) = scene.raw(false, 4063)?;
    let server = scene.start(LOCAL_DATA)?;
    for (turn, name) in ["host.local.example", "www.upstream.example"]
        .into_iter()
        .enumerate()
    {
        for last in [0x11, 0x22] {
            let mut spec = spec.clone();
            spec.source_mac = [2, 0, 0, 0, turn as u8, last];
            raw.send(&udp_frame(&spec, &query(name, rtype::A).build()))?;
            let ours = |frame: &[u8]| frame.get(36..38) == Some(&4063_u16.to_be_bytes());
            let frame = raw.receive(PATIENCE, ours)?.context("no answer")?;
            ensure!(
                frame[..6] == spec.source_mac,
                "sent to {:x?}, not {:x?}",
                &frame[..6],
                spec.source_mac
            );
            ensure!(
                frame[6..12] == spec.destination_mac,
                "sent from {:x?}",
                &frame[6..12]
            );
        }
    }
    server.expect_sum("xdp.", ".replied", 4)?;
    Ok(())
}

/// dnsdist 9: the last replies of a burst leave without another packet's help.
pub(crate) fn a_burst_is_answered_to_its_end() -> Result<()> {
    const BURST: u16 = 200;
    let scene = Scene::new(1)?;
    let (raw, spec) = scene.raw(false, 4064)?;
    let _server = scene.start(LOCAL_DATA)?;
    for round in 0..5 {
        let frames: Vec<_> = (0..BURST)
            .map(|number| {
                udp_frame(
                    &spec,
                    &query("host.local.example", rtype::A)
                        .id(round * BURST + number)
                        .build(),
                )
            })
            .collect();
        for frame in &frames {
            raw.send(frame)?;
        }
        let mut waiting: HashSet<u16> = (round * BURST..(round + 1) * BURST).collect();
        while !waiting.is_empty() {
            let ours = |frame: &[u8]| frame.get(36..38) == Some(&4064_u16.to_be_bytes());
            let frame = raw.receive(Duration::from_secs(2), ours)?;
            let frame = frame
                .with_context(|| format!("{} replies of a burst are missing", waiting.len()))?;
            let (_, _, payload) = udp_payload(&frame)?.context("a UDP datagram")?;
            ensure!(
                waiting.remove(&Message::parse(&payload)?.id),
                "a reply twice"
            );
        }
    }
    Ok(())
}

/// The configured size of the RX ring is the one that holds: so many queries wait while the server is stopped, and
/// those beyond it are counted as dropped.
pub(crate) fn the_rx_rings_size_holds() -> Result<()> {
    const BURST: u64 = 200;
    for (entries, option) in [(64, "\nxdp:\n  rx-ring: 64"), (BURST, "")] {
        let scene = Scene::new(1)?;
        let (raw, spec) = scene.raw(false, 4065)?;
        let server = scene.start(&format!("{LOCAL_DATA}{option}"))?;
        let pid = server.process().pid();
        server.process().signal(Signal::SIGSTOP)?;
        let end = Instant::now() + PATIENCE;
        while !all_stopped(pid)? {
            ensure!(Instant::now() < end, "the server does not stop");
            thread::yield_now();
        }
        for _ in 0..BURST {
            raw.send(&udp_frame(
                &spec,
                &query("host.local.example", rtype::A).build(),
            ))?;
        }
        server.process().signal(Signal::SIGCONT)?;
        server.expect_sum("xdp.", ".replied", entries)?;
        server.expect_sum("xdp.", ".rx.drop.ring-full", BURST - entries)?;
    }
    Ok(())
}

fn all_stopped(pid: i32) -> Result<bool> {
    let mut all = true;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        all &= fs::read_to_string(task?.path().join("stat"))?.contains(") T ");
    }
    Ok(all)
}

/// dnsdist 11: clients behind a VLAN tag are answered, with the tag.
pub(crate) fn vlan_clients_are_answered() -> Result<()> {
    let scene = Scene::new(1)?;
    let tagged = |netns: &Netns, last: u8| -> Result<()> {
        netns.ip("link add link eth0 name eth0.7 type vlan id 7")?;
        netns.ip(&format!("addr add 10.11.7.{last}/24 dev eth0.7"))?;
        netns.ip("link set eth0.7 up").map(drop)
    };
    tagged(&scene.server, 1)?;
    tagged(&scene.client, 2)?;
    let more =
        format!("  interface: 10.11.7.1\n  access-control: 10.11.7.0/24 allow\n{LOCAL_DATA}");
    let server = scene.start(&more)?;
    let message = query("host.local.example", rtype::A).build();
    for address in ["10.11.7.1:53", "10.11.1.1:53"] {
        let address = address.parse()?;
        // The client's kernel only takes the answer on the VLAN's interface if it carries the tag.
        let answer = scene
            .client
            .enter(|| ask_udp(address, &message, PATIENCE))?;
        let answer = Message::parse(&answer.with_context(|| format!("no answer from {address}"))?)?;
        ensure!(answer.answer.len() == 1, "{answer:?}");
    }
    server.expect_sum("total.", ".replied", 2)?;
    server.expect_sum("xdp.", ".replied", 2)?;
    Ok(())
}

/// dnsdist 11: a root query without EDNS fills 59 bytes; interfaces pad it to 60.
pub(crate) fn padded_root_queries_are_answered() -> Result<()> {
    let scene = Scene::new(1)?;
    let (raw, spec) = scene.raw(false, 4065)?;
    let server = scene.start("")?;
    let mut frame = udp_frame(&spec, &query(".", rtype::NS).build());
    ensure!(frame.len() == 59, "{} bytes", frame.len());
    frame.push(0);
    raw.send(&frame)?;
    let ours = |frame: &[u8]| frame.get(36..38) == Some(&4065_u16.to_be_bytes());
    let reply = raw.receive(PATIENCE, ours)?.context("no answer")?;
    let (_, _, payload) = udp_payload(&reply)?.context("a UDP datagram")?;
    ensure!(Message::parse(&payload)?.answer.len() == 1, "no NS record");
    server.expect_sum("xdp.", ".replied", 1)?;
    Ok(())
}
