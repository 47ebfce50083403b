//! Real clients against AF_XDP, the counters proving which path answered.

use std::collections::BTreeMap;
use std::fs;
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::netns::{Finished, Netns};
use sluicegate_lab::scene::{LINK, PATIENCE, SERVER_V4, SERVER_V6, Scene};
use sluicegate_lab::server::Server;
use sluicegate_lab::upstream::Knobs;
use sluicegate_lab::wire::{query, rtype};
use sluicegate_lab::{needs, peers};

fn main() -> ExitCode {
    suite("clients")
        .test(
            "dig_over_both_families",
            needs![Root, Netns, Peer("dig")],
            dig_over_both_families,
        )
        .test(
            "kdig_over_both_families",
            needs![Root, Netns, Peer("kdig")],
            kdig_over_both_families,
        )
        .test(
            "dnsperf_over_ipv4",
            needs![Root, Netns, Peer("dnsperf")],
            || dnsperf(&SERVER_V4.to_string()),
        )
        .test(
            "dnsperf_over_ipv6",
            needs![Root, Netns, Peer("dnsperf")],
            || dnsperf(&SERVER_V6.to_string()),
        )
        .test(
            "no_loss_at_fifty_thousand",
            needs![Root, Netns, Peer("kxdpgun")],
            no_loss_at_fifty_thousand,
        )
        .test(
            "bursts_of_misses_keep_no_frame",
            needs![Root, Netns, Peer("kxdpgun")],
            bursts_of_misses_keep_no_frame,
        )
        .run()
}

const LOCAL_DATA: &str = r#"
  local-zone: "local.example" static
  local-data: "host.local.example A 192.0.2.1"
  local-data: "host.local.example AAAA 2001:db8::1"
"#;

/// Waits until each path has replied this often, by the server's own counters.
fn expect_replies(server: &Server, xdp: u64, udp: u64, tcp: u64) -> Result<()> {
    server.expect_sum("xdp.", ".replied", xdp)?;
    server.expect_sum("udp.", ".replied", udp)?;
    server.expect_sum("tcp.", ".replied", tcp)
}

fn run(scene: &Scene, program: &str, arguments: &[&str]) -> Result<Finished> {
    let mut command = peers::command(program)?;
    command.args(arguments).env("HOME", "/nonexistent"); // no ~/.digrc
    let finished = scene.client.run(&command)?;
    ensure!(
        finished.success(),
        "{program} {arguments:?}: {}{}",
        finished.stdout,
        finished.stderr
    );
    Ok(finished)
}

fn dig_over_both_families() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    for at in [format!("@{SERVER_V4}"), format!("@{SERVER_V6}")] {
        // local data; a miss and a hit; a chain; a name that isn't; with EDNS as dig does by default, and without
        for (question, expected) in [
            (&["host.local.example", "A"][..], "192.0.2.1"),
            (&["host.local.example", "AAAA", "+noedns"], "2001:db8::1"),
            (&["www.upstream.example", "A"], "192.0.2."),
            (&["www.upstream.example", "A", "+dnssec"], "192.0.2."),
            (
                &["cname.www.upstream.example", "A"],
                "www.upstream.example.",
            ),
            (&["nx.upstream.example", "A"], "status: NXDOMAIN"),
            (&["big.upstream.example", "TXT", "+ignore"], " tc "),
        ] {
            let arguments = [&[&at[..], "+tries=1", "+time=5"], question].concat();
            let out = run(&scene, "dig", &arguments)?.stdout;
            ensure!(
                out.contains(expected),
                "dig {arguments:?} has no {expected:?}:\n{out}"
            );
            ensure!(
                !out.contains(";; WARNING") && !out.contains("malformed"),
                "dig complains:\n{out}"
            );
        }
    }
    expect_replies(&server, 14, 0, 0)?;
    let arguments = [&format!("@{SERVER_V4}"), "big.upstream.example", "TXT"];
    let out = run(&scene, "dig", &arguments)?.stdout;
    ensure!(
        out.contains("Truncated, retrying in TCP mode"),
        "dig did not turn to TCP:\n{out}"
    );
    ensure!(out.contains("ANSWER: 1"), "no answer over TCP:\n{out}");
    expect_replies(&server, 15, 0, 1)?;
    Ok(())
}

