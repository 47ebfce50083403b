//! The lab itself: what the other tests stand on.

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::netns::{Netns, veth_pair};
use sluicegate_lab::upstream::{Counts, Knobs, Upstream};
use sluicegate_lab::wire::{
    FrameSpec, Message, RawSocket, ask_tcp, ask_udp, query, rtype, udp_frame, udp_payload,
};

const SECOND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    suite("lab")
        .test(
            "hosts_reach_each_other",
            needs![Root, Netns],
            hosts_reach_each_other,
        )
        .test("raw_frames_arrive", needs![Root, Netns], raw_frames_arrive)
        .test(
            "processes_end_with_their_namespace",
            needs![Root, Netns],
            processes_end_with_their_namespace,
        )
        .test(
            "upstream_follows_knobs",
            needs![Root, Netns],
            upstream_follows_knobs,
        )
        .test(
            "peers_run_with_their_libraries",
            needs![Peer("dig"), Peer("kdig")],
            peers_run,
        )
        .run()
}

fn hosts_reach_each_other() -> Result<()> {
    let (server, client) = (Netns::new()?, Netns::new()?);
    let (there, here) = veth_pair(&server, "eth0", &client, "eth0", 2)?;
    for (end, last) in [(&there, 1), (&here, 2)] {
        end.add_address(&format!("10.11.1.{last}/24"))?;
        end.add_address(&format!("fc00:dead:cafe:1::{last}/64"))?;
    }
    ensure!(
        there.mac()? != here.mac()?,
        "each end has a MAC address of its own"
    );
    ensure!(there.xdp_program()?.is_none(), "no XDP program yet");
    for address in ["10.11.1.1:53", "[fc00:dead:cafe:1::1]:53"] {
        let upstream = Upstream::start(&server, address.parse()?)?;
        let asked = query("www.upstream.test", rtype::A).build();
        let udp = client.enter(|| ask_udp(upstream.address(), &asked, SECOND))?;
        let tcp = client.enter(|| ask_tcp(upstream.address(), &asked, SECOND))?;
        let udp = Message::parse(&udp.context("no answer over UDP")?)?;
        ensure!(
            udp == Message::parse(&tcp.context("no answer over TCP")?)?,
            "UDP and TCP differ"
        );
        ensure!(
            upstream.counts() == Counts { udp: 1, tcp: 1 },
            "{:?}",
            upstream.counts()
        );
    }
    Ok(())
}

fn raw_frames_arrive() -> Result<()> {
    let (server, client) = (Netns::new()?, Netns::new()?);
    let (there, here) = veth_pair(&server, "eth0", &client, "eth0", 1)?;
    there.add_address("10.11.1.1/24")?;
    here.add_address("10.11.1.2/24")?;
    there.add_neighbour("10.11.1.2".parse()?, here.mac()?)?;
    let _upstream = Upstream::start(&server, "10.11.1.1:53".parse()?)?;
    let raw = RawSocket::open(&client, "eth0")?;
    let spec = FrameSpec {
        source_mac: raw.mac(),
        destination_mac: there.mac()?,
        tags: Vec::new(),
        source: "10.11.1.2:4000".parse()?,
        destination: "10.11.1.1:53".parse()?,
        hop_limit: 64,
    };
    raw.send(&udp_frame(
        &spec,
        &query("www.upstream.test", rtype::A).build(),
    ))?;
    let to_us = |frame: &[u8]| frame.get(36..38) == Some(&4000_u16.to_be_bytes());
    let frame = raw.receive(SECOND, to_us)?.context("no frame came back")?;
    ensure!(frame[0..6] == raw.mac(), "the frame is for another host");
    // The kernel leaves the UDP checksum to a veth's missing hardware, so only the headers are looked at here.
    ensure!(
        frame[26..30] == [10, 11, 1, 1],
        "from the address that was asked"
    );
    ensure!(
        udp_payload(&frame[..20])?.is_none(),
        "half a frame is no datagram"
    );
    Ok(())
}

fn processes_end_with_their_namespace() -> Result<()> {
    let netns = Netns::new()?;
    let process = netns.spawn(Command::new("sleep").arg("600"))?;
    let folder = format!("/proc/{}", process.pid());
    ensure!(std::fs::exists(&folder)?, "the process runs");
    drop(process);
    ensure!(
        !std::fs::exists(&folder)?,
        "the process ended with its value"
    );
    // The namespace's thread ends first here: the kernel's parent-death signal ends the process.
    let process = netns.spawn(Command::new("sh").args(["-c", "echo started; exec sleep 600"]))?;
    process.wait_for_line("started", SECOND)?;
    drop(netns);
    let finished = process.finish(Duration::from_secs(5))?;
    ensure!(!finished.success(), "it was killed");
    Ok(())
}

fn upstream_follows_knobs() -> Result<()> {
    let netns = Netns::new()?;
    let upstream = Upstream::start(&netns, "127.0.0.1:5300".parse()?)?;
    let asked = query("www.upstream.test", rtype::A).build();
    let ask = || netns.enter(|| ask_udp(upstream.address(), &asked, Duration::from_millis(300)));
    upstream.set(Knobs {
        silent: true,
        ..Knobs::default()
    });
    ensure!(ask()?.is_none(), "a silent upstream answered");
    upstream.set(Knobs::default());
    ensure!(ask()?.is_some(), "no answer");
    Ok(())
}

fn peers_run() -> Result<()> {
    for name in ["dig", "kdig"] {
        let flag = if name == "dig" { "-v" } else { "-V" };
        let finished = sluicegate_lab::peers::command(name)?.arg(flag).output()?;
        ensure!(
            finished.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&finished.stderr)
        );
    }
    Ok(())
}
