//! Upstreams over TLS: certificates, few connections for many questions, connections that break, and who may use the
//! relay. The certificates are of an authority of the test's own.

use std::collections::HashSet;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::scene::{PATIENCE, Path, SERVER_V4, SERVER_V6, Scene};
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::upstream::{Authority, SecureKnobs, SecureUpstream, Upstream};
use sluicegate_lab::wire::{Message, ask_udp, query, rcode, rtype};

fn main() -> ExitCode {
    suite("upstream_tls")
        .test(
            "the_right_name_is_answered",
            needs![Root, Netns],
            the_right_name_is_answered,
        )
        .test(
            "a_wrong_name_is_refused_and_logged",
            needs![Root, Netns],
            a_wrong_name_is_refused_and_logged,
        )
        .test(
            "an_unknown_authority_is_refused",
            needs![Root, Netns],
            an_unknown_authority_is_refused,
        )
        .test(
            "without_a_name_the_bundle_decides",
            needs![Root, Netns],
            without_a_name_the_bundle_decides,
        )
        .test(
            "many_questions_share_few_connections",
            needs![Root, Netns],
            many_questions_share_few_connections,
        )
        .test(
            "a_connection_that_breaks_loses_no_question",
            needs![Root, Netns],
            a_connection_that_breaks_loses_no_question,
        )
        .test(
            "an_upstream_that_comes_back_is_asked_again",
            needs![Root, Netns],
            an_upstream_that_comes_back_is_asked_again,
        )
        .test(
            "localhost_stays_closed",
            needs![Root, Netns],
            localhost_stays_closed,
        )
        .test(
            "the_relay_serves_nobody_else",
            needs![Root, Netns],
            the_relay_serves_nobody_else,
        )
        .test(
            "tls_upstream_lets_nothing_out_in_clear",
            needs![Root, Netns],
            tls_upstream_lets_nothing_out_in_clear,
        )
        .test(
            "a_reload_loses_no_question",
            needs![Root, Netns],
            a_reload_loses_no_question,
        )
        .test(
            "without_ip4_the_relay_works_too",
            needs![Root, Netns],
            without_ip4_the_relay_works_too,
        )
        .run()
}

/// The name in the upstream's certificate.
const NAME: &str = "dns.lab.example";

/// How long a client waits: longer than the server.
const ASK_LIMIT: Duration = Duration::from_secs(12);
/// How long a new engine may take, and the old one to end.
const RELOAD_LIMIT: Duration = Duration::from_secs(20);

/// A server that forwards over TLS.
struct Site {
    server: Server,
    upstream: SecureUpstream,
    scene: Scene,
    bundle: TempFile,
}

impl Site {
    /// `name` and `bundle` as in the configuration; the upstream's certificate is for [`NAME`], by `authority`.
    fn new(name: &str, bundle: Option<&Authority>, authority: &Authority) -> Result<Self> {
        let scene = Scene::new(1)?;
        let upstream = scene.secure_upstream(authority.identity(NAME)?)?;
        let file = TempFile::new(bundle.map_or("", Authority::pem))?;
        let zone = zone(&upstream, name);
        let more = match bundle {
            Some(_) => format!("  tls-cert-bundle: \"{}\"", file.path.display()),
            None => String::new(),
        };
        let server = start(&scene, &zone, &more)?;
        Ok(Self {
            server,
            upstream,
            scene,
            bundle: file,
        })
    }

    /// With everything right.
    fn good() -> Result<Self> {
        let authority = Authority::new()?;
        Self::new(&format!("#{NAME}"), Some(&authority), &authority)
    }

    fn ask(&self, name: &str) -> Result<Message> {
        ask(&self.scene, name)
    }

    fn expect_answer(&self, name: &str) -> Result<()> {
        let answer = self.ask(name)?;
        ensure!(
            answer.rcode() == rcode::NOERROR && answer.answer.len() == 1,
            "{name}: {answer:?}, upstream: {:?}",
            self.upstream.counts()
        );
        Ok(())
    }

    fn expect_failure(&self, reason: &str) -> Result<()> {
        let answer = self.ask("www.upstream.example")?;
        ensure!(answer.rcode() == rcode::SERVFAIL, "{answer:?}");
        let line = self.server.wait_for_line(reason, PATIENCE)?;
        let address = self.upstream.address().ip().to_string();
        ensure!(
            line.contains("TLS upstream") && line.contains(&address),
            "{line}"
        );
        ensure!(
            self.upstream.counts().queries == 0,
            "it was asked all the same"
        );
        self.server.wait_for_stats(PATIENCE, |stats| {
            stats.get("engine.tls.failures") > Some(&0)
                && stats.get("engine.tls.answered") == Some(&0)
        })
    }
}

