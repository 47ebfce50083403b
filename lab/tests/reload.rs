//! SIGHUP: a good configuration takes effect and keeps what it allows of the cache, a bad one changes nothing, no query is lost. SIGTERM:
//! those who wait are answered first.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::netns::Netns;
use sluicegate_lab::scene::{PATIENCE, Path, SERVER_V4, Scene};
use sluicegate_lab::upstream::Knobs;
use sluicegate_lab::wire::{Message, OpenLoop, ask_open_loop, query, rcode, rtype};

fn main() -> ExitCode {
    suite("reload")
        .test(
            "a_good_file_takes_effect_and_keeps_the_cache",
            needs![Root, Netns],
            a_good_file_takes_effect,
        )
        .test(
            "what_the_new_file_forbids_is_forgotten",
            needs![Root, Netns],
            what_the_new_file_forbids_is_forgotten,
        )
        .test(
            "what_the_old_engine_finds_late_is_not_kept",
            needs![Root, Netns],
            what_the_old_engine_finds_late_is_not_kept,
        )
        .test(
            "a_bad_file_changes_nothing",
            needs![Root, Netns],
            a_bad_file_changes_nothing,
        )
        .test(
            "without_places_for_tcp_nobody_connects",
            needs![Root, Netns],
            without_places_for_tcp_nobody_connects,
        )
        .test("no_query_is_lost", needs![Root, Netns], no_query_is_lost)
        .test(
            "no_query_is_lost_under_open_load",
            needs![Root, Netns],
            no_query_is_lost_under_open_load,
        )
        .test(
            "who_waits_is_answered_before_the_end",
            needs![Root, Netns],
            who_waits_is_answered_before_the_end,
        )
        .run()
}

fn local(last: u8) -> String {
    format!("  local-data: \"host.local.example A 192.0.2.{last}\"")
}

fn ask(scene: &Scene, path: Path, name: &str) -> Result<Message> {
    let answer = scene.ask(path, &query(name, rtype::A).build(), PATIENCE)?;
    Message::parse(&answer.with_context(|| format!("no answer on {name} over {path}"))?)
}

/// The last byte of the address of the name that local data decides.
fn last_byte(scene: &Scene, path: Path) -> Result<u8> {
    let answer = ask(scene, path, "host.local.example")?;
    answer
        .answer
        .first()
        .and_then(|record| record.rdata.last())
        .copied()
        .context("no address")
}

