//! The engine dies, hangs, or loses its parent.

use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use sluicegate_engine::{Client, EngineOptions, Failure, StartError};

use crate::rig::{AS_ENGINE, LIMIT, Rig, options, question};
use crate::trial;
use crate::upstream::Upstream;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "killed_engine_answers_again_within_2_s",
            killed_engine_answers_again_within_2_s,
        ),
        trial(
            "ten_kills_under_load_lose_nothing",
            ten_kills_under_load_lose_nothing,
        ),
        trial(
            "a_question_is_not_sent_for_ever",
            a_question_is_not_sent_for_ever,
        ),
        trial("a_stuck_engine_is_replaced", a_stuck_engine_is_replaced),
        trial("stopping_leaves_no_process", stopping_leaves_no_process),
        trial("dropping_leaves_no_process", dropping_leaves_no_process),
        trial(
            "a_dead_parent_ends_the_engine",
            a_dead_parent_ends_the_engine,
        ),
        trial(
            "a_program_that_is_no_engine_is_an_error",
            a_program_that_is_no_engine_is_an_error,
        ),
        trial(
            "the_engine_started_by_hand_says_so",
            the_engine_started_by_hand_says_so,
        ),
    ]
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

fn pid(rig: &Rig) -> Pid {
    Pid::from_raw(rig.client.pid().unwrap().cast_signed()).unwrap()
}

fn is_there(pid: Pid) -> bool {
    std::path::Path::new(&format!("/proc/{}", pid.as_raw_nonzero())).exists()
}

fn killed_engine_answers_again_within_2_s() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    rig.ask(&question("hold.example"), 1).unwrap();
    rig.run_until("the upstream query", |_| {
        upstream.queries("hold.example") == 1
    });
    let old = pid(&rig);
    let killed = Instant::now();
    rustix::process::kill_process(old, Signal::KILL).unwrap();
    rig.ask(&question("plain.example"), 2).unwrap();
    assert_eq!(rig.outcome(2).unwrap().rcode, 0);
    let again = killed.elapsed();
    println!("answering again {again:?} after kill -9");
    assert!(again < Duration::from_secs(2));
    // What was in flight is asked again by the new engine.
    rig.run_until("the query sent again", |_| {
        upstream.queries("hold.example") >= 2
    });
    upstream.release();
    assert_eq!(rig.outcome(1).unwrap().rcode, 0);
    let stats = rig.client.stats();
    assert_eq!((stats.restarts, stats.failed, stats.expired), (1, 0, 0));
    assert!(stats.resent >= 1);
    assert!(pid(&rig) != old && !is_there(old), "no zombie");
}

fn ten_kills_under_load_lose_nothing() {
    let upstream = Upstream::start(ADDRESS);
    let mut options = options(&upstream.conf());
    options.threads = 2;
    let mut rig = Rig::start(options);
    let mut waiter = 0;
    for round in 0..10 {
        for _ in 0..100 {
            rig.ask(&question(&format!("www.load{waiter}.example")), waiter)
                .unwrap();
            waiter += 1;
        }
        let before = rig.outcomes.len();
        rig.run_until("an answer", |rig| rig.outcomes.len() > before);
        rustix::process::kill_process(pid(&rig), Signal::KILL).unwrap();
        rig.run_until("the loss", |rig| rig.client.stats().restarts == round + 1);
        rig.run_until("all answers", |rig| rig.client.stats().waiting == 0);
    }
    for (outcome, _) in &rig.outcomes {
        assert_eq!(
            outcome.result.as_ref().map(|answer| answer.rcode),
            Ok(0),
            "{}",
            outcome.question
        );
    }
    assert_eq!(
        rig.outcomes
            .iter()
            .map(|(_, waiters)| waiters.len())
            .sum::<usize>(),
        1000
    );
}

