//! Kills under load, before an upstream that answers 2,000 queries a second and drops the rest.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use libtest_mimic::Trial;
use rustix::process::{Pid, Signal};

use crate::rig::{Rig, options, question};
use crate::trial;
use crate::upstream::Upstream;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("ten_kills_in_a_row_fail_nobody", || {
            let told = run(500, 10, Duration::from_secs(3));
            assert_eq!((told.failed, told.overloaded, told.restarts), (0, 0, 10));
            // A busy machine makes the upstream late now and then.
            assert!(told.servfail * 100 <= told.answered, "{told:?}");
        }),
        // What was in flight three times used to be given up: 25 % here, 39 % as clients saw it.
        trial("kills_before_an_overloaded_upstream_fail_few", || {
            let told = run(4000, 4, Duration::from_secs(3));
            assert!(told.restarts == 4 && told.overloaded > 0, "{told:?}");
            assert!(told.failed * 20 <= told.answered, "{told:?}");
        }),
    ]
}

const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 53);

/// What became of the misses.
#[derive(Debug, Default)]
struct Told {
    answered: usize,
    servfail: usize,
    failed: usize,
    overloaded: usize,
    restarts: u64,
}

/// Misses at a steady rate; kills spread evenly, whatever the engine is doing then.
fn run(per_second: u32, kills: u32, length: Duration) -> Told {
    let upstream = Upstream::start(ADDRESS);
    let mut rig = Rig::start(options(&upstream.conf()));
    let (start, mut asked, mut killed) = (Instant::now(), 0, 0);
    let mut told = Told::default();
    rig.run_until("the answers", |rig| {
        let elapsed = start.elapsed();
        let due = elapsed.min(length).as_secs_f64() * f64::from(per_second);
        while f64::from(asked) < due {
            let question = question(&format!("busy{asked}.zone{}.example", asked % 300));
            told.overloaded += usize::from(rig.ask(&question, asked).is_err());
            asked += 1;
        }
        if killed < kills
            && elapsed > length * (killed + 1) / (kills + 1)
            && let Some(pid) = rig.client.pid()
        {
            let pid = Pid::from_raw(pid.cast_signed()).unwrap();
            rustix::process::kill_process(pid, Signal::KILL).unwrap();
            killed += 1;
        }
        for (outcome, waiters) in rig.outcomes.drain(..) {
            match outcome.result {
                Ok(answer) if answer.rcode == 0 => told.answered += waiters.len(),
                Ok(_) => told.servfail += waiters.len(),
                Err(_) => told.failed += waiters.len(),
            }
        }
        elapsed >= length && rig.client.stats().waiting == 0
    });
    told.restarts = rig.client.stats().restarts;
    println!("{per_second}/s, {kills} kills: {told:?}");
    told
}
