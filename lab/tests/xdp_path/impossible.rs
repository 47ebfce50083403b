//! XDP that can't be had, and servers that end.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::programs::{Xdp, XdpMode};
use sluicegate_lab::upstream::Upstream;
use sluicegate_lab::vm::lenient;
use sluicegate_lab::wire::{Message, ask_udp, query, rtype, send_udp};

use crate::site::{Path, SERVER4, SERVER6, Site, forward_to, patience, resume};

/// What the log says where the fast path can't be had.
const UNAVAILABLE: &str = "XDP not available, serving through the kernel:";

/// Somebody else's program is named, left where it is, and the fast path comes when it goes.
pub(crate) fn foreign() -> Result<()> {
    for mode in [XdpMode::Driver, XdpMode::Skb] {
        let site = Site::joined(1)?;
        let mut theirs = site.there.enter(|| attach(mode))?;
        let id = site
            .eth0()
            .xdp_program()?
            .context("the foreign program is not attached")?;
        let server = Site::server("").start(&site.there)?;
        let line = server.wait_for_line(&format!("{UNAVAILABLE} interface=eth0"), resume())?;
        ensure!(
            line.contains(&format!("id {id},")) && line.contains("'steer'"),
            "{line}"
        );
        let place = match mode {
            XdpMode::Driver => "mode native",
            _ => "mode generic",
        };
        ensure!(line.contains(place), "{line}");
        let shown = |id: u32| {
            server.wait_for_stats(resume(), |all| {
                all.get("xdp.eth0.foreign.program-id") == Some(&u64::from(id))
            })
        };
        shown(id)?;
        for address in [SERVER4, SERVER6] {
            site.expect(&server, address, Path::Kernel)?;
        }
        ensure!(
            site.eth0().xdp_program()? == Some(id),
            "the foreign program was touched"
        );
        // Long enough for several tries: they are quiet.
        std::thread::sleep(Duration::from_secs(3));
        ensure!(
            server
                .process()
                .lines_with(UNAVAILABLE)
                .iter()
                .filter(|l| l.contains("eth0"))
                .count()
                == 1,
            "noisy"
        );
        let program: &mut Xdp = theirs
            .program_mut("steer")
            .context("no program")?
            .try_into()?;
        program.unload()?;
        drop(theirs);
        site.wait_for_xdp(&server, &[SERVER4, SERVER6])?;
        shown(0)?;
    }
    Ok(())
}

pub(crate) fn capability() -> Result<()> {
    for missing in [
        "-net_admin,-sys_admin",
        "-net_raw,-sys_admin",
        "-bpf,-sys_admin",
    ] {
        let site = Site::joined(1)?;
        let wrapper = [
            "setpriv",
            "--bounding-set",
            missing,
            "--inh-caps",
            "-all",
            "--",
        ];
        let server = Site::server("").behind(&wrapper).start(&site.there)?;
        let line = server.wait_for_line(&format!("{UNAVAILABLE} interface=eth0"), resume())?;
        let wanted = format!(
            "CAP_{}",
            missing
                .trim_start_matches('-')
                .split(',')
                .next()
                .unwrap_or("")
                .to_uppercase()
        );
        ensure!(
            line.contains(&wanted),
            "the line does not name {wanted}: {line}"
        );
        for address in [SERVER4, SERVER6] {
            site.expect(&server, address, Path::Kernel)?;
        }
        ensure!(
            site.eth0().xdp_program()?.is_none(),
            "a program without its sockets"
        );
    }
    Ok(())
}

pub(crate) fn switched_off() -> Result<()> {
    let site = Site::joined(1)?;
    let server = Site::server("").arg("--no-xdp").start(&site.there)?;
    server.wait_for_line(UNAVAILABLE, resume())?;
    site.expect(&server, SERVER4, Path::Kernel)?;
    site.expect(&server, SERVER6, Path::Kernel)?;
    ensure!(
        site.eth0().xdp_program()?.is_none(),
        "--no-xdp attached a program"
    );
    drop(server);
    let server = Site::server("xdp:\n  enable: no").start(&site.there)?;
    server.wait_for_line(UNAVAILABLE, resume())?;
    site.expect(&server, SERVER4, Path::Kernel)
}

pub(crate) fn required() -> Result<()> {
    let site = Site::joined(1)?;
    let theirs = site.there.enter(|| attach(XdpMode::Driver))?;
    let server = Site::server("xdp:\n  enable: yes").launch(&site.there)?;
    let finished = server.finish(lenient(Duration::from_secs(20)))?;
    ensure!(
        !finished.success(),
        "the server started though XDP is required"
    );
    let said = format!("{}{}", finished.stdout, finished.stderr);
    ensure!(
        said.contains("eth0") && said.contains("another XDP program"),
        "{said}"
    );
    drop(theirs);
    let server = Site::server("xdp:\n  enable: yes").start(&site.there)?;
    site.wait_for_start(&server)?;
    site.wait_for_xdp(&server, &[SERVER4])
}