fn kdig_over_both_families() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    for at in [format!("@{SERVER_V4}"), format!("@{SERVER_V6}")] {
        for (question, expected) in [
            (&["host.local.example", "A"][..], "192.0.2.1"),
            (
                &["www.upstream.example", "MX", "+edns"],
                "mail.upstream.test.",
            ),
            (&["nx.upstream.example", "A"], "NXDOMAIN"),
        ] {
            let arguments = [&[&at[..], "+retry=0", "+time=5"], question].concat();
            let out = run(&scene, "kdig", &arguments)?.stdout;
            ensure!(
                out.contains(expected),
                "kdig {arguments:?} has no {expected:?}:\n{out}"
            );
            ensure!(!out.contains("WARNING"), "kdig complains:\n{out}");
        }
    }
    expect_replies(&server, 6, 0, 0)?;
    let arguments = [&format!("@{SERVER_V6}")[..], "+tcp", "host.local.example"];
    run(&scene, "kdig", &arguments)?;
    expect_replies(&server, 6, 0, 1)?;
    Ok(())
}

/// A file with questions, one a line, as dnsperf and kxdpgun read them; removed with the value.
struct Questions(PathBuf);

impl Questions {
    fn new(lines: &str) -> Result<Self> {
        let path =
            std::env::temp_dir().join(format!("sluicegate-questions-{}", std::process::id()));
        fs::write(&path, lines)?;
        Ok(Self(path))
    }

    fn path(&self) -> &str {
        self.0
            .to_str()
            .expect("the temporary folder has a plain name")
    }
}

impl Drop for Questions {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn dnsperf(address: &str) -> Result<()> {
    let scene = Scene::new(2)?;
    let server = scene.start(LOCAL_DATA)?;
    let names: Vec<String> = (0..200)
        .map(|n| format!("www{n}.upstream.example A"))
        .collect();
    let lines = format!(
        "host.local.example A\nnx.upstream.example A\n{}\n",
        names.join("\n")
    );
    let questions = Questions::new(&lines)?;
    // 202 lines, 50 times over: the first round misses, the others hit.
    let arguments = [
        "-s",
        address,
        "-d",
        questions.path(),
        "-n",
        "50",
        "-c",
        "4",
        "-Q",
        "10000",
        "-q",
        "50",
    ];
    let out = run(&scene, "dnsperf", &arguments)?.stdout;
    let numbers = dnsperf_numbers(&out);
    let number = |name: &str| {
        numbers
            .get(name)
            .copied()
            .with_context(|| format!("no {name:?} in:\n{out}"))
    };
    ensure!(number("Queries sent")? == 10_100, "{out}");
    ensure!(number("Queries completed")? == 10_100, "{out}");
    ensure!(number("Queries lost")? == 0, "{out}");
    ensure!(
        out.contains("NOERROR 10050") && out.contains("NXDOMAIN 50"),
        "{out}"
    );
    expect_replies(&server, 10_100, 0, 0)?;
    Ok(())
}

/// The numbers of dnsperf's summary: `  Queries sent:         10100`.
fn dnsperf_numbers(text: &str) -> BTreeMap<String, u64> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once(':'));
    let first = |value: &str| value.split_whitespace().next()?.parse().ok();
    pairs
        .filter_map(|(name, value)| Some((name.to_owned(), first(value)?)))
        .collect()
}

/// Hits at 50,000 queries/s for three seconds from a generator that itself uses AF_XDP.
///
/// A try with loss is excused only where counters outside of the server explain each packet: the interfaces' own, or a
/// worker that other programs kept from its CPU for as long as its ring lasts.
fn no_loss_at_fifty_thousand() -> Result<()> {
    const TRIES: usize = 5;
    let mut story = Vec::new();
    for _ in 0..TRIES {
        let scene = Scene::new(1)?;
        let server = scene.start(LOCAL_DATA)?;
        let shot = shoot(&scene, &server)?;
        if shot.answered == shot.sent {
            server.expect_sum("xdp.", ".received", shot.sent)?;
            return server.expect_sum("xdp.", ".replied", shot.sent);
        }
        story.push(format!("{shot:?}"));
        shot.excuse().with_context(|| story.join("\n"))?;
    }
    bail!("{TRIES} times:\n{}", story.join("\n"))
}

