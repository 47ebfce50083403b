//! The engine process killed: hits and local data go on, misses are answered again within two seconds.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::netns::Netns;
use sluicegate_lab::scene::{PATIENCE, Path, SERVER_V4, Scene};
use sluicegate_lab::server::Server;
use sluicegate_lab::wire::{Message, ask_open_loop, query, rcode, rtype};

fn main() -> ExitCode {
    suite("engine_death")
        .test(
            "hits_go_on_and_misses_come_back",
            needs![Root, Netns],
            hits_go_on_and_misses_come_back,
        )
        .test(
            "waiting_clients_are_answered",
            needs![Root, Netns],
            waiting_clients_are_answered,
        )
        .test(
            "ten_kills_under_load_fail_hardly_anybody",
            needs![Root, Netns],
            ten_kills_under_load_fail_hardly_anybody,
        )
        .test(
            "a_stuck_engine_is_replaced",
            needs![Root, Netns],
            a_stuck_engine_is_replaced,
        )
        .test(
            "no_engine_outlives_its_server",
            needs![Root, Netns],
            no_engine_outlives_its_server,
        )
        .run()
}

const LOCAL_DATA: &str = "  local-data: \"host.local.example A 192.0.2.1\"";

/// How soon misses must be answered again.
const RECOVERY: Duration = Duration::from_secs(2);

fn ask(scene: &Scene, path: Path, name: &str, limit: Duration) -> Result<Option<Message>> {
    let answer = scene.ask(path, &query(name, rtype::A).build(), limit)?;
    answer.map(|answer| Message::parse(&answer)).transpose()
}

fn is_answer(message: Option<&Message>) -> bool {
    message.is_some_and(|message| message.rcode() == rcode::NOERROR && message.answer.len() == 1)
}

fn engine(server: &Server) -> Result<i32> {
    let children = server.children()?;
    ensure!(children.len() == 1, "one engine, not {children:?}");
    Ok(children[0])
}

fn hits_go_on_and_misses_come_back() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    ensure!(
        is_answer(ask(&scene, Path::Xdp, "cached.upstream.example", PATIENCE)?.as_ref()),
        "the first miss"
    );
    for round in 0..2 {
        let engine = engine(&server)?;
        kill(Pid::from_raw(engine), Signal::SIGKILL)?;
        let killed = Instant::now();
        for name in ["cached.upstream.example", "host.local.example"] {
            for path in Path::ALL {
                let limit = Duration::from_millis(500);
                ensure!(
                    is_answer(ask(&scene, path, name, limit)?.as_ref()),
                    "{name} over {path} without an engine"
                );
            }
        }
        for number in 0.. {
            let name = format!("new{round}x{number}.upstream.example");
            let answered = is_answer(ask(&scene, Path::Xdp, &name, RECOVERY)?.as_ref());
            if answered {
                break;
            }
            ensure!(
                killed.elapsed() < RECOVERY,
                "misses are not answered {RECOVERY:?} after the engine's death"
            );
        }
        ensure!(
            killed.elapsed() < RECOVERY,
            "it took {:?}",
            killed.elapsed()
        );
        ensure!(server.children()? != [engine], "the same engine?");
    }
    Ok(())
}

/// Clients that wait when the engine dies get an answer from the next engine, or SERVFAIL; nobody waits in vain.
fn waiting_clients_are_answered() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    let engine = engine(&server)?;
    let before = scene.upstream.counts().udp;
    thread::scope(|scope| {
        let asked = scope.spawn(|| {
            ask(
                &scene,
                Path::Xdp,
                "delay700.upstream.example",
                Duration::from_secs(12),
            )
        });
        let end = Instant::now() + PATIENCE;
        while scene.upstream.counts().udp == before && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        kill(Pid::from_raw(engine), Signal::SIGKILL)?;
        let answer = asked
            .join()
            .expect("no panic")?
            .context("the client waited in vain")?;
        ensure!(
            [rcode::NOERROR, rcode::SERVFAIL].contains(&answer.rcode()),
            "{answer:?}"
        );
        Ok(())
    })
}

