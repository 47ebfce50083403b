//! How the server lives on its host, with others, and how it ends.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::Path as FilePath;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::netns::Netns;
use sluicegate_lab::scene::{LINK, PATIENCE, Path, SERVER_V4, SERVER_V6, Scene};
use sluicegate_lab::server::{Server, program, server};
use sluicegate_lab::upstream::Upstream;
use sluicegate_lab::wire::{Message, ask_tcp, ask_udp, query, rcode, rtype};

const LOCAL_DATA: &str = r#"
  local-zone: "local.example" static
  local-data: "host.local.example A 192.0.2.1"
"#;

/// Stops the server as its operator would.
fn stop(server: Server) -> Result<()> {
    let finished = server.stop()?;
    ensure!(
        finished.success(),
        "SIGTERM: {}\n{}",
        finished.status,
        finished.stderr
    );
    Ok(())
}

fn ask(netns: &Netns, server: SocketAddr, name: &str) -> Result<Message> {
    let message = query(name, rtype::A).build();
    let answer = netns.enter(|| ask_udp(server, &message, PATIENCE))?;
    Message::parse(&answer.with_context(|| format!("no answer from {server}"))?)
}

/// dnsdist 12: after a crash nothing redirects packets to nobody; another server can take over, and so can we.
pub(crate) fn a_killed_server_is_no_black_hole() -> Result<()> {
    let scene = Scene::new(2)?;
    let end = scene.server_end();
    for _ in 0..3 {
        let server = scene.start(LOCAL_DATA)?;
        ensure!(
            end.xdp_program()?.is_some(),
            "no XDP program while the server runs"
        );
        ask(
            &scene.client,
            SocketAddr::new(SERVER_V4, 53),
            "host.local.example",
        )?;
        server.kill();
        ensure!(
            end.xdp_program()?.is_none(),
            "the XDP program is still there"
        );
        let other = Upstream::start(&scene.server, SocketAddr::new(SERVER_V4, 53))?;
        ask(&scene.client, other.address(), "www.upstream.example")?;
        ensure!(other.counts().udp == 1, "the kernel's socket got nothing");
    }
    let server = scene.start(LOCAL_DATA)?;
    stop(server)?;
    ensure!(
        end.xdp_program()?.is_none(),
        "the XDP program is still there"
    );
    Ok(())
}

/// dnsdist 13: neither `--version` nor a second server takes anything from the first.
pub(crate) fn a_second_copy_disturbs_nothing() -> Result<()> {
    let scene = Scene::new(1)?;
    let first = scene.start(LOCAL_DATA)?;
    let link = SocketAddr::new(SERVER_V4, 53);
    let held = scene.server_end().xdp_program()?;
    ensure!(held.is_some(), "no XDP program");
    let version = scene
        .server
        .run(Command::new(program()?).arg("--version"))?;
    ensure!(
        version.success() && version.stdout.starts_with("sluicegate "),
        "{}",
        version.stdout
    );
    ensure!(
        scene.server_end().xdp_program()? == held,
        "--version changed the XDP program"
    );
    // The same addresses: it can't start. Other addresses of the same interface: it serves them by the kernel.
    let same = server(&scene.config(LOCAL_DATA))
        .launch(&scene.server)?
        .finish(PATIENCE)?;
    ensure!(!same.success(), "two servers on the same addresses");
    scene.server_end().add_address("10.11.1.5/24")?;
    let text = "server:\n  interface: 10.11.1.5\n  access-control: 10.11.1.0/24 allow\n  local-data: \"other.example A 192.0.2.5\"";
    let second = server(text).start(&scene.server)?;
    second.wait_for_line("XDP not available, serving through the kernel", PATIENCE)?;
    ensure!(
        scene.server_end().xdp_program()? == held,
        "the second server changed the XDP program"
    );
    ensure!(
        ask(&scene.client, "10.11.1.5:53".parse()?, "other.example")?
            .answer
            .len()
            == 1,
        "the second answers"
    );
    ensure!(
        ask(&scene.client, link, "host.local.example")?.answer.len() == 1,
        "the first answers"
    );
    first.expect_sum("xdp.", ".replied", 1)?;
    Ok(())
}

