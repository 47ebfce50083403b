//! The systemd unit's restrictions, where no systemd runs: with them everything works, and a line that is missing is
//! named.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Path, SERVER_V4, Scene};
use sluicegate_lab::server::Server;
use sluicegate_lab::wire::{ask_udp, query, rtype};

use crate::confined::Unit;
use crate::processes::{expect_none, of_threads};
use crate::recovery::as_user;

/// How long a test waits for what must come; machines are slow.
const LIMIT: Duration = Duration::from_secs(30);

const UNIT: &str = "sluicegate.service";
const NO_XDP: &str = "no-xdp.conf";

fn expect_answers(scene: &Scene) -> Result<()> {
    for path in Path::ALL {
        let asked = query("host.local.example", rtype::A).build();
        let answer = scene.ask(path, &asked, PATIENCE)?;
        answer.with_context(|| format!("no answer over {path}"))?;
    }
    Ok(())
}

/// Waits for the server to serve, and for its control socket to answer.
fn wait_until_up(server: &Server) -> Result<()> {
    server.wait_for_line("start of service", LIMIT)?;
    let until = Instant::now() + LIMIT;
    while server.stats().is_err() {
        ensure!(Instant::now() < until, "the control socket doesn't answer");
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// Answers by every path, a reload that opens a privileged port, an end in good order.
fn expect_service(scene: &Scene, server: Server) -> Result<()> {
    wait_until_up(&server)?;
    expect_none(server.process().pid())?;
    expect_answers(scene)?;
    ensure!(
        of_threads(server.process().pid(), "Seccomp:")?
            .iter()
            .all(|mode| mode == "2"),
        "the unit's filter is not in place"
    );
    server.reload(&scene.config(&as_user(&format!("  interface: {SERVER_V4}@54"))))?;
    server.wait_for_line("listening on 10.11.1.1:54 (UDP, TCP)", LIMIT)?;
    let asked = query("host.local.example", rtype::A).build();
    let more = SocketAddr::new(SERVER_V4, 54);
    let answer = scene.client.enter(|| ask_udp(more, &asked, PATIENCE))?;
    ensure!(answer.is_some(), "no answer at {more}");
    let missed = query("www.upstream.example", rtype::A).build();
    let answer = scene.ask(Path::Udp, &missed, PATIENCE)?;
    ensure!(answer.is_some(), "the engine doesn't answer");
    let finished = server.stop()?;
    ensure!(finished.success(), "{}", finished.stderr);
    Ok(())
}

pub(crate) fn whole() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = Unit::read(&[UNIT])?.launch(&scene, &scene.config(&as_user("")))?;
    server.wait_for_line("XDP fast path active interface=eth0", LIMIT)?;
    expect_service(&scene, server)
}

pub(crate) fn without_xdp() -> Result<()> {
    let scene = Scene::new(1)?;
    let unit = Unit::read(&[UNIT, NO_XDP])?;
    let server = unit.launch(&scene, &scene.config(&as_user("")))?;
    server.wait_for_line("switched off (xdp: enable: no, or --no-xdp)", LIMIT)?;
    expect_service(&scene, server)
}

/// Each fault is named in the log, and the kernel serves all the same.
pub(crate) fn missing_lines() -> Result<()> {
    let scene = Scene::new(1)?;
    let unit = Unit::read(&[UNIT])?;
    for (what, unit, said) in [
        (
            "AF_XDP",
            unit.clone().without("RestrictAddressFamilies", "AF_XDP"),
            "add AF_XDP to RestrictAddressFamilies=",
        ),
        (
            "bpf",
            unit.clone().without("SystemCallFilter", "bpf"),
            "reason=bpf: not permitted (no capability is missing: look for a seccomp filter",
        ),
        (
            "memory",
            unit.clone().with("LimitMEMLOCK", "262144"),
            "of locked memory, the limit is 262144 (ulimit -l; in systemd, LimitMEMLOCK=",
        ),
        (
            "AF_NETLINK",
            unit.clone()
                .without("RestrictAddressFamilies", "AF_NETLINK"),
            "cannot follow the machine's addresses",
        ),
    ] {
        let server = unit.launch(&scene, &scene.config(&as_user("")))?;
        server
            .wait_for_line(said, LIMIT)
            .with_context(|| format!("without {what}"))?;
        if what != "AF_NETLINK" {
            wait_until_up(&server)?;
            expect_answers(&scene).with_context(|| format!("without {what}"))?;
        }
    }
    Ok(())
}