/// Clients that wait for nothing ask for local data, hits and misses, some of which are always under way, while the
/// engine is killed ten times, mostly before it has got far.
fn ten_kills_under_load_fail_hardly_anybody() -> Result<()> {
    const KILLS: u64 = 10;
    const RATE: u32 = 500;
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    let cached = ask(&scene, Path::Xdp, "cached.upstream.example", PATIENCE)?;
    ensure!(is_answer(cached.as_ref()), "the first miss");
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = |netns, to, path| {
            let stop = &stop;
            let ask = move || ask_open_loop(to, RATE, stop, PATIENCE, |id| mixed(path, id));
            scope.spawn(move || Netns::enter(netns, ask))
        };
        let clients = [
            client(&scene.client, SocketAddr::new(SERVER_V4, 53), "xdp"),
            client(&scene.server, ([127, 0, 0, 1], 53).into(), "udp"),
        ];
        let kills = (1..=KILLS).try_for_each(|kills| {
            kill(Pid::from_raw(engine(&server)?), Signal::SIGKILL)?;
            server.wait_for_stats(PATIENCE, |stats| {
                stats.get("engine.restarts") == Some(&kills)
            })?;
            // The next one is killed when it has answered this, and so all that waited for it: a question goes to
            // three engines at most.
            let name = format!("again{kills}.delay60.upstream.example");
            let end = Instant::now() + PATIENCE * 4;
            while !is_answer(ask(&scene, Path::Xdp, &name, PATIENCE)?.as_ref()) {
                ensure!(Instant::now() < end, "no other engine");
            }
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            let got = client.join().expect("no panic")?;
            let lost = (0..got.sent).filter(|id| !got.answers.contains_key(id));
            ensure!(lost.count() == 0 && got.sent > 500, "of {}", got.sent);
            let mut failed = 0;
            for answer in got.answers.values() {
                let answer = Message::parse(answer)?;
                let is_good = is_answer(Some(&answer));
                ensure!(is_good || answer.rcode() == rcode::SERVFAIL, "{answer:?}");
                failed += u32::from(!is_good);
            }
            // On a busy machine one may meet three engines, each just before its end.
            ensure!(failed <= u32::from(got.sent) / 100, "{failed} failed");
        }
        kills
    })
}

/// Local data, a hit, and two misses in four, one of which takes a while.
fn mixed(path: &str, id: u16) -> Vec<u8> {
    let name = match id % 4 {
        0 => "host.local.example".to_owned(),
        1 => "cached.upstream.example".to_owned(),
        2 => format!("m{id}{path}.upstream.example"),
        _ => format!("m{id}{path}.delay30.upstream.example"),
    };
    query(&name, rtype::A).id(id).build()
}

/// An engine that runs but does nothing: its heartbeat is missed; hits, local data and expired answers go on meanwhile.
fn a_stuck_engine_is_replaced() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(&format!("{LOCAL_DATA}\n  serve-expired: yes"))?;
    let stuck = engine(&server)?;
    for name in ["cached.upstream.example", EXPIRED] {
        let first = ask(&scene, Path::Xdp, name, PATIENCE)?;
        ensure!(is_answer(first.as_ref()), "the first miss: {name}");
    }
    // What is waited for here is time itself.
    thread::sleep(Duration::from_millis(3100));
    kill(Pid::from_raw(stuck), Signal::SIGSTOP)?;
    let stopped = Instant::now();
    let mut stale = 0;
    for path in Path::ALL {
        let told = ask(&scene, path, EXPIRED, PATIENCE)?;
        let told = told.with_context(|| format!("no expired answer over {path}"))?;
        // On a slow machine another engine may be at work by now.
        if stopped.elapsed() < HEARTBEAT_LIMIT {
            let ttl = told.answer.first().map(|record| record.ttl_secs);
            ensure!(ttl == Some(STALE_TTL_SECS), "{path}: {told:?}");
            stale += 1;
        }
        ensure!(is_answer(Some(&told)), "{path}: {told:?}");
        let local = ask(&scene, path, "host.local.example", PATIENCE)?;
        ensure!(is_answer(local.as_ref()), "{path}: {local:?}");
    }
    let told = server.stats()?.get("total.num.expired").copied();
    ensure!(told >= Some(stale), "{told:?} expired answers for {stale}");
    let limit = Duration::from_secs(9);
    let miss = ask(&scene, Path::Xdp, "miss.upstream.example", limit)?;
    ensure!(is_answer(miss.as_ref()), "{miss:?}");
    ensure!(engine(&server)? != stuck, "the same engine?");
    for path in Path::ALL {
        let hit = ask(&scene, path, "cached.upstream.example", PATIENCE)?;
        ensure!(is_answer(hit.as_ref()), "{path}: {hit:?}");
    }
    Ok(())
}

/// A name whose answer has expired after two seconds,
const EXPIRED: &str = "ttl2.upstream.example";
/// and lives so long when it is told all the same.
const STALE_TTL_SECS: u32 = 30;
/// No engine is given up before it has been silent for so long.
const HEARTBEAT_LIMIT: Duration = Duration::from_secs(5);

fn no_engine_outlives_its_server() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(LOCAL_DATA)?;
    let engine = engine(&server)?;
    server.kill();
    let end = Instant::now() + RECOVERY;
    while kill(Pid::from_raw(engine), None).is_ok() {
        ensure!(
            Instant::now() < end,
            "the engine {engine} outlives its server"
        );
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