/// dnsdist: a wildcard is no reason for the kernel path. Runbound 2 and 3: every address of every interface is served,
/// and answers leave from the address that was asked.
pub(crate) fn wildcards_are_served_by_af_xdp() -> Result<()> {
    let scene = Scene::new(1)?;
    scene.server_end().add_address("10.11.1.9/24")?;
    let text = format!(
        "server:
  interface: 0.0.0.0
  interface: ::0
  access-control: 0.0.0.0/0 allow
  access-control: ::0/0 allow
forward-zone:
  name: \".\"
  forward-addr: {}
",
        scene.upstream
    );
    let server = server(&text).start(&scene.server)?;
    server.wait_for_line(&format!("XDP fast path active interface={LINK}"), PATIENCE)?;
    let addresses = [SERVER_V4, SERVER_V6, "10.11.1.9".parse()?];
    for (number, address) in addresses.into_iter().enumerate() {
        // The client's socket is connected: an answer from another address would not reach it.
        for name in [
            format!("w{number}.upstream.example"),
            "hit.upstream.example".to_owned(),
        ] {
            ask(&scene.client, SocketAddr::new(address, 53), &name)?;
        }
    }
    server.expect_sum("xdp.", ".replied", 6)?;
    // An address that comes later is served too, by whichever path.
    scene.server_end().add_address("10.11.1.10/24")?;
    ask(
        &scene.client,
        "10.11.1.10:53".parse()?,
        "hit.upstream.example",
    )?;
    Ok(())
}

/// Runbound 1 and 3: without XDP every address is served, misses too, over both families.
pub(crate) fn without_xdp_every_address_is_served() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = server(&scene.config(LOCAL_DATA))
        .arg("--no-xdp")
        .start(&scene.server)?;
    server.wait_for_line("XDP not available, serving through the kernel", PATIENCE)?;
    ensure!(
        scene.server_end().xdp_program()?.is_none(),
        "an XDP program in spite of --no-xdp"
    );
    for (number, address) in [SERVER_V4, SERVER_V6].into_iter().enumerate() {
        let address = SocketAddr::new(address, 53);
        let name = format!("k{number}.upstream.example");
        for name in [&name[..], &name, "host.local.example"] {
            ensure!(
                ask(&scene.client, address, name)?.answer.len() == 1,
                "{name} from {address}"
            );
        }
    }
    ask(&scene.server, "127.0.0.1:53".parse()?, "host.local.example")?;
    server.expect_sum("udp.", ".replied", 7)?;
    Ok(())
}

/// Runbound 4: an ordinary TCP query leaves nothing spinning.
pub(crate) fn a_tcp_query_costs_no_core() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    let message = query("host.local.example", rtype::A).build();
    for _ in 0..3 {
        let answer = scene
            .client
            .enter(|| ask_tcp(SocketAddr::new(SERVER_V4, 53), &message, PATIENCE))?;
        ensure!(answer.is_some(), "no answer over TCP");
    }
    let pid = server.process().pid();
    let (before, start) = (cpu_ticks(pid)?, Instant::now());
    // What is measured is idle time itself.
    std::thread::sleep(Duration::from_secs(1));
    let used = Duration::from_millis(10 * (cpu_ticks(pid)? - before));
    ensure!(
        used < start.elapsed() / 5,
        "{used:?} of CPU time in {:?} without a query",
        start.elapsed()
    );
    Ok(())
}

/// User and system time of a process in clock ticks of 10 ms (fields 14 and 15 of the file).
fn cpu_ticks(pid: i32) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, fields) = stat
        .rsplit_once(')')
        .context("a process name in brackets")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    Ok(fields[11].parse::<u64>()? + fields[12].parse::<u64>()?)
}

/// Runbound 13: queues, rings, offloads, sysctls and huge pages stay as they are, while the server runs and after.
pub(crate) fn nothing_of_the_host_is_changed() -> Result<()> {
    let scene = Scene::new(2)?;
    let before = Host::look(&scene);
    let server = scene.start(LOCAL_DATA)?;
    ask(
        &scene.client,
        SocketAddr::new(SERVER_V4, 53),
        "host.local.example",
    )?;
    before.compare(&Host::look(&scene), "while the server runs")?;
    stop(server)?;
    before.compare(&Host::look(&scene), "after the server's end")?;
    let server = scene.start(LOCAL_DATA)?;
    server.kill();
    before.compare(&Host::look(&scene), "after the server was killed")
}

/// Everything about the server's host that a server might be tempted to tune.
struct Host {
    facts: BTreeMap<String, String>,
}

