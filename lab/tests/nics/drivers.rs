//! Each driver by itself: one wire, a server at its one end, a client at the other.

use anyhow::{Context, Result, ensure};
use sluicegate_lab::server::Server;
use sluicegate_lab::vm::{kernel, record};
use sluicegate_lab::wire::{ask_udp, query, rtype};

use crate::site::{
    SERVER4, SERVER6, Site, Standing, answering, config, dns, expect_at_least, expect_no_program,
    patience, standing,
};

/// Clients are answered in the best mode that the driver has, over UDP, TCP and by the kernel, and nothing stays on the
/// NIC after SIGTERM and SIGKILL.
pub(crate) fn serves(wire: &str, kind: &str) -> Result<()> {
    let site = Site::on(wire)?;
    let driver = site.driver()?;
    let nic = site.nic();
    let server = answering("").start(&site.server)?;
    let Standing::Active(mode) = standing(&server, &nic.name)? else {
        let log = server.process().lines_with("").join("\n");
        anyhow::bail!("AF_XDP does not serve it: {log}");
    };
    let outcome = answers(&site, &server);
    let verdict = match &outcome {
        Ok(()) => "answers",
        Err(_) => "FAILS",
    };
    record(kind, &driver, &mode, verdict)?;
    outcome?;
    let expected = best_mode(wire)?;
    ensure!(mode == expected, "mode {mode}, not {expected}");
    ensure!(
        nic.xdp_program()?.is_some(),
        "`ip link` shows no program: no other check of it can fail"
    );
    server.stop()?;
    expect_no_program(&nic).context("after SIGTERM")?;
    let server = answering("").start(&site.server)?;
    server.wait_for_xdp()?;
    server.kill();
    expect_no_program(&nic).context("after SIGKILL")
}

/// Attaching resets many NICs, and seconds of traffic are lost: a reload leaves the program where it is.
pub(crate) fn reload(wire: &str) -> Result<()> {
    let site = Site::on(wire)?;
    let server = answering("").start(&site.server)?;
    server.wait_for_xdp()?;
    let before = site.nic().xdp_program()?.context("no program")?;
    let other = config("  local-data: \"more.test. 60 A 192.0.2.8\"");
    server.reload(&other)?;
    server.wait_for_line("configuration reloaded", patience())?;
    let after = site.nic().xdp_program()?.context("no program")?;
    let driver = site.driver()?;
    let same = before == after;
    let verdict = if same {
        "the program stays"
    } else {
        "FAILS: attached anew"
    };
    record("reload", &driver, "", verdict)?;
    ensure!(same, "program {before} became {after}");
    let had = server.sum("xdp.", ".replied")?;
    site.kdig(SERVER4, &[])?;
    expect_at_least(&server, "xdp.", ".replied", had + 1)
}

/// A generic program with a socket that the kernel bound zero-copy receives and never sends (igb): ours must send.
pub(crate) fn generic(wire: &str) -> Result<()> {
    let site = Site::on(wire)?;
    let server = answering("xdp:\n  mode: generic").start(&site.server)?;
    let driver = site.driver()?;
    let standing = standing(&server, &site.nic().name)?;
    ensure!(
        standing == Standing::Active("generic".to_owned()),
        "{standing:?}"
    );
    let outcome = answers(&site, &server);
    let verdict = if outcome.is_ok() { "answers" } else { "FAILS" };
    record("NIC, xdp: mode: generic", &driver, "generic", verdict)?;
    outcome
}

fn answers(site: &Site, server: &Server) -> Result<()> {
    site.kdig(SERVER4, &[])?;
    site.kdig(SERVER6, &[])?;
    expect_at_least(server, "xdp.", ".replied", 2)?;
    site.kdig(SERVER4, &["+tcp"])?;
    expect_at_least(server, "tcp.", "replied", 1)?;
    let asked = query("host.test", rtype::A).build();
    let loopback = dns("127.0.0.1")?;
    let answer = site
        .server
        .enter(|| ask_udp(loopback, &asked, patience()))?;
    ensure!(answer.is_some(), "no answer by the kernel's path");
    expect_at_least(server, "udp.", ".replied", 1)
}

/// What the driver can do in this kernel.
pub(crate) fn best_mode(wire: &str) -> Result<&'static str> {
    let release = kernel()?;
    let mut numbers = release.split(['.', '-', '+']).map(str::parse::<u32>);
    let mut number = || numbers.next().and_then(Result::ok);
    let version = (
        number().context("kernel release")?,
        number().context("kernel release")?,
    );
    Ok(match wire {
        "igb" if version >= (6, 14) => "zero-copy",
        "iommu" if version >= (6, 13) => "zero-copy",
        "e1000e" => "generic",
        "vmxnet3" if version < (6, 6) => "generic",
        _ => "copy",
    })
}
