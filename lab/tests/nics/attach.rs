//! What is lost while programs are attached: many NICs reset, and with LACP it takes seconds until they carry packets
//! again.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::server::Server;
use sluicegate_lab::vm::record;
use sluicegate_lab::wire::{query, rtype};

use crate::site::{dns, driver, patience};
use crate::tower::{ASKED, POLL, Path, Tower, config, far};
use crate::towers::{IGBS, MEMBERS};

/// Clients, each with a port of its own: a bond spreads them over its members.
const CLIENTS: usize = 8;
/// Between two questions of a client.
const PACE: Duration = Duration::from_millis(50);
/// The clients' ports. A bond's hash takes its member from the lower bits: both have clients.
const PORTS: std::ops::Range<u16> = 20_000..20_000 + CLIENTS as u16;

/// How many questions were asked, how many of them answered, and how many rounds in a row went without an answer.
struct Loss {
    asked: usize,
    answered: usize,
    silence: usize,
}

/// One card by itself: while it resets nobody is answered, and then everybody by AF_XDP.
pub(crate) fn card(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = tower.nics[0].clone();
    tower.build(&[&format!("addr add {ASKED}/24 dev {nic}")])?;
    tower.client_on(&far(&nic), &[])?;
    let server = unattached(&tower)?;
    let loss = lost_by(&tower, &server, || activate(&tower, &server, ("", &[&nic])))?;
    tell(&tower, "attaching, one card", &loss)?;
    let path = tower.judge("one card, after attaching", &server)?;
    ensure!(path == Path::Xdp, "answered by {path:?}");
    Ok(())
}

/// A bond always keeps a member that answers: the second one is touched when the first is back. So it is when programs
/// are attached, and when a reload takes them off and attaches others. How long a member by itself is away when it is
/// touched is counted just before, in the same rounds.
pub(crate) fn bond() -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.lacp()?;
    tower.build(&[&format!("addr add {ASKED}/24 dev bond0")])?;
    tower.client_on("bond0", &[])?;
    let server = unattached(&tower)?;
    let card = alone(&tower, &server)?;
    let attaching = lost_by(&tower, &server, || {
        activate(&tower, &server, ("", &MEMBERS))
    })?;
    tell(&tower, "attaching, the members of an LACP bond", &attaching)?;
    let reload = lost_by(&tower, &server, || {
        activate(&tower, &server, ("xdp:\n  rx-ring: 1024", &MEMBERS))
    })?;
    tell(
        &tower,
        "another clause xdp:, the members of an LACP bond",
        &reload,
    )?;
    tower.served_at("LACP bond, after a reload", &server, &MEMBERS)?;
    for (what, loss) in [("attaching", attaching), ("a reload", reload)] {
        ensure!(
            loss.silence * 2 < card.silence,
            "{what}: nobody was answered in {} rounds, and in {} where there was one member; log:\n{}",
            loss.silence,
            card.silence,
            server.process().lines_with("").join("\n")
        );
    }
    Ok(())
}

/// What is lost while a program is attached to the only member that carries packets; there are two again afterwards,
/// without programs.
fn alone(tower: &Tower, server: &Server) -> Result<Loss> {
    let far = far(MEMBERS[1]);
    tower.client.ip(&format!("link set {far} down"))?;
    tower.server.ip(&format!("link set {} down", MEMBERS[1]))?;
    tower.aggregated(1)?;
    let loss = lost_by(tower, server, || {
        activate(tower, server, ("", &MEMBERS[..1]))?;
        tower.aggregated(1)
    })?;
    tell(tower, "attaching, the last member of an LACP bond", &loss)?;
    server.reload(&config("xdp:\n  enable: no"))?;
    let until = Instant::now() + patience();
    let told = || tower.server.ip(&format!("-d link show dev {}", MEMBERS[0]));
    while told()?.contains("prog/xdp") {
        ensure!(Instant::now() < until, "the program stays");
        thread::sleep(POLL);
    }
    for (netns, nic) in [(&tower.server, MEMBERS[1]), (&tower.client, &*far)] {
        netns.ip(&format!("link set {nic} up"))?;
    }
    tower.aggregated(2)?;
    let path = tower.judge("LACP bond, xdp: enable: no again", server)?;
    ensure!(path == Path::Kernel, "answered by {path:?}");
    Ok(loss)
}

