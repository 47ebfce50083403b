//! The two processes at work, and without each other.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluicegate_lab::scene::{PATIENCE, Path, SERVER_V4, Scene};
use sluicegate_lab::server::Server;
use sluicegate_lab::wire::{ask_udp, query, rtype};

use crate::processes::{
    BPF, NET_ADMIN, NET_BIND_SERVICE, NET_RAW, USER, expect_none, of_threads, privileged,
    wait_for_end,
};

/// How long a test waits for what must come; machines are slow.
const LIMIT: Duration = Duration::from_secs(30);

const LOCAL_DATA: &str = "  local-data: \"host.local.example A 192.0.2.1\"";

/// Few frames: without capabilities they count against what a user may lock, which is 8 MiB where nobody said otherwise.
pub(crate) fn as_user(more: &str) -> String {
    format!("  username: \"{USER}\"\n{LOCAL_DATA}\n{more}\nxdp:\n  frames: 512\n")
}

fn answers(scene: &Scene) -> Result<()> {
    for path in Path::ALL {
        let asked = query("host.local.example", rtype::A).build();
        let answer = scene.ask(path, &asked, PATIENCE)?;
        answer.with_context(|| format!("no answer over {path}"))?;
    }
    Ok(())
}

pub(crate) fn nothing_is_left() -> Result<()> {
    let scene = Scene::new(2)?;
    let server = scene.start(&as_user(""))?;
    answers(&scene)?;
    server.expect_sum("xdp.", ".replied", 1)?;
    expect_none(server.process().pid())?;
    let other = privileged(&server)?;
    for pid in server.children()? {
        if pid != other {
            expect_none(pid).context("the engine")?;
        }
    }
    let wanted = NET_BIND_SERVICE | NET_ADMIN | NET_RAW | BPF;
    for set in ["CapPrm:", "CapEff:", "CapBnd:"] {
        for value in of_threads(other, set)? {
            let has = u64::from_str_radix(&value, 16)?;
            ensure!(has == wanted, "{set} {value} in the privileged process");
        }
    }
    ensure!(
        of_threads(other, "Seccomp:")? == ["2"],
        "the privileged process has no filter, or more than one thread"
    );
    let finished = server.stop()?;
    ensure!(finished.success(), "{}", finished.stderr);
    wait_for_end(other, LIMIT)
}

pub(crate) fn a_port_more() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(&as_user(""))?;
    let more = SocketAddr::new(SERVER_V4, 54);
    server.reload(&scene.config(&as_user(&format!("  interface: {SERVER_V4}@54"))))?;
    server.wait_for_line("listening on 10.11.1.1:54 (UDP, TCP)", LIMIT)?;
    let asked = query("host.local.example", rtype::A).build();
    let answer = scene.client.enter(|| ask_udp(more, &asked, PATIENCE))?;
    ensure!(answer.is_some(), "no answer at {more}");
    // A wildcard beside an address that is there: both belong to the privileged process's user.
    server.reload(&scene.config(&as_user("  interface: 0.0.0.0")))?;
    server.wait_for_line("listening on 0.0.0.0:53 (UDP, TCP)", LIMIT)?;
    server.wait_for_line("no longer listening on UDP 10.11.1.1:54", LIMIT)?;
    expect_none(server.process().pid())?;
    answers(&scene)
}

pub(crate) fn alone() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(&as_user(""))?;
    let other = privileged(&server)?;
    kill(Pid::from_raw(other), Signal::SIGKILL)?;
    server.wait_for_line(
        &format!("the privileged process (process {other}) has ended"),
        LIMIT,
    )?;
    answers(&scene)?;
    ensure!(
        scene.server_end().xdp_program()?.is_some(),
        "the XDP program went with it"
    );
    // What is there stays there through a reload; what is new says why it isn't.
    server.reload(&scene.config(&as_user(&format!("  interface: {SERVER_V4}@54"))))?;
    server.wait_for_line("a restart of the server brings it back", LIMIT)?;
    server.wait_for_line("configuration reloaded", LIMIT)?;
    answers(&scene)?;
    let finished = server.stop()?;
    ensure!(finished.success(), "{}", finished.stderr);
    Ok(())
}

pub(crate) fn killed() -> Result<()> {
    let scene = Scene::new(1)?;
    for first in [Who::Server, Who::Privileged] {
        let server: Server = scene.start(&as_user(""))?;
        let other = privileged(&server)?;
        if first == Who::Privileged {
            kill(Pid::from_raw(other), Signal::SIGKILL)?;
            wait_for_end(other, LIMIT)?;
        }
        server.kill();
        wait_for_end(other, LIMIT)?;
        ensure!(
            scene.server_end().xdp_program()?.is_none(),
            "{first:?} first: the XDP program is still there"
        );
    }
    // Neither left a socket: the addresses can be had again.
    let server = scene.start(&as_user(""))?;
    answers(&scene)?;
    drop(server);
    Ok(())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Server,
    Privileged,
}
