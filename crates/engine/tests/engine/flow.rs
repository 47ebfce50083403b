//! Full sockets in either direction, and an engine with nothing to do.

use std::net::Ipv4Addr;
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, Signal};
use sluicegate_engine::Question;

use crate::rig::{LIMIT, Rig, counts, cpu_of_engine, options};
use crate::trial;
use crate::upstream::{Upstream, name};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial(
            "an_engine_that_reads_late_gets_every_question",
            an_engine_that_reads_late_gets_every_question,
        ),
        trial(
            "a_parent_that_reads_late_gets_every_answer",
            a_parent_that_reads_late_gets_every_answer,
        ),
        trial("nothing_to_do_costs_nothing", nothing_to_do_costs_nothing),
    ]
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// More than a socket takes.
fn an_engine_that_reads_late_gets_every_question() {
    const QUESTIONS: u32 = 2000;
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    let pid = Pid::from_raw(rig.client.pid().unwrap().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::STOP).unwrap();
    let padding = ["x".repeat(60), "y".repeat(60), "z".repeat(60)].join(".");
    for waiter in 0..QUESTIONS {
        let question =
            Question::new(&name(&format!("q.{padding}.zone{waiter}.example")), 1, 1).unwrap();
        rig.ask(&question, waiter).unwrap();
    }
    rig.client
        .turn(Instant::now(), &mut |_, _| panic!("the engine is stopped"));
    rustix::process::kill_process(pid, Signal::CONT).unwrap();
    rig.run_until("all answers", |rig| {
        rig.outcomes.len() == QUESTIONS as usize
    });
    assert!(
        rig.outcomes
            .iter()
            .all(|(outcome, _)| outcome.result.as_ref().unwrap().rcode == 0)
    );
    assert_eq!(rig.client.stats().restarts, 0);
}

fn a_parent_that_reads_late_gets_every_answer() {
    // What a new engine gets before it has answered anything.
    const QUESTIONS: u32 = 100;
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    for waiter in 0..QUESTIONS {
        let question = Question::new(&name(&format!("big{waiter}.example")), 16, 1).unwrap();
        rig.ask(&question, waiter).unwrap();
    }
    rig.client.turn(Instant::now(), &mut |_, _| {
        panic!("nothing was asked before")
    });
    // 5 MB of answers for a socket of 200 kB: the engine keeps them, and takes no more questions.
    let end = Instant::now() + LIMIT;
    while upstream.tcp_queries() < QUESTIONS as usize {
        assert!(
            Instant::now() < end,
            "{} queries by TCP",
            upstream.tcp_queries()
        );
        std::thread::yield_now();
    }
    rig.run_until("all answers", |rig| {
        rig.outcomes.len() == QUESTIONS as usize
    });
    assert!(
        rig.outcomes
            .iter()
            .all(|(outcome, _)| counts(&outcome.result.as_ref().unwrap().wire).0 == 200)
    );
}

/// What a thread that spins for a second takes at least, however busy the machine is; one that sleeps takes far less,
/// though a wake-up may cost a millisecond here and there.
const SPINNING: Duration = Duration::from_millis(100);

/// Neither side may spin, before and after a restart.
fn nothing_to_do_costs_nothing() {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    for round in 0..2 {
        let pid = rig.client.pid().unwrap();
        let cpu = cpu_of_engine(&rig);
        let (end, mut wakes) = (Instant::now() + Duration::from_secs(1), 0);
        while let Some(left) = end.checked_duration_since(Instant::now()) {
            let left = Timespec::try_from(left).unwrap();
            let mut poll = [PollFd::from_borrowed_fd(rig.client.as_fd(), PollFlags::IN)];
            wakes += rustix::event::poll(&mut poll, Some(&left)).unwrap();
            rig.client
                .turn(Instant::now(), &mut |_, _| panic!("nothing was asked"));
        }
        let cpu = cpu_of_engine(&rig).saturating_sub(cpu);
        assert!(
            wakes < 20 && cpu < SPINNING,
            "round {round}: {wakes} wakes, {cpu:?} CPU"
        );
        rustix::process::kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL)
            .unwrap();
        rig.run_until("another engine", |rig| {
            rig.client.pid().is_some_and(|new| new != pid)
        });
        rig.run_until("its being ready", |rig| rig.client.is_ready());
    }
}