/// Counters and clocks below `/proc/sys/net` that move by themselves.
const RESTLESS: [&str; 2] = ["nf_conntrack_count", "net/ipv4/route/flush"];

impl Host {
    fn look(scene: &Scene) -> Self {
        let mut facts = BTreeMap::new();
        for interface in [LINK, "eth1", "lo"] {
            for flag in ["-l", "-g", "-k", "-c", "-x"] {
                // What an interface does not have, it does not have before and after.
                let text = scene
                    .server
                    .ethtool(&format!("{flag} {interface}"))
                    .unwrap_or_default();
                facts.insert(format!("ethtool {flag} {interface}"), text);
            }
        }
        facts.insert(
            "nr_hugepages".to_owned(),
            fs::read_to_string("/proc/sys/vm/nr_hugepages").unwrap_or_default(),
        );
        scene
            .server
            .enter(|| sysctls(FilePath::new("/proc/sys/net"), &mut facts));
        Self { facts }
    }

    fn compare(&self, now: &Self, when: &str) -> Result<()> {
        for (name, value) in &self.facts {
            let found = now.facts.get(name);
            ensure!(
                found == Some(value),
                "{name} changed {when}:\n{value}\nto\n{found:?}"
            );
        }
        ensure!(
            self.facts.len() == now.facts.len(),
            "there are new facts {when}"
        );
        ensure!(self.facts.len() > 100, "the sysctls were not read");
        Ok(())
    }
}

fn sysctls(folder: &FilePath, facts: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            sysctls(&path, facts);
        } else if !RESTLESS.iter().any(|name| path.ends_with(name)) {
            // Some can't be read by anybody.
            facts.insert(
                path.display().to_string(),
                fs::read_to_string(&path).unwrap_or_default(),
            );
        }
    }
}

/// Runbound 10: without access-control only this host may ask; the most specific rule wins, wherever it stands.
pub(crate) fn strangers_are_refused_by_default() -> Result<()> {
    let scene = Scene::new(1)?;
    let listen = format!("server:\n  interface: {SERVER_V4}\n  interface: 127.0.0.1\n{LOCAL_DATA}");
    let link = SocketAddr::new(SERVER_V4, 53);
    {
        let server = server(&listen).start(&scene.server)?;
        server.wait_for_xdp()?;
        ensure!(
            ask(&scene.client, link, "host.local.example")?.rcode() == rcode::REFUSED,
            "an open resolver"
        );
        let own = ask(&scene.server, "127.0.0.1:53".parse()?, "host.local.example")?;
        ensure!(own.rcode() == rcode::NOERROR, "{own:?}");
    }
    for order in [
        ["10.11.1.0/24 refuse", "10.11.1.2/32 allow"],
        ["10.11.1.2/32 allow", "10.11.1.0/24 refuse"],
    ] {
        let rules = order
            .map(|rule| format!("  access-control: {rule}\n"))
            .concat();
        let server = server(&format!("{listen}{rules}")).start(&scene.server)?;
        server.wait_for_xdp()?;
        for path in [Path::Xdp, Path::Tcp] {
            let answer = scene.ask(
                path,
                &query("host.local.example", rtype::A).build(),
                PATIENCE,
            )?;
            let answer = Message::parse(&answer.context("no answer")?)?;
            ensure!(
                answer.rcode() == rcode::NOERROR,
                "{order:?} over {path}: {answer:?}"
            );
        }
    }
    Ok(())
}

/// Runbound 10: what is no configuration does not pass for one, neither for checkconf nor for the server.
pub(crate) fn garbage_is_no_configuration() -> Result<()> {
    let scene = Scene::new(1)?;
    for text in [
        "\u{7f}ELF\u{1}\u{2}\u{3}",
        "server:\n  inferface: 10.11.1.1\n",
        "server:\n  port: many\n",
    ] {
        let path = std::env::temp_dir().join(format!("sluicegate-garbage-{}", std::process::id()));
        fs::write(&path, text)?;
        let finished = scene
            .server
            .run(Command::new(program()?).arg("checkconf").arg(&path))?;
        fs::remove_file(&path)?;
        ensure!(
            finished.status.code() == Some(1),
            "checkconf takes {text:?}"
        );
        let finished = server(text).launch(&scene.server)?.finish(PATIENCE)?;
        ensure!(!finished.success(), "the server takes {text:?}");
    }
    Ok(())
}