/// The zone that forwards everything to an upstream.
fn zone(upstream: &SecureUpstream, name: &str) -> String {
    let address = upstream.address();
    format!(
        "forward-zone:\n  name: \".\"\n  forward-tls-upstream: yes\n  forward-addr: {}@{}{name}",
        address.ip(),
        address.port()
    )
}

fn start(scene: &Scene, zones: &str, more: &str) -> Result<Server> {
    server(&scene.config_with(zones, more))
        .arg("--no-xdp")
        .start(&scene.server)
}

fn ask(scene: &Scene, name: &str) -> Result<Message> {
    let answer = scene.ask(Path::Udp, &query(name, rtype::A).build(), ASK_LIMIT)?;
    Message::parse(&answer.with_context(|| format!("no answer on {name}"))?)
}

/// A file below the system's temporary folder, removed with the value.
struct TempFile {
    path: PathBuf,
}

impl TempFile {
    fn new(text: &str) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("sluicegate-ca-{}-{number}.pem", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::write(&path, text)?;
        Ok(Self { path })
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn the_right_name_is_answered() -> Result<()> {
    let site = Site::good()?;
    site.expect_answer("www.upstream.example")?;
    let counts = site.upstream.counts();
    ensure!(
        counts.connections == 1 && counts.dot == 1 && counts.refused == 0,
        "{counts:?}"
    );
    ensure!(counts.queries > 0 && counts.unpadded == 0, "{counts:?}");
    site.server.wait_for_stats(PATIENCE, |stats| {
        let count = |name: &str| stats.get(&format!("engine.tls.{name}")).copied();
        count("connections") == Some(1)
            && count("failures") == Some(0)
            && count("queries") == Some(site.upstream.counts().queries)
            && count("answered") == count("queries")
    })?;
    let warnings = site.server.process().lines_with("WARN");
    ensure!(
        !warnings.iter().any(|line| line.contains("TLS")),
        "{warnings:?}"
    );
    Ok(())
}

fn a_wrong_name_is_refused_and_logged() -> Result<()> {
    let authority = Authority::new()?;
    let site = Site::new("#other.lab.example", Some(&authority), &authority)?;
    site.expect_failure("not valid for name")
}

fn an_unknown_authority_is_refused() -> Result<()> {
    let site = Site::new(
        &format!("#{NAME}"),
        Some(&Authority::new()?),
        &Authority::new()?,
    )?;
    site.expect_failure("UnknownIssuer")
}

/// Like Unbound: a chain is looked at if a bundle is there, and without one everything is taken.
fn without_a_name_the_bundle_decides() -> Result<()> {
    let authority = Authority::new()?;
    let site = Site::new("", Some(&authority), &authority)?;
    site.expect_answer("chain.upstream.example")?;
    let site = Site::new("", None, &authority)?;
    site.expect_answer("any.upstream.example")?;
    let site = Site::new("", Some(&Authority::new()?), &authority)?;
    site.expect_failure("UnknownIssuer")
}

/// A hundred questions at once and a hundred one by one: no connection for each, and no second one while the first
/// has room.
fn many_questions_share_few_connections() -> Result<()> {
    const QUESTIONS: u16 = 100;
    const CONNECTIONS: u64 = 4;
    let site = Site::good()?;
    for number in 0..QUESTIONS {
        site.expect_answer(&format!("one{number}.upstream.example"))?;
    }
    let counts = site.upstream.counts();
    ensure!(counts.connections == 1, "one by one: {counts:?}");
    let started = Instant::now();
    let answered = site.scene.client.enter(|| -> Result<_> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        for number in 0..QUESTIONS {
            let name = format!("delay300.all{number}.upstream.example");
            let mut message = query(&name, rtype::A).build();
            message[..2].copy_from_slice(&number.to_be_bytes());
            socket.send_to(&message, (SERVER_V4, 53))?;
        }
        let mut answered = HashSet::new();
        let mut buffer = [0; 1232];
        while answered.len() < usize::from(QUESTIONS) {
            let length = socket
                .recv(&mut buffer)
                .with_context(|| format!("after {} answers", answered.len()))?;
            let message = Message::parse(&buffer[..length])?;
            ensure!(message.rcode() == rcode::NOERROR, "{message:?}");
            answered.insert([buffer[0], buffer[1]]);
        }
        Ok(answered.len())
    })?;
    let took = started.elapsed();
    let counts = site.upstream.counts();
    ensure!(answered == usize::from(QUESTIONS));
    // One after the other they would take thirty seconds.
    ensure!(took < Duration::from_secs(3), "not side by side: {took:?}");
    ensure!(counts.connections <= CONNECTIONS, "all at once: {counts:?}");
    Ok(())
}

/// The upstream closes every connection after three answers: what was under way is asked again, and handshakes are
/// short ones.
fn a_connection_that_breaks_loses_no_question() -> Result<()> {
    const QUESTIONS: usize = 40;
    let site = Site::good()?;
    site.upstream.set(SecureKnobs {
        close_after: Some(3),
        ..SecureKnobs::default()
    });
    for number in 0..QUESTIONS {
        site.expect_answer(&format!("break{number}.upstream.example"))?;
    }
    let counts = site.upstream.counts();
    ensure!(counts.connections >= QUESTIONS as u64 / 3, "{counts:?}");
    ensure!(counts.resumed + 2 >= counts.connections, "{counts:?}");
    Ok(())
}

fn an_upstream_that_comes_back_is_asked_again() -> Result<()> {
    let site = Site::good()?;
    site.upstream.set(SecureKnobs {
        turn_away: true,
        ..SecureKnobs::default()
    });
    let answer = site.ask("away.upstream.example")?;
    ensure!(answer.rcode() == rcode::SERVFAIL, "{answer:?}");
    site.server
        .wait_for_line("closed by the server", PATIENCE)?;
    let attempts = site.upstream.counts().connections;
    ensure!(attempts <= 8, "{attempts} attempts for one question");
    site.upstream.set(SecureKnobs::default());
    let back = Instant::now();
    for number in 0.. {
        let answer = site.ask(&format!("back{number}.upstream.example"))?;
        if answer.rcode() == rcode::NOERROR {
            break;
        }
        ensure!(
            back.elapsed() < PATIENCE,
            "no answer {PATIENCE:?} after it is back: {:?}",
            site.upstream.counts()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
    site.server.wait_for_line("answers again", PATIENCE)?;
    Ok(())
}

/// libunbound reaches the relay, and nothing else on this host.
fn localhost_stays_closed() -> Result<()> {
    let scene = Scene::new(1)?;
    let authority = Authority::new()?;
    let upstream = scene.secure_upstream(authority.identity(NAME)?)?;
    let local = Upstream::start(&scene.server, "127.0.0.1:5353".parse()?)?;
    let bundle = TempFile::new(authority.pem())?;
    let zones = |inner: &str| {
        format!(
        "forward-zone:\n  name: \".\"\n  forward-tls-upstream: yes\n  forward-addr: {}@853#{NAME}
stub-zone:\n  name: inner.example\n  stub-addr: 127.0.0.1@5353\nserver:\n{inner}",
        upstream.address().ip()
    )
    };
    let more = format!("  tls-cert-bundle: \"{}\"", bundle.path.display());
    let running = start(&scene, &zones(""), &more)?;
    let inner = ask(&scene, "www.inner.example")?;
    ensure!(inner.rcode() == rcode::SERVFAIL, "{inner:?}");
    ensure!(local.counts().udp == 0, "{:?}", local.counts());
    ensure!(ask(&scene, "www.upstream.example")?.rcode() == rcode::NOERROR);
    running.stop()?;
    // The user may open it, and then it is open.
    let _running = start(&scene, &zones("  do-not-query-localhost: no"), &more)?;
    ensure!(ask(&scene, "www.inner.example")?.rcode() == rcode::NOERROR);
    ensure!(ask(&scene, "www.upstream.example")?.rcode() == rcode::NOERROR);
    Ok(())
}

/// A process beside the engine gets nothing from the relay's port.
fn the_relay_serves_nobody_else() -> Result<()> {
    let site = Site::good()?;
    site.expect_answer("first.upstream.example")?;
    let queries = site.upstream.counts().queries;
    let table = site
        .scene
        .server
        .enter(|| std::fs::read_to_string("/proc/thread-self/net/tcp"))?;
    // Address and port in hexadecimal, the address as the machine keeps it; state 0A is LISTEN.
    let listening = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let (address, port) = words.get(1)?.split_once(':')?;
        let address = Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?.to_ne_bytes());
        let port = u16::from_str_radix(port, 16).ok()?;
        (words.get(3) == Some(&"0A") && address.is_loopback() && address != Ipv4Addr::LOCALHOST)
            .then(|| SocketAddr::from((address, port)))
    });
    let relays: Vec<SocketAddr> = listening.collect();
    ensure!(relays.len() == 1, "{relays:?} in\n{table}");
    let received = site.scene.server.enter(|| -> Result<_> {
        let mut stream = TcpStream::connect(relays[0])?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let message = query("stolen.upstream.example", rtype::A).build();
        stream.write_all(&(message.len() as u16).to_be_bytes())?;
        let _ = stream.write_all(&message);
        let mut received = Vec::new();
        // The end, or a reset.
        let _ = stream.read_to_end(&mut received);
        Ok(received)
    })?;
    ensure!(received.is_empty(), "{received:?}");
    ensure!(site.upstream.counts().queries == queries);
    site.expect_answer("second.upstream.example")
}