/// The wildcard takes in a bridge, which can have no fast path: `enable: yes` is about the others.
pub(crate) fn required_beside_a_bridge() -> Result<()> {
    let site = Site::joined(1)?;
    site.there.ip("link add br0 type bridge")?;
    site.there.ip("addr add 10.99.0.1/24 dev br0")?;
    for state in ["down", "up"] {
        site.there.ip(&format!("link set br0 {state}"))?;
        let server = Site::server("xdp:\n  enable: yes").start(&site.there)?;
        site.wait_for_start(&server)?;
        site.wait_for_xdp(&server, &[SERVER4])?;
    }
    Ok(())
}

/// The kernel takes the program away with the process; the next server binds at once.
pub(crate) fn killed() -> Result<()> {
    let site = Site::joined(2)?;
    for _ in 0..3 {
        let server = site.start()?;
        site.wait_for_xdp(&server, &[SERVER4])?;
        server.kill();
        let until = Instant::now() + resume();
        while site.eth0().xdp_program()?.is_some() {
            ensure!(Instant::now() < until, "the program outlived the server");
        }
    }
    let server = site.start()?;
    site.wait_for_xdp(&server, &[SERVER6])
}

/// SIGTERM while a client waits for the upstream: it still gets its answer, by the way it came.
pub(crate) fn stopped() -> Result<()> {
    let site = Site::joined(2)?;
    let upstream = Upstream::start(&site.there, "127.0.0.1:5300".parse()?)?;
    let server = Site::server(&forward_to(&upstream)).start(&site.there)?;
    site.wait_for_start(&server)?;
    site.wait_for_xdp(&server, &[SERVER4])?;
    let address = SocketAddr::new(SERVER4.parse()?, 53);
    let asked = query("delay300.upstream.example", rtype::A).build();
    let socket = site.here.enter(|| send_udp(address, &asked))?;
    server.wait_for_stats(patience(), |all| {
        all.iter()
            .any(|(name, n)| name.ends_with(".handed-off") && *n > 0)
    })?;
    let finished = server.stop()?;
    ensure!(
        finished.success(),
        "SIGTERM: {}\n{}",
        finished.status,
        finished.stderr
    );
    ensure!(
        site.eth0().xdp_program()?.is_none(),
        "the program outlived an orderly stop"
    );
    socket.set_read_timeout(Some(patience()))?;
    let mut answer = [0; 512];
    let len = socket
        .recv(&mut answer)
        .context("the client that waited got nothing")?;
    let answer = Message::parse(&answer[..len])?;
    ensure!(
        answer.answer.len() == 1,
        "the client that waited got {answer:?}"
    );
    let next = site.start()?;
    site.wait_for_xdp(&next, &[SERVER4])
}

/// Another `xdp:` clause means other rings: the workers are made anew, and every client is answered, by
/// whichever path.
pub(crate) fn reloaded() -> Result<()> {
    let site = Site::joined(2)?;
    let server = site.start()?;
    let address = SocketAddr::new(SERVER4.parse()?, 53);
    let stop = AtomicBool::new(false);
    let asked = query("host.test", rtype::A).build();
    std::thread::scope(|scope| -> Result<()> {
        let asking = scope.spawn(|| {
            let mut answered = 0;
            while !stop.load(Relaxed) {
                let answer = site.here.enter(|| ask_udp(address, &asked, patience()))?;
                ensure!(answer.is_some(), "no answer after {answered}");
                answered += 1;
            }
            Ok(answered)
        });
        let reloads = (1..=6).try_for_each(|n| {
            let (line, lines) = if n % 2 == 1 {
                ("queues=1", n / 2)
            } else {
                ("queues=2", n / 2)
            };
            server.reload(&Site::config(if n % 2 == 1 {
                "xdp:\n  queues: 1"
            } else {
                ""
            }))?;
            server
                .process()
                .wait_for_line_after(lines, line, resume())
                .map(drop)
        });
        stop.store(true, Relaxed);
        let answered = asking.join().expect("asking does not panic")?;
        ensure!(answered > 100, "only {answered} questions were asked");
        reloads
    })
}

/// The server gives up being root, and still serves an interface that comes back.
pub(crate) fn other_user() -> Result<()> {
    let site = Site::joined(1)?;
    let server =
        Site::server("server:\n  username: \"nobody\"\nxdp:\n  frames: 512").start(&site.there)?;
    server.wait_for_xdp()?;
    site.expect(&server, SERVER4, Path::Xdp)?;
    site.there.ip("link del eth0")?;
    site.join(1)?;
    site.wait_for_xdp(&server, &[SERVER4, SERVER6])
}

/// Attaches a program of somebody else's to `eth0` of the calling thread's namespace.
pub(crate) fn attach(mode: XdpMode) -> Result<aya::Ebpf> {
    let mut ebpf = aya::Ebpf::load(sluicegate_bpf::STEER)?;
    let program: &mut Xdp = ebpf
        .program_mut("steer")
        .context("no program")?
        .try_into()?;
    program.load()?;
    program.attach("eth0", mode)?;
    Ok(ebpf)
}
