//! How often a client may ask, whatever way its queries come by.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::netns::Netns;
use sluicegate_lab::peers;
use sluicegate_lab::private_dir::PrivateDir;
use sluicegate_lab::scene::{PATIENCE, Path, SERVER_V4, SILENCE, Scene};
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::wire::{Message, query, rtype};

/// Queries of a client in a second.
const LIMIT: u64 = 5;
/// A flood lasts at least so long: one whole second of the server's is then within it.
const FLOOD: Duration = Duration::from_millis(2100);
/// Queries sent at once: less than any buffer on their way holds.
const BURST: u16 = 64;
/// Ports they are sent from, so that they reach all queues and all workers.
const SOCKETS: u16 = 8;

const LOCAL: &str = "host.local.example";
const CACHED: &str = "www.upstream.example";

fn lines(more: &str) -> String {
    format!(
        "  ip-ratelimit: {LIMIT}
  ip-ratelimit-factor: 0
  local-zone: \"local.example\" static
  local-data: \"{LOCAL} A 192.0.2.1\"
{more}"
    )
}

/// Runbound 5: a rate limit that cache hits and local data passed by.
pub(crate) fn a_rate_limit_holds_on_every_path() -> Result<()> {
    let scene = Scene::new(2)?;
    let server = scene.start(&lines(""))?;
    let other = scene.client_end();
    other.add_address("10.11.1.3/24")?;
    for path in Path::ALL {
        let limit = if path == Path::Tcp { PATIENCE } else { SILENCE };
        until_answered(|| scene.ask(path, &query(CACHED, rtype::A).build(), limit))?;
        match path {
            Path::Tcp => stream(&scene, &server)?,
            _ => flood(&scene, &server, path)?,
        }
    }
    // The reload wakes the thread that tells.
    server.reload(&scene.config(&lines("")))?;
    server.wait_for_line(
        &format!("ip_ratelimit exceeded 10.11.1.2 {LIMIT}"),
        PATIENCE,
    )?;
    let told: u64 = server.sum("total.", "num.queries_ip_ratelimited")?;
    let dropped: u64 = Path::ALL
        .iter()
        .map(|path| server.sum(path.counters(), ".drop.ip-ratelimit"))
        .sum::<Result<u64>>()?;
    ensure!(told == dropped, "{told} in all, {dropped} by the workers");
    Ok(())
}

/// Asks until there is an answer: the limit may be used up for this second.
fn until_answered(ask: impl Fn() -> Result<Option<Vec<u8>>>) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while ask()?.is_none() {
        ensure!(Instant::now() < end, "no answer within {PATIENCE:?}");
    }
    Ok(())
}

/// Floods the server with what the workers remember and what is local; another client is served meanwhile.
fn flood(scene: &Scene, server: &Server, path: Path) -> Result<()> {
    let (netns, address) = match path {
        Path::Xdp => (&scene.client, SocketAddr::new(SERVER_V4, 53)),
        _ => (
            &scene.server,
            SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53),
        ),
    };
    let sockets = netns.enter(|| sockets(address))?;
    let count = |all: &BTreeMap<String, u64>, end: &str| -> u64 {
        let chosen = all
            .iter()
            .filter(|(name, _)| name.starts_with(path.counters()) && name.ends_with(end));
        chosen.map(|(_, value)| value).sum()
    };
    // What was asked before is dealt with.
    server.wait_for_stats(PATIENCE, |all| {
        count(all, ".received") == count(all, ".replied") + count(all, ".drop.ip-ratelimit")
    })?;
    let before = server.stats()?;
    let since = |all: &BTreeMap<String, u64>, end| count(all, end) - count(&before, end);
    let (start, mut sent, mut others) = (Instant::now(), 0, 0_u32);
    while start.elapsed() < FLOOD {
        for number in 0..BURST {
            let name = if number % 2 == 0 { LOCAL } else { CACHED };
            let message = query(name, rtype::A).id(number).build();
            sockets[usize::from(number % SOCKETS)].send(&message)?;
        }
        sent += u64::from(BURST);
        server.wait_for_stats(PATIENCE, |all| {
            since(all, ".received") >= sent + u64::from(others)
        })?;
        if path == Path::Xdp && start.elapsed() >= FLOOD / 3 * others {
            ask_from_another(scene)?;
            others += 1;
        }
    }
    let (seconds, others) = (start.elapsed().as_secs() + 2, u64::from(others));
    server.wait_for_stats(PATIENCE, |all| {
        since(all, ".replied") + since(all, ".drop.ip-ratelimit") == sent + others
    })?;
    let passed = since(&server.stats()?, ".replied") - others;
    ensure!(
        (LIMIT..=LIMIT * seconds).contains(&passed),
        "{path}: {passed} of {sent} queries were answered in at most {seconds} seconds"
    );
    Ok(())
}