/// With `tls-upstream` and no zone that covers a name, the servers of the DNS tree are not asked in clear.
fn tls_upstream_lets_nothing_out_in_clear() -> Result<()> {
    let scene = Scene::new(1)?;
    let hints = TempFile::new(
        ". 3600 IN NS ns.upstream.example.\nns.upstream.example. 3600 IN A 198.51.100.53\n",
    )?;
    let root = format!("  root-hints: \"{}\"", hints.path.display());
    let running = start(&scene, "", &root)?;
    ask(&scene, "www.plain.example")?;
    ensure!(scene.upstream.counts().udp > 0, "the hints lead nowhere");
    running.stop()?;
    let before = scene.upstream.counts();
    let running = start(&scene, "", &format!("{root}\n  tls-upstream: yes"))?;
    let answer = ask(&scene, "www.secret.example")?;
    ensure!(answer.rcode() == rcode::SERVFAIL, "{answer:?}");
    ensure!(
        scene.upstream.counts() == before,
        "{:?}",
        scene.upstream.counts()
    );
    running.wait_for_line("no zone for all that is to be asked over TLS", PATIENCE)?;
    Ok(())
}

/// The old engine answers what it was asked, the new one has the new options.
fn a_reload_loses_no_question() -> Result<()> {
    let site = Site::good()?;
    site.expect_answer("before.upstream.example")?;
    let more = format!("  tls-cert-bundle: \"{}\"", site.bundle.path.display());
    let conf = |name: &str, more: &str| site.scene.config_with(&zone(&site.upstream, name), more);
    let engine = site.server.children()?;
    let queries = site.upstream.counts().queries;
    std::thread::scope(|scope| -> Result<()> {
        let slow = scope.spawn(|| site.expect_answer("delay700.slow.upstream.example"));
        let end = Instant::now() + PATIENCE;
        while site.upstream.counts().queries == queries {
            ensure!(Instant::now() < end, "the slow one is not asked");
            std::thread::sleep(Duration::from_millis(2));
        }
        let unpadded = format!("{more}\n  pad-queries: no");
        site.server.reload(&conf(&format!("#{NAME}"), &unpadded))?;
        slow.join().expect("no panic")
    })?;
    wait_for_another_engine(&site.server, &engine)?;
    site.expect_answer("after.upstream.example")?;
    ensure!(
        site.upstream.counts().unpadded > 0,
        "{:?}",
        site.upstream.counts()
    );
    // Another name is another certificate.
    let engine = site.server.children()?;
    site.server.reload(&conf("#other.lab.example", &more))?;
    wait_for_another_engine(&site.server, &engine)?;
    let answer = site.ask("refused.upstream.example")?;
    ensure!(answer.rcode() == rcode::SERVFAIL, "{answer:?}");
    site.server
        .wait_for_line("not valid for name", PATIENCE)
        .map(drop)
}

