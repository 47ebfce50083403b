//! The two processes at work, and without each other.

use std::fs::{self, Permissions};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::ptrace;
use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socketpair};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::Pid;
use sluicegate_lab::netns::{Netns, veth_pair};
use sluicegate_lab::private_dir::PrivateDir;
use sluicegate_lab::scene::{PATIENCE, Path, SERVER_V4, Scene};
use sluicegate_lab::server::{Server, program, server};
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
        of_threads(other, "Seccomp:")? == ["2", "2"],
        "a thread of the privileged process has no filter, or there are more than two"
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

/// A NIC may take seconds to be attached to. The thread that attaches is stopped here; all else goes on: those that are
/// served, new addresses, and the signs of life that keep a service manager from starting the server anew.
pub(crate) fn slow_attach() -> Result<()> {
    let scene = Scene::new(1)?;
    let dir = PrivateDir::new()?;
    let path = dir.path.join("notify");
    let manager = UnixDatagram::bind(&path)?;
    for path in [&dir.path, &path] {
        fs::set_permissions(path, Permissions::from_mode(0o777))?;
    }
    manager.set_read_timeout(Some(LIMIT))?;
    let more = |more: &str| scene.config(&as_user(&format!("  interface: {LATE_V4}\n{more}")));
    let server = server(&more(""))
        .env("NOTIFY_SOCKET", &path.display().to_string())
        .env("WATCHDOG_USEC", "1000000")
        .start(&scene.server)?;
    server.wait_for_xdp()?;
    let attaching = Stopped::thread(privileged(&server)?, "sluicegate-xdp")?;
    let other = Netns::new()?;
    let (near, _far) = veth_pair(&scene.server, "late", &other, "eth0", 1)?;
    near.add_address(&format!("{LATE_V4}/24"))?;
    server.wait_for_line(&format!("listening on {LATE_V4}:53 (UDP, TCP)"), LIMIT)?;
    hear(&manager, "WATCHDOG=1", 3)?;
    server.reload(&more(&format!("  interface: {SERVER_V4}@54")))?;
    server.wait_for_line("listening on 10.11.1.1:54 (UDP, TCP)", LIMIT)?;
    hear(&manager, "WATCHDOG=1", 3)?;
    answers(&scene)?;
    server.expect_sum("xdp.eth0.", ".replied", 1)?;
    let active = "XDP fast path active interface=late";
    ensure!(
        server.process().lines_with(active).is_empty(),
        "it was attached by a stopped thread"
    );
    drop(attaching);
    server.wait_for_line(active, LIMIT)?;
    Ok(())
}

/// Whichever of its two sockets is closed, the whole process ends, and without an error.
pub(crate) fn no_half_life() -> Result<()> {
    let dir = PrivateDir::new()?;
    let file = dir.path.join("sluicegate.conf");
    fs::write(&file, "server:\n  interface: 127.0.0.1\n")?;
    for closed in [0, 1] {
        let (sockets, theirs) = seqpacket()?;
        let (programs, their_programs) = seqpacket()?;
        let child = Command::new(program()?)
            .args(["privileges", "", "xdp"])
            .arg(&file)
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::from(their_programs))
            .spawn()?;
        let mut child = Killed(child);
        let mut ends = [Some(sockets), Some(programs)];
        ends[closed] = None;
        wait_for_end(child.0.id().cast_signed(), LIMIT)?;
        let status = child.0.wait()?;
        ensure!(
            status.success(),
            "{status} after socket {closed} was closed"
        );
    }
    Ok(())
}

fn seqpacket() -> Result<(OwnedFd, OwnedFd)> {
    let kind = SockType::SeqPacket;
    Ok(socketpair(
        AddressFamily::Unix,
        kind,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// A process that doesn't outlive the test.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

const LATE_V4: &str = "10.11.9.1";

/// Reads messages until so many have this line.
fn hear(manager: &UnixDatagram, line: &str, times: usize) -> Result<()> {
    let mut buf = [0; 4096];
    let mut heard = 0;
    for _ in 0..100 {
        let len = manager
            .recv(&mut buf)
            .with_context(|| format!("no {line}"))?;
        let message = String::from_utf8_lossy(&buf[..len]);
        heard += usize::from(message.lines().any(|one| one == line));
        if heard == times {
            return Ok(());
        }
    }
    bail!("100 messages with {heard} times {line}");
}

/// A thread that stands still until this is dropped.
struct Stopped(Pid);

impl Stopped {
    fn thread(process: i32, name: &str) -> Result<Self> {
        for task in fs::read_dir(format!("/proc/{process}/task"))? {
            let task = task?;
            let comm = fs::read_to_string(task.path().join("comm"))?;
            if comm.trim() == name {
                let number = task.file_name().to_string_lossy().parse()?;
                let thread = Pid::from_raw(number);
                ptrace::seize(thread, ptrace::Options::empty())?;
                let stopped = Self(thread);
                ptrace::interrupt(thread)?;
                waitpid(thread, Some(WaitPidFlag::__WALL))?;
                return Ok(stopped);
            }
        }
        bail!("process {process} has no thread {name}");
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = ptrace::detach(self.0, None);
    }
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
