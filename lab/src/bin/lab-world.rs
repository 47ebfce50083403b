//! `make world`: the lab's Internet with Sluicegate in it, for a person to play with, until Ctrl-C or for
//! `$WORLD_SECONDS`.
#![forbid(unsafe_code)]

use std::fs::{self, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use std::{env, thread};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use sluicegate_lab::netns::Netns;
use sluicegate_lab::peers;
use sluicegate_lab::scene::{LINK, PATIENCE, SERVER_V4, client_beside};
use sluicegate_lab::server::server;
use sluicegate_lab::world::{World, zones};

/// What to ask, and what comes of it.
const TOUR: &[(&str, &str)] = &[
    ("www.good.alpha +dnssec", "signed with ECDSA, proven: AD"),
    (
        "none.good.beta +dnssec",
        "NXDOMAIN, proven by NSEC3 and RSA",
    ),
    ("x.wild.good.alpha +dnssec", "a wildcard"),
    (
        "chain.good.alpha",
        "aliases across four zones, the last one unsigned",
    ),
    ("www.out.dname.alpha", "a DNAME"),
    ("www.expired.alpha", "SERVFAIL: the signatures have expired"),
    ("www.expired.alpha +cd", "the data all the same"),
    (
        "www.tampered.alpha",
        "SERVFAIL: changed after it was signed",
    ),
    (
        "www.wrong-ds.alpha",
        "SERVFAIL: the parent vouches for another key",
    ),
    (
        "www.stripped.beta",
        "SERVFAIL: somebody takes the signatures away",
    ),
    ("www.unsigned.gamma", "insecure, behind an opt-out proof"),
    ("www.half-lame.plain", "one of two servers knows nothing"),
    (
        "www.silent.plain",
        "SERVFAIL: nobody answers, after some seconds",
    ),
    (
        "www.truncates.alpha +dnssec",
        "over UDP its server only says: truncated",
    ),
    (
        "www.spoofed.plain",
        "forged answers come first, none is believed",
    ),
    (
        "www.d0.swarm.plain",
        "SERVFAIL: forty name servers that don't exist",
    ),
    (
        "across.loop.alpha",
        "SERVFAIL: two zones that lead to each other",
    ),
    ("-x 2001:db8::80", "a reverse name"),
];

fn main() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let world = World::start(zones())?;
    let host = Netns::new()?;
    let client = client_beside(&host, 1)?;
    world.join(&host, "eth1")?;
    let conf = format!(
        "server:\n  interface: {SERVER_V4}\n  access-control: 10.11.1.0/24 allow\n  ede: yes\n  val-log-level: 1\n{}",
        world.resolver_conf()
    );
    let server = server(&conf).start(&host)?;
    server.wait_for_line(&format!("XDP fast path active interface={LINK}"), PATIENCE)?;
    let dig = world.dir().join("dig");
    write_dig(&dig, &client)?;
    print_tour(&world, &dig)?;
    if let Some(seconds) = env::var("WORLD_SECONDS")
        .ok()
        .and_then(|text| text.parse().ok())
    {
        let handle = signals.handle();
        thread::spawn(move || {
            thread::sleep(Duration::from_secs(seconds));
            handle.close();
        });
    }
    signals.forever().next();
    Ok(())
}

/// A `dig` that asks the server from the client's host.
fn write_dig(path: &Path, client: &Netns) -> Result<()> {
    let program = peers::find("dig").context("dig is missing: run scripts/peers.sh")?;
    let libraries = peers::command("dig")?
        .get_envs()
        .find_map(|(_, value)| value.map(|value| value.display().to_string()))
        .unwrap_or_default();
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH='{libraries}' exec nsenter --net={} {} @{SERVER_V4} \"$@\"\n",
        client.path().display(),
        program.display()
    );
    fs::write(path, script)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    Ok(())
}

fn print_tour(world: &World, dig: &Path) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "\nA world of {} zones, and Sluicegate in it on AF_XDP. In another shell, as root:\n",
        world.zones()
    )?;
    for (question, outcome) in TOUR {
        writeln!(out, "  {} {question:<30} # {outcome}", dig.display())?;
    }
    writeln!(
        out,
        "\nZones and keys are in {}. Ctrl-C ends it all.",
        world.dir().display()
    )?;
    Ok(())
}
