//! `sluicegate checkconf` and `sluicegate stats` as people call them.

#![allow(clippy::unwrap_used)] // all of this is test code

mod common;

use common::{Folder, Setup, run, text};

fn check(arguments: &[&str], conf: &str) -> (i32, String, String) {
    let folder = Folder::new();
    let path = folder.path("test.conf");
    std::fs::write(&path, conf).unwrap();
    let path = text(&path);
    run(&[&["checkconf"], arguments, &[&path]].concat())
}

#[test]
fn a_good_file_exits_0() {
    let (code, out, errors) = check(&[], "server:\n  port: 5353\n");
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(out.contains("no errors in"), "{out}");
    assert_eq!(
        check(&["-q"], "server:\n  port: 5353\n"),
        (0, String::new(), String::new())
    );
}

#[test]
fn a_bad_file_exits_1_and_says_where() {
    for quiet in [&[][..], &["-q"]] {
        let (code, out, errors) = check(quiet, "server:\n  port: 5353\n  prot: 53\n");
        assert_eq!((code, out.as_str()), (1, ""));
        assert!(
            errors.contains("test.conf:3:3") && errors.contains("prot"),
            "{errors}"
        );
        assert!(errors.contains("port"), "the hint: {errors}");
    }
}

#[test]
fn what_only_the_server_would_find_is_found() {
    let (code, _, errors) = check(&[], "server:\n  local-data: \"x.test. A not-an-address\"\n");
    assert_eq!(code, 1);
    assert!(errors.contains("test.conf:2:"), "{errors}");
}

#[test]
fn one_option_is_printed() {
    let (code, out, _) = check(&["-o", "port"], "server:\n  port: 5353\n");
    assert_eq!((code, out.as_str()), (0, "5353\n"));
    let (code, _, errors) = check(&["-o", "nonsense"], "server:\n");
    assert_eq!(code, 1);
    assert!(errors.contains("nonsense"), "{errors}");
}

#[test]
fn a_missing_file_is_named() {
    let (code, _, errors) = run(&["checkconf", "/nonexistent/x.conf"]);
    assert_eq!(code, 1);
    assert!(errors.contains("/nonexistent/x.conf"), "{errors}");
    let (code, _, errors) = run(&["-c", "/nonexistent/x.conf"]);
    assert_eq!(code, 1);
    assert!(errors.contains("/nonexistent/x.conf"), "{errors}");
}

#[test]
fn stats_prints_totals_first() {
    let setup = Setup::new();
    let _server = setup.start("");
    let (code, out, errors) = run(&["-c", &text(&setup.config()), "stats"]);
    assert_eq!((code, errors.as_str()), (0, ""));
    assert!(
        out.starts_with(
            "total.num.queries=0\ntotal.num.queries_ip_ratelimited=0\ntotal.num.cachehits=0\ntotal.num.cachemiss=0\n"
        ),
        "{out}"
    );
    for name in [
        "udp.0.received=0",
        "udp.1.received=0",
        "tcp.received=0",
        "engine.running=1",
    ] {
        assert!(out.lines().any(|line| line == name), "{name} in {out}");
    }
    let (code, out, _) = run(&["stats", "-s", &text(&setup.control())]);
    assert!(code == 0 && out.contains("time.up="));
}

#[test]
fn stats_without_a_server_fails_clearly() {
    let (code, _, errors) = run(&["stats", "-s", "/nonexistent/control"]);
    assert_eq!(code, 1);
    assert!(
        errors.contains("no server answers on /nonexistent/control"),
        "{errors}"
    );
}

#[test]
fn the_readmes_clause_is_the_default() {
    let readme = include_str!("../../../README.md");
    let clause: String = readme
        .lines()
        .skip_while(|line| line.trim() != "xdp:")
        .take_while(|line| !line.is_empty())
        .map(|line| line.to_owned() + "\n")
        .collect();
    assert!(clause.contains("busy-poll:"), "{clause}");
    let (code, _, errors) = check(&[], &clause);
    assert_eq!((code, errors.as_str()), (0, ""));
}

#[test]
fn the_configuration_that_is_installed_can_be_used() {
    let installed = concat!(env!("CARGO_MANIFEST_DIR"), "/../../dist/sluicegate.conf");
    let text = std::fs::read_to_string(installed).unwrap();
    let folder = Folder::new();
    for name in ["conf.d", "state"] {
        std::fs::create_dir(folder.path(name)).unwrap();
    }
    // A pattern that nothing matches is told.
    std::fs::write(folder.path("conf.d/more.conf"), "server:\n  port: 5353\n").unwrap();
    let here = |name| common::text(&folder.path(name));
    let text = text
        .replace("/etc/sluicegate/conf.d", &here("conf.d"))
        .replace("/var/lib/sluicegate", &here("state"));
    let file = folder.path("sluicegate.conf");
    std::fs::write(&file, text).unwrap();
    let (code, _, told) = run(&["checkconf", &common::text(&file)]);
    assert_eq!((code, told.as_str()), (0, ""));
}
