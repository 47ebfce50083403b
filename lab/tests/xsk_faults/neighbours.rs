//! Others on the same interface: another instance, an earlier one, a child, another program.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluicegate_xsk::nic::{AttachedMode, Nic};
use sluicegate_xsk::prog::{AttachError, AttachMode, Map};
use sluicegate_xsk::{BindError, Ladder, QueueBuilder, Rung, RungFailure, negotiate};

use crate::child::{self, READY, Role};
use crate::scene::{FRAMES, Hosts, PATIENCE, SERVER, Server, load};

const SHORT: Duration = Duration::from_millis(200);

pub(crate) fn second_instance() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder)?;
    // A second socket on the queue.
    let error = hosts
        .open(&server.xsks, 0, |builder| builder.patience(SHORT))
        .err()
        .context("two sockets on one queue")?;
    let BindError::QueueBusy {
        holders, waited, ..
    } = &error
    else {
        bail!("{error}")
    };
    ensure!(*waited >= SHORT, "gave up after {waited:?}");
    ensure!(
        holders
            .iter()
            .any(|holder| holder.pid == std::process::id()),
        "this process is not named: {error}"
    );
    // A second program on the interface, from another process.
    let finished = hosts.server.run(&child::command(Role::Open, &[])?)?;
    ensure!(!finished.success(), "two programs on one interface");
    let id = server.link.program_id()?;
    let expected = format!("another XDP program is attached: \"redirect\" number {id} (native)");
    ensure!(finished.stdout.contains(&expected), "{}", finished.stdout);
    // The first one never noticed.
    server.echo_once(&hosts.connect()?, b"still here")?;
    server.check()
}

pub(crate) fn fifty_restarts() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let client = hosts.connect()?;
    for round in 0..50u32 {
        let start = Instant::now();
        let mut server = hosts.serve(1, |builder| builder)?;
        let took = start.elapsed();
        ensure!(
            took < Duration::from_secs(2),
            "restart {round} took {took:?}"
        );
        server.echo_once(&client, &round.to_be_bytes())?;
        server.check()?;
    }
    Ok(())
}

pub(crate) fn sigkill() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(1)?;
    let kernel = hosts.listen()?;
    let client = hosts.connect()?;
    let mut buffer = [0; 64];
    let process = hosts.server.spawn(&child::command(Role::Serve, &[])?)?;
    process.wait_for_line(READY, PATIENCE)?;
    ensure!(ends.0.xdp_program()?.is_some());
    client.send(b"by AF_XDP")?;
    let len = client.recv(&mut buffer)?;
    ensure!(&buffer[..len] == b"by AF_XDP");
    process.kill();
    let end = Instant::now() + PATIENCE;
    while ends.0.xdp_program()?.is_some() {
        ensure!(Instant::now() < end, "the program is still attached");
    }
    client.send(b"by the kernel")?;
    let len = kernel.recv(&mut buffer)?;
    ensure!(&buffer[..len] == b"by the kernel");
    // A new instance takes over.
    let mut server = hosts.serve(1, |builder| builder)?;
    server.echo_once(&client, b"by AF_XDP again")?;
    server.check()
}

pub(crate) fn inherited() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(1)?;
    let mut server = hosts.serve(1, |builder| builder)?;
    // Sockets are close-on-exec; this copy is not, so a child inherits it.
    let leaked = rustix::io::dup(&server.queues[0])?;
    let mut sleep = Command::new("sleep");
    sleep.arg("60");
    let holder = hosts.server.spawn(&sleep)?;
    drop(leaked);
    server.queues.clear();
    let error = hosts
        .open(&server.xsks, 0, |builder| builder.patience(SHORT))
        .err()
        .context("the child holds the queue")?;
    ensure!(matches!(error, BindError::QueueBusy { .. }), "{error}");
    ensure!(
        error.to_string().contains("child process that inherited"),
        "{error}"
    );
    holder.kill();
    let start = Instant::now();
    let opened = hosts.open(&server.xsks, 0, |builder| builder)?;
    server.queues.push(opened);
    ensure!(start.elapsed() < Duration::from_secs(2));
    server.echo_once(&hosts.connect()?, b"after")?;
    server.check()
}