/// Waits until local data over `path` is that of `local(last)`.
fn wait_for(scene: &Scene, path: Path, last: u8) -> Result<()> {
    let end = Instant::now() + PATIENCE;
    while last_byte(scene, path)? != last {
        ensure!(
            Instant::now() < end,
            "the new configuration does not take effect over {path}"
        );
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

fn a_good_file_takes_effect() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(&local(1))?;
    ask(&scene, Path::Xdp, "kept.upstream.example")?;
    ensure!(scene.upstream.counts().udp == 1, "a miss asks the upstream");
    let program = scene.server_end().xdp_program()?;
    server.reload(&scene.config(&local(2)))?;
    for path in Path::ALL {
        wait_for(&scene, path, 2)?;
        ask(&scene, path, "kept.upstream.example")?;
    }
    ensure!(scene.upstream.counts().udp == 1, "the cache was not kept");
    ensure!(
        scene.server_end().xdp_program()? == program,
        "the XDP program was changed"
    );
    ask(&scene, Path::Xdp, "after.upstream.example")?;
    Ok(())
}

/// Of answers that are in the cache, and that workers remember: those of a zone that has another upstream now are asked
/// for anew, the others not; with addresses that are private now, none is told.
fn what_the_new_file_forbids_is_forgotten() -> Result<()> {
    const NAMES: [&str; 2] = ["www.kept.example", "www.moved.example"];
    let scene = Scene::new(1)?;
    let other = scene.other_upstream()?;
    let expired = "  serve-expired: yes\n";
    let server = scene.start(expired)?;
    let ask_all = |wanted: usize| -> Result<()> {
        for (path, name) in Path::ALL
            .into_iter()
            .flat_map(|path| NAMES.map(|name| (path, name)))
        {
            for _ in 0..3 {
                let answer = ask(&scene, path, name)?;
                ensure!(
                    answer.answer.len() == wanted,
                    "{name} over {path}: {answer:?}"
                );
            }
        }
        Ok(())
    };
    ask_all(1)?;
    let zone = format!("{expired}forward-zone:\n  name: moved.example\n  forward-addr: {other}\n");
    server.reload(&scene.config(&zone))?;
    server.wait_for_line("changed for moved.example", PATIENCE * 2)?;
    ask_all(1)?;
    let asked = (scene.upstream.counts().udp, other.counts().udp);
    ensure!(asked == (2, 1), "{asked:?}");
    let private = format!("{zone}server:\n  private-address: 192.0.2.0/24\n");
    server.reload(&scene.config(&private))?;
    server.wait_for_line("private-address has changed", PATIENCE * 2)?;
    ask_all(0)?;
    server.expect_sum("msg.cache.", "flushed", 3)
}

/// A question that the old engine has when the new one takes over: whoever asked it may have its answer, nobody else.
fn what_the_old_engine_finds_late_is_not_kept() -> Result<()> {
    const NAME: &str = "late.upstream.example";
    let silent = |silent| Knobs {
        silent,
        ..Knobs::default()
    };
    let scene = Scene::new(1)?;
    let server = scene.start("")?;
    let before = scene.upstream.counts().udp;
    scene.upstream.set(silent(true));
    thread::scope(|scope| {
        let waiting = scope.spawn(|| ask(&scene, Path::Udp, NAME));
        let end = Instant::now() + PATIENCE;
        while scene.upstream.counts().udp == before {
            ensure!(Instant::now() < end, "nobody asks the upstream");
            thread::sleep(Duration::from_millis(2));
        }
        server.reload(&scene.config("  private-address: 192.0.2.0/24"))?;
        server.wait_for_line("private-address has changed", PATIENCE * 2)?;
        scene.upstream.set(silent(false));
        // The answer, or SERVFAIL where all this has taken too long.
        waiting.join().expect("no panic").map(drop)
    })?;
    for path in Path::ALL {
        let answer = ask(&scene, path, NAME)?;
        ensure!(answer.answer.is_empty(), "{path}: {answer:?}");
    }
    Ok(())
}

fn a_bad_file_changes_nothing() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(&local(1))?;
    for (bad, part) in [
        ("server:\n  inferface: 10.11.1.1\n", "inferface"),
        (
            "server:\n  access-control: 10.11.1.0/33 allow\n",
            "10.11.1.0/33",
        ),
        (
            "server:\n  local-data: \"host.local.example A 1.2.3\"\n",
            "1.2.3",
        ),
    ] {
        server.reload(bad)?;
        server.wait_for_line(part, PATIENCE)?;
        for path in Path::ALL {
            ensure!(
                last_byte(&scene, path)? == 1,
                "{bad:?} changed the answers over {path}"
            );
        }
        ask(
            &scene,
            Path::Xdp,
            &format!("{}.upstream.example", bad.len()),
        )?;
    }
    server.reload(&scene.config(&local(3)))?;
    wait_for(&scene, Path::Xdp, 3)
}

/// `incoming-num-tcp: 0`, at the start and by a reload: connections are refused, UDP goes on.
fn without_places_for_tcp_nobody_connects() -> Result<()> {
    let scene = Scene::new(1)?;
    let none = format!("{}\n  incoming-num-tcp: 0", local(1));
    let server = scene.start(&none)?;
    let connects = || {
        let connect = || TcpStream::connect_timeout(&(SERVER_V4, 53).into(), PATIENCE).is_ok();
        scene.client.enter(connect)
    };
    for (config, wanted) in [(None, false), (Some(local(2)), true), (Some(none), false)] {
        if let Some(config) = config {
            server.reload(&scene.config(&config))?;
        }
        let end = Instant::now() + PATIENCE;
        while connects() != wanted {
            ensure!(Instant::now() < end, "a connection: not {wanted}");
            thread::sleep(Duration::from_millis(5));
        }
        for path in [Path::Xdp, Path::Udp] {
            last_byte(&scene, path)?;
        }
    }
    Ok(())
}