fn ask_from_another(scene: &Scene) -> Result<()> {
    let answer = scene.client.enter(|| -> Result<_> {
        let socket = UdpSocket::bind("10.11.1.3:0")?;
        socket.connect((SERVER_V4, 53))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.send(&query(CACHED, rtype::A).build())?;
        let mut buffer = vec![0; 512];
        let len = socket.recv(&mut buffer).context("the other client")?;
        Message::parse(&buffer[..len])
    })?;
    ensure!(answer.answer.len() == 1, "the other client's answer");
    Ok(())
}

fn sockets(server: SocketAddr) -> Result<Vec<UdpSocket>> {
    let socket = |_| {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.connect(server)?;
        Ok(socket)
    };
    (0..SOCKETS).map(socket).collect()
}

/// The same over TCP, where a query too many ends its connection.
fn stream(scene: &Scene, server: &Server) -> Result<()> {
    let message = query(LOCAL, rtype::A).build();
    let before = server.sum("tcp.", ".drop.ip-ratelimit")?;
    let (start, mut passed, mut dropped) = (Instant::now(), 0, 0);
    while start.elapsed() < FLOOD {
        match scene.ask(Path::Tcp, &message, PATIENCE)? {
            Some(_) => passed += 1,
            None => dropped += 1,
        }
    }
    let seconds = start.elapsed().as_secs() + 2;
    ensure!(
        (LIMIT..=LIMIT * seconds).contains(&passed),
        "TCP: {passed} queries were answered in at most {seconds} seconds, {dropped} were not"
    );
    server.expect_sum("tcp.", ".drop.ip-ratelimit", before + dropped)
}

const QUERIES: u16 = 2000;

/// The same lines, the same load: as much passes as with Debian's Unbound.
pub(crate) fn as_much_passes_as_with_unbound() -> Result<()> {
    let host = Netns::new()?;
    host.ip("link set lo up")?;
    let common = |port: u16| {
        format!(
            "server:
  interface: 127.0.0.1@{port}
  num-threads: 1
  ip-ratelimit: 50
  ip-ratelimit-factor: 10
  local-zone: \"local.example\" static
  local-data: \"{LOCAL} A 192.0.2.1\"
"
        )
    };
    let ours = server(&common(5300)).start(&host)?;
    measure(&host, 5300).context("Sluicegate")?;
    drop(ours);
    let folder = PrivateDir::new()?;
    let file = folder.path.join("unbound.conf");
    let own = "  username: \"\"\n  directory: \"\"\n  chroot: \"\"\n  pidfile: \"\"\n  use-syslog: no\n  logfile: \"\"\n\
               remote-control:\n  control-enable: no\n";
    std::fs::write(&file, common(5301) + own)?;
    let mut command: Command = peers::command("unbound")?;
    command.args(["-d", "-d", "-c"]).arg(&file);
    let theirs = host.spawn(&command)?;
    theirs.wait_for_line("start of service", PATIENCE)?;
    measure(&host, 5301).context("Unbound")
}

/// Sends queries one after another, as fast as a server takes them, and compares how many come back with the definition.
fn measure(host: &Netns, port: u16) -> Result<()> {
    let server = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let (passed, seconds) = host.enter(|| -> Result<_> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        let (start, mut passed, mut buffer) = (Instant::now(), 0_u32, [0; 512]);
        let mut receive = || {
            while socket.recv(&mut buffer).is_ok() {
                passed += 1;
            }
        };
        for id in 0..QUERIES {
            socket.send(&query(LOCAL, rtype::A).id(id).build())?;
            // Never more than a socket's buffer holds.
            if id % 32 == 31 {
                thread::sleep(Duration::from_millis(5));
                receive();
            }
        }
        let seconds = start.elapsed().as_secs() as u32;
        // From another address, and so of another client: its answer says that all before it are dealt with.
        let fence = UdpSocket::bind("127.0.0.2:0")?;
        fence.connect(server)?;
        fence.set_read_timeout(Some(PATIENCE))?;
        fence.send(&query(LOCAL, rtype::A).build())?;
        fence.recv(&mut [0; 512]).context("no answer in the end")?;
        receive();
        Ok((passed, seconds))
    })?;
    let within = 50 * seconds.max(1)..=50 * (seconds + 2);
    let beyond = u32::from(QUERIES) / 10;
    let least = within.start() + (beyond - within.end() / 10) * 6 / 10;
    let most = within.end() + beyond * 14 / 10;
    ensure!(
        (least..=most).contains(&passed),
        "{passed} of {QUERIES} passed in {seconds} seconds and more, not {least} to {most}"
    );
    Ok(())
}