/// Waits until there is one engine, and none of those.
fn wait_for_another_engine(server: &Server, former: &[i32]) -> Result<()> {
    let end = Instant::now() + RELOAD_LIMIT;
    loop {
        let engines = server.children()?;
        if engines.len() == 1 && !former.contains(&engines[0]) {
            return Ok(());
        }
        ensure!(Instant::now() < end, "{former:?}, now {engines:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The relay's port is on an address that libunbound may use.
fn without_ip4_the_relay_works_too() -> Result<()> {
    let scene = Scene::new(1)?;
    let authority = Authority::new()?;
    let upstream = scene.secure_upstream_v6(authority.identity(NAME)?)?;
    let bundle = TempFile::new(authority.pem())?;
    let more = format!(
        "  tls-cert-bundle: \"{}\"\n  do-ip4: no",
        bundle.path.display()
    );
    let _server = start(&scene, &zone(&upstream, &format!("#{NAME}")), &more)?;
    let message = query("six.upstream.example", rtype::A).build();
    let server = SocketAddr::new(SERVER_V6, 53);
    let answer = scene
        .client
        .enter(|| ask_udp(server, &message, ASK_LIMIT))?;
    let answer = Message::parse(&answer.context("no answer")?)?;
    ensure!(answer.rcode() == rcode::NOERROR, "{answer:?}");
    ensure!(upstream.counts().queries > 0);
    Ok(())
}