pub(crate) fn foreign_program() -> Result<()> {
    let hosts = Hosts::new()?;
    let ends = hosts.join(1)?;
    let both = [AttachMode::Native, AttachMode::Generic];
    for (theirs, ours) in both
        .into_iter()
        .flat_map(|theirs| both.map(|ours| (theirs, ours)))
    {
        hosts.server.enter(|| -> Result<()> {
            let nic = Nic::by_name(SERVER)?;
            let foreign = load()?.attach(&nic, theirs)?;
            let error = load()?.attach(&nic, ours).err();
            let mode = match theirs {
                AttachMode::Native => AttachedMode::Native,
                AttachMode::Generic => AttachedMode::Generic,
            };
            let expected = AttachError::Foreign {
                id: Some(foreign.program_id()?),
                name: Some("redirect".to_owned()),
                mode: Some(mode),
            };
            ensure!(
                error.as_ref() == Some(&expected),
                "{ours} beside {theirs}: {error:?}"
            );
            ensure!(
                nic.refresh()?
                    .link()
                    .xdp
                    .is_some_and(|xdp| Some(xdp.program_id) == foreign.program_id().ok())
            );
            Ok(())
        })?;
    }
    ensure!(ends.0.xdp_program()?.is_none(), "a program was left behind");
    // One attached in the old way, by netlink, as other tools do it.
    let object = std::env::temp_dir().join(format!("redirect-{}.o", std::process::id()));
    std::fs::write(&object, crate::scene::REDIRECT)?;
    let attached = hosts.server.ip(&format!(
        "link set dev {SERVER} xdpgeneric obj {} sec xdp",
        object.display()
    ));
    std::fs::remove_file(&object)?;
    attached?;
    let id = ends.0.xdp_program()?.context("iproute2's program")?;
    hosts.server.enter(|| -> Result<()> {
        let nic = Nic::by_name(SERVER)?;
        let program = load()?;
        let xsks = program.xskmap("xsks")?;
        let builders = [QueueBuilder::new(&nic, 0).frames(FRAMES)];
        let error = negotiate(&program, &xsks, &nic, Ladder::default(), &builders)
            .err()
            .context("attached over a foreign program")?;
        let [(Rung::ZeroCopy, RungFailure::Attach(AttachError::Foreign { id: found, .. }))] =
            error.failed[..]
        else {
            bail!("{error}")
        };
        ensure!(found == Some(id), "{error}");
        Ok(())
    })?;
    ensure!(
        ends.0.xdp_program()? == Some(id),
        "the foreign program was touched"
    );
    Ok(())
}

pub(crate) fn wrong_socket() -> Result<()> {
    let hosts = Hosts::new()?;
    let _ends = hosts.join(2)?;
    let mut server = hosts.serve(2, |builder| builder)?;
    let client = hosts.connect()?;
    server.echo_once(&client, b"before")?;
    let used = usize::from(server.queues[1].counters().rx_packets > 0);
    let slot = (used as u32).to_ne_bytes();
    let other =
        std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&server.queues[1 - used]));
    let map = Map::from_fd(&server.xsks)?;
    // The socket of the other queue takes the slot: packets vanish, and the queue finds out why.
    map.set(&slot, &other.to_ne_bytes())?;
    let (seen, received) = (server.seen()?, received(&server));
    client.send(b"lost")?;
    let end = Instant::now() + PATIENCE;
    while server.seen()? == seen {
        ensure!(Instant::now() < end, "the program did not see the packet");
        thread::yield_now();
    }
    server.reflect_until(rounds(20))?;
    ensure!(
        self::received(&server) == received,
        "the kernel delivers across queues"
    );
    ensure!(
        !server.queues[used].reclaim_slot()?,
        "the foreign socket went unnoticed"
    );
    // A queue that is opened over it says so at once.
    server.queues.remove(used);
    let error = hosts
        .open(&server.xsks, used as u32, |builder| builder)
        .err();
    ensure!(
        error == Some(BindError::SlotTaken { queue: used as u32 }),
        "{error:?}"
    );
    // Emptied, the slot is this queue's again.
    map.remove(&slot)?;
    let queue = hosts.open(&server.xsks, used as u32, |builder| builder)?;
    map.remove(&slot)?;
    ensure!(queue.reclaim_slot()?, "an empty slot can be claimed again");
    server.queues.push(queue);
    server.echo_once(&client, b"after")?;
    server.check()
}

fn received(server: &Server) -> u64 {
    server
        .queues
        .iter()
        .map(|queue| queue.counters().rx_packets)
        .sum()
}

fn rounds(mut count: u32) -> impl FnMut(&[sluicegate_xsk::Queue]) -> bool {
    move |_| {
        count -= 1;
        count == 0
    }
}