/// What happened to the queries of one run.
#[derive(Debug)]
struct Shot {
    sent: u64,
    received: u64,
    replied: u64,
    answered: u64,
    /// Dropped at the server's socket: its rings were full or empty.
    ring_drops: u64,
    /// Dropped by the interfaces on the way there, and those that the server's socket did not take.
    lost_there: u64,
    /// Dropped by the interfaces on the way back, and those that the generator's socket did not take.
    lost_back: u64,
    /// How long the worker was ready to run and did not.
    held_up: Duration,
}

impl Shot {
    /// Whether the loss says nothing of the server.
    fn excuse(&self) -> Result<()> {
        // 2,048 entries at 50,000 a second.
        const RING_LASTS: Duration = Duration::from_millis(41);
        ensure!(
            self.replied == self.received,
            "queries got lost in the server"
        );
        ensure!(
            self.sent <= self.received + self.lost_there.max(self.ring_drops),
            "queries are missing that nobody counts as dropped"
        );
        ensure!(
            self.replied <= self.answered + self.lost_back,
            "replies are missing that nobody counts as dropped"
        );
        ensure!(
            self.ring_drops == 0 || self.held_up >= RING_LASTS,
            "the server's rings overflowed though its worker could run"
        );
        Ok(())
    }
}

fn shoot(scene: &Scene, server: &Server) -> Result<Shot> {
    const QUERIES: u64 = 150_000;
    let held_up = held_up(server)?;
    let rate = ["-t", "3", "-Q", "50000", "-b", "10"];
    let (sent, answered) = fire(scene, "host.local.example A\n", &rate)?;
    let held_up = self::held_up(server)?.saturating_sub(held_up);
    ensure!(
        sent >= QUERIES * 9 / 10,
        "the generator sent too few: {sent}"
    );
    // A reply may reach its client before it is counted.
    let _ = server.expect_sum("xdp.", ".replied", sent);
    let (near, far) = (drops(&scene.server)?, drops(&scene.client)?);
    Ok(Shot {
        sent,
        received: server.sum("xdp.", ".received")?,
        replied: server.sum("xdp.", ".replied")?,
        answered,
        ring_drops: server.sum("xdp.", ".rx.drop.ring-full")?
            + server.sum("xdp.", ".rx.drop.fill-empty")?
            + server.sum("xdp.", ".rx.drop.other")?,
        lost_there: far.1 + near.0,
        lost_back: near.1 + far.0,
        held_up,
    })
}

/// Has kxdpgun ask these questions over and over; how many it sent, and how many replies it saw.
fn fire(scene: &Scene, questions: &str, rate: &[&str]) -> Result<(u64, u64)> {
    let questions = Questions::new(questions)?;
    scene
        .client_end()
        .add_neighbour(SERVER_V4, scene.server_end().mac()?)?;
    let mut command = peers::command("kxdpgun")?;
    let target = SERVER_V4.to_string();
    command
        .args(rate)
        .args(["-I", LINK, "-i"])
        .args([questions.path(), &target]);
    let finished = scene.client.run(&command)?;
    // kxdpgun leaves its own program on the client's interface.
    scene.client.ip(&format!("link set dev {LINK} xdp off"))?;
    let out = format!("{}{}", finished.stdout, finished.stderr);
    ensure!(finished.success(), "kxdpgun: {out}");
    kxdpgun_numbers(&out).with_context(|| format!("no totals in:\n{out}"))
}

