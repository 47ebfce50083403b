//! The program on loopback: answers, reload, the engine's death, the end.

#![allow(clippy::unwrap_used)] // all of this is test code

mod common;

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::{PATIENCE, Setup, ask_tcp, ask_udp, free, query, run, text, try_udp, wait_for};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

const UPSTREAM: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);

#[test]
fn local_data_misses_and_hits_are_answered_over_udp_and_tcp() {
    let setup = Setup::new();
    let server = setup.start("");
    let local = ask_udp(setup.address, &query(1, "hit.example"));
    assert_eq!(
        (local.rcode, local.answer),
        (0, Some((60, Ipv4Addr::new(192, 0, 2, 1))))
    );
    let first = ask_udp(setup.address, &query(2, "WwW.example"));
    assert_eq!(
        (first.id, first.rcode, first.answer),
        (2, 0, Some((300, UPSTREAM)))
    );
    assert_eq!(first.name, b"\x03WwW\x07example\0", "the client's own case");
    let asked = setup.upstream.asked();
    let (again, _stream) = ask_tcp(setup.address, &query(3, "www.EXAMPLE"));
    let (ttl, address) = again.answer.unwrap();
    assert!(ttl <= 300 && address == UPSTREAM);
    assert_eq!(
        setup.upstream.asked(),
        asked,
        "the second came from the cache"
    );
    server.expect_stat("total.num.queries", 3);
    server.expect_stat("total.num.cachehits", 1);
    server.expect_stat("tcp.cache.hits", 1);
    server.expect_stat("total.resolved", 1);
    server.expect_stat("total.replied", 3);
}

#[test]
fn a_reload_under_load_loses_nothing_and_keeps_the_cache() {
    let setup = Setup::new();
    let server = setup.start("");
    ask_udp(setup.address, &query(1, "cached.example"));
    let asked = setup.upstream.asked();
    let (stop, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    let more = free(Ipv4Addr::LOCALHOST);
    std::thread::scope(|scope| {
        for name in ["hit.example", "cached.example", "hit.example"] {
            let (stop, answered, address) = (&stop, &answered, setup.address);
            scope.spawn(move || {
                for id in (0..=u16::MAX).cycle() {
                    if stop.load(Relaxed) {
                        return;
                    }
                    // No second try: one lost query fails the test.
                    let reply = try_udp(address, &query(id, name), PATIENCE);
                    assert_eq!(reply.expect("a reply during a reload").rcode, 0);
                    answered.fetch_add(1, Relaxed);
                }
            });
        }
        for round in 1..=6 {
            let extra = if round % 2 == 1 {
                format!("interface: {}@{}", more.ip(), more.port())
            } else {
                String::new()
            };
            setup.write(&format!(
                "  local-data: \"round{round}.example. A 192.0.2.{round}\"\n  {extra}\n"
            ));
            server.reload();
            let reply = ask_udp(setup.address, &query(9, &format!("round{round}.example")));
            assert_eq!(reply.answer.unwrap().1, Ipv4Addr::new(192, 0, 2, round));
            if round % 2 == 1 {
                assert_eq!(
                    ask_udp(more, &query(9, "hit.example")).rcode,
                    0,
                    "on the new address"
                );
            }
        }
        stop.store(true, Relaxed);
    });
    assert!(
        answered.load(Relaxed) > 100,
        "there was no load to speak of"
    );
    assert_eq!(setup.upstream.asked(), asked, "the cache was kept");
    assert_eq!(server.stat("total.failed"), 0);
}

#[test]
fn a_bad_reload_changes_nothing_and_says_where() {
    let setup = Setup::new();
    let server = setup.start("");
    setup.write("  local-data: \"other.example. A 192.0.2.9\"\n  no-such-option: yes\n");
    server.reload();
    let log = server.log();
    assert!(
        log.contains("reload failed, the old configuration stays"),
        "{log}"
    );
    assert!(
        log.contains("sluicegate.conf:") && log.contains("no-such-option"),
        "{log}"
    );
    assert_eq!(ask_udp(setup.address, &query(1, "hit.example")).rcode, 0);
    assert_eq!(
        ask_udp(setup.address, &query(2, "other.example"))
            .answer
            .unwrap()
            .1,
        UPSTREAM
    );
    // And a good one takes effect after it.
    setup.write("  local-data: \"third.example. A 192.0.2.3\"\n");
    server.reload();
    assert_eq!(
        ask_udp(setup.address, &query(3, "third.example"))
            .answer
            .unwrap()
            .1,
        Ipv4Addr::new(192, 0, 2, 3)
    );
}

#[test]
fn options_that_need_a_restart_are_named() {
    let setup = Setup::new();
    let server = setup.start("");
    setup.write("  msg-cache-size: 16m\n");
    server.reload();
    server.wait_for_log("a restart is needed for: msg-cache-size");
}

#[test]
fn another_resolver_configuration_reaches_the_engine() {
    let (setup, other) = (Setup::new(), Setup::new());
    let server = setup.start("");
    assert_eq!(ask_udp(setup.address, &query(1, "one.example")).rcode, 0);
    let before = server.stat("engine.pid");
    let text = std::fs::read_to_string(setup.config()).unwrap();
    let (old, new) = (setup.upstream.address.port(), other.upstream.address.port());
    std::fs::write(
        setup.config(),
        text.replace(&old.to_string(), &new.to_string()),
    )
    .unwrap();
    server.reload();
    assert_ne!(server.stat("engine.pid"), before);
    assert_eq!(ask_udp(setup.address, &query(2, "two.example")).rcode, 0);
    assert!(other.upstream.asked() > 0);
}

#[test]
fn the_engine_s_death_costs_misses_a_moment_and_hits_nothing() {
    let setup = Setup::new();
    let server = setup.start("");
    assert_eq!(ask_udp(setup.address, &query(1, "kept.example")).rcode, 0);
    let engine = server.stat("engine.pid");
    kill(
        Pid::from_raw(i32::try_from(engine).unwrap()),
        Signal::SIGKILL,
    )
    .unwrap();
    let start = Instant::now();
    for id in 0..200 {
        let reply = try_udp(
            setup.address,
            &query(id, "kept.example"),
            Duration::from_secs(1),
        );
        assert_eq!(reply.expect("a hit while the engine is away").rcode, 0);
    }
    let reply = ask_udp(setup.address, &query(2, "fresh.example"));
    assert_eq!((reply.rcode, reply.answer.unwrap().1), (0, UPSTREAM));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "{:?}",
        start.elapsed()
    );
    assert_ne!(server.stat("engine.pid"), engine);
}