/// Clients ask for hits and misses on every path while the configuration is read again and again.
fn no_query_is_lost() -> Result<()> {
    const RELOADS: u8 = 10;
    let scene = Scene::new(2)?;
    let server = scene.start(&local(0))?;
    let (stop, asked) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        let client = |path: Path, kind: &'static str| {
            let (scene, stop, asked) = (&scene, &stop, &asked);
            move || -> Result<()> {
                let mut number = 0;
                while !stop.load(Ordering::Relaxed) {
                    number += 1;
                    let name = match kind {
                        "miss" => format!("r{number}.{}.upstream.example", path.counters().len()),
                        _ => "host.local.example".to_owned(),
                    };
                    let answer = ask(scene, path, &name)?;
                    ensure!(
                        answer.rcode() == rcode::NOERROR,
                        "{name} over {path}: {answer:?}"
                    );
                    asked.fetch_add(1, Ordering::Relaxed);
                }
                Ok(())
            }
        };
        let mut clients = Vec::new();
        for path in Path::ALL {
            clients.push(scope.spawn(client(path, "hit")));
            clients.push(scope.spawn(client(path, "miss")));
        }
        let reloads = (1..=RELOADS).try_for_each(|last| {
            server.reload(&scene.config(&local(last)))?;
            wait_for(&scene, Path::Xdp, last)
        });
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            client.join().expect("no panic")?;
        }
        reloads
    })?;
    let asked = asked.into_inner();
    ensure!(
        asked > u64::from(RELOADS) * 6,
        "only {asked} questions in {RELOADS} reloads"
    );
    Ok(())
}

/// Clients that wait for nothing ask for hits and for misses, some of which are always under way, while each reload
/// brings another upstream and other local data.
fn no_query_is_lost_under_open_load() -> Result<()> {
    const RELOADS: u8 = 6;
    const RATE: u32 = 1_000;
    let scene = Scene::new(1)?;
    let other = scene.other_upstream()?;
    let server = scene.start(&local(0))?;
    let link = SocketAddr::new(SERVER_V4, 53);
    let loopback = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 53);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let client = |netns, to, path| {
            let stop = &stop;
            let ask = move || ask_open_loop(to, RATE, stop, PATIENCE, |id| mixed(path, id));
            scope.spawn(move || Netns::enter(netns, ask))
        };
        let clients = [
            client(&scene.client, link, "xdp"),
            client(&scene.server, loopback, "udp"),
        ];
        let reloads = (1..=RELOADS).try_for_each(|last| {
            let due = Instant::now() + Duration::from_secs(1);
            let config = scene.config(&local(last));
            let (config, upstream) = if last % 2 == 1 {
                let there = scene.upstream.to_string();
                (config.replace(&there, &other.to_string()), &other)
            } else {
                (config, &scene.upstream)
            };
            let before = upstream.counts().udp;
            server.reload(&config)?;
            wait_for(&scene, Path::Xdp, last)?;
            // On with the load for a second, and at least until the new upstream is asked.
            while Instant::now() < due || upstream.counts().udp == before {
                ensure!(Instant::now() < due + PATIENCE, "the upstream is not used");
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        });
        stop.store(true, Ordering::Relaxed);
        for client in clients {
            all_answered(&client.join().expect("no panic")?)?;
        }
        reloads
    })
}

/// One question in ten is a miss that takes a while.
fn mixed(path: &str, id: u16) -> Vec<u8> {
    let name = if id.is_multiple_of(10) {
        format!("m{id}{path}.delay30.upstream.example")
    } else {
        "host.local.example".to_owned()
    };
    query(&name, rtype::A).id(id).build()
}

fn all_answered(got: &OpenLoop) -> Result<()> {
    ensure!(got.sent > 3_000, "only {} questions", got.sent);
    let lost: Vec<u16> = (0..got.sent)
        .filter(|id| !got.answers.contains_key(id))
        .collect();
    ensure!(lost.is_empty(), "of {} are lost: {lost:?}", got.sent);
    for answer in got.answers.values() {
        let answer = Message::parse(answer)?;
        let good = answer.rcode() == rcode::NOERROR && answer.answer.len() == 1;
        ensure!(good, "{answer:?}");
    }
    Ok(())
}

fn who_waits_is_answered_before_the_end() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start("")?;
    thread::scope(|scope| {
        let clients = Path::ALL.map(|path| {
            let scene = &scene;
            let name = format!("delay600.{}.upstream.example", path.counters().len());
            scope.spawn(move || ask(scene, path, &name))
        });
        // SIGTERM comes once all three wait for the upstream.
        let end = Instant::now() + PATIENCE;
        while scene.upstream.counts().udp < 3 && Instant::now() < end {
            thread::sleep(Duration::from_millis(2));
        }
        server.process().signal(Signal::SIGTERM)?;
        for (client, path) in clients.into_iter().zip(Path::ALL) {
            let answer = client.join().expect("no panic")?;
            ensure!(answer.rcode() == rcode::NOERROR, "over {path}: {answer:?}");
        }
        let finished = server.finish(PATIENCE)?;
        ensure!(
            finished.success(),
            "{}\n{}",
            finished.status,
            finished.stderr
        );
        ensure!(
            scene.server_end().xdp_program()?.is_none(),
            "the XDP program is still there"
        );
        Ok(())
    })
}