fn tell(tower: &Tower, kind: &str, loss: &Loss) -> Result<()> {
    let verdict = format!(
        "{} of {} lost, longest time without an answer {:.1} s",
        loss.asked.saturating_sub(loss.answered),
        loss.asked,
        (PACE * u32::try_from(loss.silence)?).as_secs_f64()
    );
    let driver = driver(&tower.server, &tower.nics[0])?;
    record(kind, &driver, "", &verdict)
}

/// A server whose fast path is off.
fn unattached(tower: &Tower) -> Result<Server> {
    let server = tower.start("xdp:\n  enable: no")?;
    let path = tower.judge("xdp: enable: no", &server)?;
    ensure!(path == Path::Kernel, "answered by {path:?}");
    Ok(server)
}

/// What is lost of what is asked all the time while `work` is done.
fn lost_by(tower: &Tower, server: &Server, work: impl FnOnce() -> Result<()>) -> Result<Loss> {
    let (stop, client) = (AtomicBool::new(false), &tower.client);
    let loss = thread::scope(|scope| {
        let asking = scope.spawn(|| client.enter(|| ask_until(&stop)));
        let done = work();
        stop.store(true, Relaxed);
        let loss = asking.join().expect("asking does not panic");
        done.and(loss)
    });
    loss.with_context(|| server.process().lines_with("").join("\n"))
}

/// Gives the server another clause `xdp:`, and waits until the fast path has become active on all `places` and the NICs
/// carry packets again.
fn activate(tower: &Tower, server: &Server, (clause, places): (&str, &[&str])) -> Result<()> {
    let active = |place: &str| format!("XDP fast path active interface={place} ");
    let before: Vec<usize> = places
        .iter()
        .map(|place| server.process().lines_with(&active(place)).len())
        .collect();
    server.reload(&config(clause))?;
    let until = Instant::now() + patience();
    for (place, before) in places.iter().zip(before) {
        server
            .process()
            .wait_for_line_after(before, &active(place), patience())?;
    }
    // A reset that the last one brought shall be over, too.
    for place in places {
        while !tower
            .server
            .ip(&format!("link show dev {place}"))?
            .contains("LOWER_UP")
        {
            ensure!(Instant::now() < until, "{place} does not come back");
            thread::sleep(POLL);
        }
    }
    if places.len() > 1 {
        tower.aggregated(places.len())?;
    }
    Ok(())
}

/// Asks in rounds, all clients at once, until told to stop; then waits for what is still on its way.
fn ask_until(stop: &AtomicBool) -> Result<Loss> {
    let server: SocketAddr = dns(ASKED)?;
    let clients = PORTS
        .map(|port| {
            let client = UdpSocket::bind(("0.0.0.0", port))?;
            client.connect(server)?;
            client.set_nonblocking(true)?;
            Ok(client)
        })
        .collect::<Result<Vec<_>>>()?;
    let mut rounds = Vec::new();
    while !stop.load(Relaxed) && rounds.len() < MOST_ROUNDS {
        let asked = query("host.test", rtype::A).id(rounds.len() as u16).build();
        for client in &clients {
            // Refused while a bond has no member: that is a loss.
            let _ = client.send(&asked);
        }
        rounds.push(0);
        thread::sleep(PACE);
        receive(&clients, &mut rounds);
    }
    let until = Instant::now() + patience() / 20;
    while Instant::now() < until && rounds.last().is_some_and(|last| *last < CLIENTS) {
        thread::sleep(PACE);
        receive(&clients, &mut rounds);
    }
    Ok(weigh(&rounds))
}

/// The identifier of a message tells its round.
const MOST_ROUNDS: usize = 1 << 16;

/// Counts the answers that have come, each for the round that it belongs to.
fn receive(clients: &[UdpSocket], rounds: &mut [usize]) {
    let mut answer = [0; 512];
    for client in clients {
        // An error that the kernel tells (no route while a link is down) is no end.
        for _ in 0..rounds.len() * 2 {
            match client.recv(&mut answer) {
                Ok(2..) => {
                    let round = u16::from_be_bytes([answer[0], answer[1]]);
                    if let Some(round) = rounds.get_mut(usize::from(round)) {
                        *round += 1;
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => {}
            }
        }
    }
}

/// Time is counted in rounds, so that none passes while the whole machine stands still.
fn weigh(rounds: &[usize]) -> Loss {
    let (mut silent, mut longest) = (0, 0);
    for answers in rounds {
        silent = if *answers == 0 { silent + 1 } else { 0 };
        longest = longest.max(silent);
    }
    Loss {
        asked: rounds.len() * CLIENTS,
        answered: rounds.iter().sum(),
        silence: longest,
    }
}
