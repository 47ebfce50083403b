//! The engine process killed: hits and local data go on, misses are answered again within two seconds.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::scene::{PATIENCE, Path, Scene};
use sluicegate_lab::server::Server;
use sluicegate_lab::wire::{Message, query, rcode, rtype};

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