#[test]
fn the_end_answers_those_who_wait_and_leaves_nothing() {
    let setup = Setup::new();
    let mut server = setup.start("");
    let pid_file = setup.folder.path("pid");
    assert_eq!(
        std::fs::read_to_string(&pid_file).unwrap().trim(),
        server.pid().to_string()
    );
    let address = setup.address;
    let waiting = std::thread::spawn(move || ask_udp(address, &query(1, "slow.example")));
    wait_for("the question to be on its way", || {
        server.stat("total.handed-off") == 1
    });
    let start = Instant::now();
    server.signal(Signal::SIGTERM);
    assert_eq!(waiting.join().unwrap().answer.unwrap().1, UPSTREAM);
    assert!(server.wait().success());
    assert!(start.elapsed() < Duration::from_secs(4));
    assert!(!pid_file.exists() && !setup.control().exists());
    // The port is free again at once.
    drop(setup.start(""));
}

#[test]
fn a_second_signal_ends_at_once() {
    let setup = Setup::new();
    let mut server = setup.start("");
    let address = setup.address;
    let _waiting = std::thread::spawn(move || {
        try_udp(address, &query(1, "mute.example"), Duration::from_secs(1))
    });
    wait_for("the question to be on its way", || {
        server.stat("total.handed-off") == 1
    });
    server.signal(Signal::SIGTERM);
    server.wait_for_log("answering those who wait");
    server.signal(Signal::SIGTERM);
    assert_eq!(server.wait().code(), Some(128 + 15));
}

#[test]
fn a_port_in_use_is_told_with_its_holder() {
    let setup = Setup::new();
    let server = setup.start("");
    let config = text(&setup.config());
    let (code, _, errors) = run(&["-c", &config]);
    assert_eq!(code, 1);
    let holder = format!(
        "the port is in use by sluicegate (process {})",
        server.pid()
    );
    assert!(
        errors.contains(&setup.address.to_string()) && errors.contains(&holder),
        "{errors}"
    );
    assert_eq!(
        ask_udp(setup.address, &query(1, "hit.example")).rcode,
        0,
        "the first goes on"
    );
    assert!(
        setup.folder.path("pid").exists() && setup.control().exists(),
        "and keeps its files"
    );
}

#[test]
fn an_idle_server_uses_no_cpu_even_with_a_connection_open() {
    let setup = Setup::new();
    let server = setup.start("");
    // What made another server spin: one ordinary query over TCP.
    let (_, _open) = ask_tcp(setup.address, &query(1, "hit.example"));
    let (_, half) = ask_tcp(setup.address, &query(2, "www.example"));
    half.shutdown(std::net::Shutdown::Write).unwrap();
    let before = server.cpu_ticks();
    std::thread::sleep(Duration::from_secs(2));
    let used = server.cpu_ticks() - before;
    assert!(used <= 4, "{used} ticks of 10 ms in 2 s");
}

#[test]
fn the_log_file_is_opened_anew_by_a_reload() {
    let setup = Setup::new();
    let file = setup.folder.path("server.log");
    let server = setup.start(&format!("  logfile: \"{}\"\n", file.display()));
    let holds = |words: &str| std::fs::read_to_string(&file).is_ok_and(|log| log.contains(words));
    wait_for("the log file", || holds("info: start of service"));
    let line = std::fs::read_to_string(&file).unwrap();
    let form = format!("] sluicegate[{}:0] info: ", server.pid());
    assert!(line.starts_with('[') && line.contains(&form), "{line}");
    std::fs::rename(&file, setup.folder.path("server.log.1")).unwrap();
    server.signal(Signal::SIGHUP);
    wait_for("the new log file", || holds("configuration reloaded"));
}

#[test]
fn statistics_are_logged_at_intervals() {
    let setup = Setup::new();
    let server = setup.start("  statistics-interval: 1\n");
    ask_udp(setup.address, &query(1, "hit.example"));
    server.wait_for_log("total received=1 replied=1 local=1");
}

#[test]
fn the_client_is_refused_unless_allowed() {
    let setup = Setup::new();
    let _server = setup.start("  access-control: 127.0.0.1/32 refuse\n");
    assert_eq!(ask_udp(setup.address, &query(1, "hit.example")).rcode, 5);
}