/// A question that makes the engine crash must not do so again and again.
fn a_question_is_not_sent_for_ever() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    rig.ask(&question("hold.example"), 1).unwrap();
    for sent in 1..=3 {
        rig.run_until("the upstream query", |_| {
            upstream.queries("hold.example") >= sent
        });
        let lost = pid(&rig);
        rustix::process::kill_process(lost, Signal::ABORT).unwrap();
        rig.run_until("the loss", |rig| {
            rig.client.pid() != Some(lost.as_raw_nonzero().get().cast_unsigned())
        });
    }
    assert_eq!(rig.outcome(1), Err(Failure::EngineEnded));
    assert_eq!(rig.client.stats().resent, 2);
    assert_eq!(rig.resolve(&question("plain.example")).rcode, 0);
}

fn a_stuck_engine_is_replaced() {
    let upstream = Upstream::start(ADDRESS);
    let mut options = options(&upstream.conf());
    options.heartbeat.interval = Duration::from_millis(50);
    options.heartbeat.limit = Duration::from_millis(500);
    let mut rig = Rig::start(options);
    let old = pid(&rig);
    rustix::process::kill_process(old, Signal::STOP).unwrap();
    rig.ask(&question("plain.example"), 1).unwrap();
    assert_eq!(rig.outcome(1).unwrap().rcode, 0);
    assert_eq!(rig.client.stats().restarts, 1);
    rig.run_until("the stuck one's end", |_| !is_there(old));
}

fn stopping_leaves_no_process() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    rig.ask(&question("silent.example"), 7).unwrap();
    rig.run_until("the upstream query", |_| {
        upstream.queries("silent.example") > 0
    });
    let pid = pid(&rig);
    let asked = Instant::now();
    assert_eq!(rig.client.stop(), [7]);
    println!("stopped in {:?}", asked.elapsed());
    assert!(!is_there(pid));
}

fn dropping_leaves_no_process() {
    let upstream = Upstream::start(ADDRESS);
    let rig = Rig::start(options(&upstream.conf()));
    let pid = pid(&rig);
    drop(rig);
    assert!(!is_there(pid));
}

/// The argument that makes this program the one in between.
pub(crate) const AS_PARENT: &str = "--as-a-parent-to-be-killed";

/// The program in between: starts an engine, tells its process, and waits to be killed.
pub(crate) fn parent_to_be_killed() -> ! {
    let client: Client<()> = Client::start(options("server:\n  verbosity: 0\n")).unwrap();
    println!("{}", client.pid().unwrap());
    loop {
        std::thread::park();
    }
}

fn a_dead_parent_ends_the_engine() {
    let mut parent = Command::new(std::env::current_exe().unwrap())
        .arg(AS_PARENT)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(parent.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    let engine = Pid::from_raw(line.trim().parse().unwrap()).unwrap();
    let exit = rustix::process::pidfd_open(engine, PidfdFlags::empty()).unwrap();
    parent.kill().unwrap();
    parent.wait().unwrap();
    let limit = Timespec::try_from(LIMIT).unwrap();
    let mut poll = [PollFd::new(&exit, PollFlags::IN)];
    assert_eq!(
        rustix::event::poll(&mut poll, Some(&limit)).unwrap(),
        1,
        "the engine has ended"
    );
}

fn a_program_that_is_no_engine_is_an_error() {
    let program = |program: &str| {
        Client::<u32>::start(EngineOptions {
            program: program.into(),
            ..EngineOptions::new("")
        })
        .map(drop)
    };
    assert!(matches!(
        program("/bin/false"),
        Err(StartError::Ended { .. })
    ));
    assert!(matches!(
        program("/does/not/exist"),
        Err(StartError::Spawn(_))
    ));
    let mut silent = EngineOptions::new("");
    silent.program = "/bin/sleep".into();
    silent.arguments = vec!["1000".into()];
    silent.start_limit = Duration::from_millis(100);
    assert!(matches!(
        Client::<u32>::start(silent).map(drop),
        Err(StartError::TimedOut)
    ));
    let none = EngineOptions {
        threads: 0,
        ..EngineOptions::new("")
    };
    assert!(matches!(
        Client::<u32>::start(none).map(drop),
        Err(StartError::Threads(0))
    ));
}

fn the_engine_started_by_hand_says_so() {
    let output = Command::new(std::env::current_exe().unwrap())
        .arg(AS_ENGINE)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not by hand"));
}
