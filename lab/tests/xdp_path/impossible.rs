//! XDP that can't be had, and servers that end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use aya::programs::{Xdp, XdpMode};
use sluicegate_lab::server::Server;
use sluicegate_lab::wire::{ask_udp, query, rtype};

use crate::site::{PATIENCE, Path, RESUME, SERVER4, SERVER6, Site};

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
        let line = server.wait_for_line(&format!("{UNAVAILABLE} interface=eth0"), RESUME)?;
        ensure!(
            line.contains(&format!("id {id},")) && line.contains("'steer'"),
            "{line}"
        );
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
        let line = server.wait_for_line(&format!("{UNAVAILABLE} interface=eth0"), RESUME)?;
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
    server.wait_for_line(UNAVAILABLE, RESUME)?;
    site.expect(&server, SERVER4, Path::Kernel)?;
    site.expect(&server, SERVER6, Path::Kernel)?;
    ensure!(
        site.eth0().xdp_program()?.is_none(),
        "--no-xdp attached a program"
    );
    drop(server);
    let server = Site::server("xdp:\n  enable: no").start(&site.there)?;
    server.wait_for_line(UNAVAILABLE, RESUME)?;
    site.expect(&server, SERVER4, Path::Kernel)
}

/// A bridge with the server's address, and a port of it.
pub(crate) fn stacked() -> Result<()> {
    let site = Site::joined(1)?;
    site.there.ip("addr flush dev eth0")?;
    site.there.ip("link add br0 type bridge")?;
    site.there.ip("link set eth0 master br0")?;
    site.there.ip("link set br0 up")?;
    site.there.ip(&format!("addr add {SERVER4}/24 dev br0"))?;
    let server = Site::server("").start(&site.there)?;
    server.wait_for_line(&format!("{UNAVAILABLE} interface=br0"), RESUME)?;
    site.expect(&server, SERVER4, Path::Kernel)?;
    ensure!(
        site.eth0().xdp_program()?.is_none(),
        "the bridge's port got a program"
    );
    Ok(())
}

pub(crate) fn required() -> Result<()> {
    let site = Site::joined(1)?;
    let theirs = site.there.enter(|| attach(XdpMode::Driver))?;
    let server = Site::server("xdp:\n  enable: yes").launch(&site.there)?;
    let finished = server.finish(Duration::from_secs(20))?;
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
    server.wait_for_xdp()?;
    site.expect(&server, SERVER4, Path::Xdp)
}

/// The kernel takes the program away with the process; the next server binds at once.
pub(crate) fn killed() -> Result<()> {
    let site = Site::joined(2)?;
    for _ in 0..3 {
        let server = site.start()?;
        site.expect(&server, SERVER4, Path::Xdp)?;
        server.kill();
        let until = Instant::now() + Duration::from_secs(2);
        while site.eth0().xdp_program()?.is_some() {
            ensure!(Instant::now() < until, "the program outlived the server");
        }
    }
    let server = site.start()?;
    site.expect(&server, SERVER6, Path::Xdp)
}

/// While clients ask all the time, one of two servers ends: who asks again once is answered.
pub(crate) fn stopped() -> Result<()> {
    let site = Site::joined(2)?;
    let first = site.start()?;
    site.expect(&first, SERVER4, Path::Xdp)?;
    let finished = first.stop()?;
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
    let second: Server = site.start()?;
    let asked = query("host.test", rtype::A).build();
    let address = std::net::SocketAddr::new(SERVER4.parse()?, 53);
    ensure!(
        site.here
            .enter(|| ask_udp(address, &asked, PATIENCE))?
            .is_some(),
        "no answer after the restart"
    );
    site.expect(&second, SERVER4, Path::Xdp)
}

/// Attaches a program of somebody else's to `eth0` of the calling thread's namespace.
fn attach(mode: XdpMode) -> Result<aya::Ebpf> {
    let mut ebpf = aya::Ebpf::load(sluicegate_bpf::STEER)?;
    let program: &mut Xdp = ebpf
        .program_mut("steer")
        .context("no program")?
        .try_into()?;
    program.load()?;
    program.attach("eth0", mode)?;
    Ok(ebpf)
}
