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
const PACE: Duration = Duration::from_millis(100);
/// The longest time without any answer that a bond may show. A card's reset takes three seconds and more.
const SHORT: Duration = Duration::from_secs(2);

/// How many questions were asked, how many of them answered, and for how long none was.
struct Loss {
    asked: usize,
    answered: usize,
    silence: Duration,
}

/// One card by itself: while it resets nobody is answered, and then everybody by AF_XDP.
pub(crate) fn card(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = tower.nics[0].clone();
    tower.build(&[&format!("addr add {ASKED}/24 dev {nic}")])?;
    tower.client_on(&far(&nic), &[])?;
    let (loss, server) = attach(&tower, &[&nic])?;
    tell(&tower, "attaching, one card", &loss)?;
    let path = tower.judge("one card, after attaching", &server)?;
    ensure!(path == Path::Xdp, "answered by {path:?}");
    Ok(())
}

/// A bond always keeps a member that answers: the second one is touched when the first is back.
pub(crate) fn bond() -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.lacp()?;
    tower.build(&[&format!("addr add {ASKED}/24 dev bond0")])?;
    tower.client_on("bond0", &[])?;
    let (loss, server) = attach(&tower, &MEMBERS)?;
    tell(&tower, "attaching, the members of an LACP bond", &loss)?;
    ensure!(
        loss.silence < SHORT,
        "nobody was answered for {:?}; log:\n{}",
        loss.silence,
        server.process().lines_with("").join("\n")
    );
    Ok(())
}

fn tell(tower: &Tower, kind: &str, loss: &Loss) -> Result<()> {
    let Loss {
        asked,
        answered,
        silence,
    } = loss;
    let verdict = format!(
        "{} of {asked} lost, longest time without an answer {:.1} s",
        asked - answered,
        silence.as_secs_f64()
    );
    let driver = driver(&tower.server, &tower.nics[0])?;
    record(kind, &driver, "", &verdict)
}

/// Has a server that is asked all the time switch its fast path on, until it is active on all `places` and the NICs carry
/// packets again.
fn attach(tower: &Tower, places: &[&str]) -> Result<(Loss, Server)> {
    let server = tower.start("xdp:\n  enable: no")?;
    let path = tower.judge("xdp: enable: no", &server)?;
    ensure!(path == Path::Kernel, "answered by {path:?}");
    let stop = AtomicBool::new(false);
    let loss = thread::scope(|scope| {
        let asking = scope.spawn(|| tower.client.enter(|| ask_until(&stop)));
        let attached = switch_on(tower, &server, places);
        stop.store(true, Relaxed);
        let loss = asking.join().expect("asking does not panic");
        attached.and(loss)
    });
    let loss = loss.with_context(|| server.process().lines_with("").join("\n"))?;
    Ok((loss, server))
}

fn switch_on(tower: &Tower, server: &Server, places: &[&str]) -> Result<()> {
    server.reload(&config(""))?;
    let until = Instant::now() + patience();
    for place in places {
        let active = format!("XDP fast path active interface={place} ");
        server.wait_for_line(&active, patience())?;
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
    let clients = (0..CLIENTS)
        .map(|_| {
            let client = UdpSocket::bind("0.0.0.0:0")?;
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
        silence: PACE * longest,
    }
}