/// More misses at once than a queue has frames (4,096), places for clients who wait (as many) and the engine takes: each
/// packet that was taken is answered or counted as dropped, and no frame is lost by any of the ways that leads.
fn bursts_of_misses_keep_no_frame() -> Result<()> {
    const BURSTS: u32 = 3;
    const NAMES: u32 = 50_000;
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    // The first names wait for as long as the rest comes.
    scene.upstream.set(Knobs {
        delay: Duration::from_millis(500),
        ..Knobs::default()
    });
    let mut dropped = 0;
    for burst in 0..BURSTS {
        let lines = (0..NAMES).map(|number| format!("b{burst}x{number}.upstream.example A\n"));
        fire(
            &scene,
            &lines.collect::<String>(),
            &["-t", "1", "-Q", "100000", "-b", "32"],
        )?;
        server
            .wait_for_stats(PATIENCE * 4, |stats| {
                let (received, replied, lost) = worker_counts(stats);
                stats.get("engine.waiting") == Some(&0) && received == replied + lost
            })
            .context("not each packet was answered or counted")?;
        let (received, _, lost) = worker_counts(&server.stats()?);
        dropped = lost;
        ensure!(received > 0, "burst {burst}: nothing came");
    }
    let drops = server.sum("xdp.", ".rx.drop.ring-full")? + dropped;
    ensure!(
        drops > 4096,
        "only {drops} were too many: nothing was tested"
    );
    // All frames are there: so many hits at once would otherwise find none.
    let (before, ..) = worker_counts(&server.stats()?);
    let hits = scene.client.enter(|| {
        let sockets: Result<Vec<_>> = (0..64).map(|_| connected()).collect();
        let sockets = sockets?;
        let query = query("host.local.example", rtype::A).build();
        let mut answered = 0;
        for _ in 0..100 {
            for socket in &sockets {
                socket.send(&query)?;
            }
            for socket in &sockets {
                answered += u64::from(socket.recv(&mut [0; 512]).is_ok());
            }
        }
        anyhow::Ok(answered)
    })?;
    ensure!(hits == 6400, "{hits} of 6,400 hits were answered");
    let (after, ..) = worker_counts(&server.stats()?);
    ensure!(after > before, "the hits did not come by AF_XDP");
    Ok(())
}

fn connected() -> Result<UdpSocket> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect((SERVER_V4, 53))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    Ok(socket)
}

/// Of the link's only queue: packets received, replies, packets dropped under any name.
fn worker_counts(stats: &BTreeMap<String, u64>) -> (u64, u64, u64) {
    let of_worker = |part: &str| -> u64 {
        let start = format!("xdp.{LINK}.0.{part}");
        let found = stats.iter().filter(|(name, _)| name.starts_with(&start));
        found.map(|(_, count)| count).sum()
    };
    (
        of_worker("received"),
        of_worker("replied"),
        of_worker("drop."),
    )
}

/// What the link's interface in the namespace has dropped: received, and to be sent.
fn drops(netns: &Netns) -> Result<(u64, u64)> {
    let text = netns.enter(|| fs::read_to_string("/proc/thread-self/net/dev"))?;
    let mark = format!("{LINK}:");
    let line = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(&mark))
        .context("the link's line")?;
    let number = |column: usize| -> Result<u64> {
        let word = line.split_whitespace().nth(column).context("a column")?;
        Ok(word.parse()?)
    };
    Ok((number(3)?, number(11)?))
}

/// How long the worker of the link's only queue has waited for a CPU so far (the second number of its schedstat).
fn held_up(server: &Server) -> Result<Duration> {
    let worker = format!("xdp.{LINK}.0");
    for task in fs::read_dir(format!("/proc/{}/task", server.process().pid()))? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim() == worker {
            let text = fs::read_to_string(task.join("schedstat"))?;
            let nanos = text.split_whitespace().nth(1).context("a run delay")?;
            return Ok(Duration::from_nanos(nanos.parse()?));
        }
    }
    bail!("no thread is called {worker}")
}

/// Queries and replies of `total queries: N (R pps)` and `total replies: N (R pps) (P %)`.
fn kxdpgun_numbers(text: &str) -> Option<(u64, u64)> {
    let number = |what: &str| {
        let line = text.lines().find(|line| line.starts_with(what))?;
        line[what.len()..].split_whitespace().next()?.parse().ok()
    };
    Some((number("total queries:")?, number("total replies:")?))
}
