//! Water torture: names below one zone that nobody else would ask for, thousands a second.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Scene};
use sluicegate_lab::upstream::Knobs;

use crate::load::{StopAtEnd, ask, hit_times, is_answer, keep_asking_for, resident_bytes};

/// Questions a second, each for another name.
const RATE: u32 = 10_000;
/// How long the victim's servers take: what the engine has room for is full of questions for them.
const VICTIMS_DELAY: Duration = Duration::from_secs(1);
/// How long hits are measured, with and without.
const LENGTH: Duration = Duration::from_secs(2);
/// By how much the median of hits may grow. Attack, server and upstream share the machine's few cores, which alone
/// doubles it and more.
const MAX_RATIO: u32 = 20;
/// What no hit takes, attack or not, on a machine that is not overloaded altogether.
const MAX_HIT: Duration = Duration::from_millis(5);
/// By how much either process may grow: caches of 4 MiB, questions in flight, replies that wait.
const MAX_GROWTH_BYTES: u64 = 96 << 20;

/// The zone's servers take their time, as attacked ones do. Hits hardly notice, memory stays bounded, and other names
/// are still resolved.
pub(crate) fn water_torture_leaves_hits_alone() -> Result<()> {
    let scene = Scene::new(1)?;
    let victim = scene.other_upstream()?;
    victim.set(Knobs {
        delay: VICTIMS_DELAY,
        ..Knobs::default()
    });
    let server = scene.start(&format!(
        "forward-zone:\n  name: \"victim.example\"\n  forward-addr: {victim}"
    ))?;
    ensure!(
        is_answer(ask(&scene, "hit.upstream.example", PATIENCE)?.as_ref()),
        "the first question"
    );
    let engine = *server.children()?.first().context("no engine")?;
    let pids = [server.process().pid(), engine];
    let memory = || -> Result<Vec<u64>> { pids.iter().map(|pid| resident_bytes(*pid)).collect() };
    let (calm, calm_slowest) = hit_times(&scene, "hit.upstream.example", LENGTH)?;
    let before = memory()?;
    let stop = AtomicBool::new(false);
    let (busy, busy_slowest, others, attack, after) = thread::scope(|scope| -> Result<_> {
        let attack = scope.spawn(|| {
            keep_asking_for(&scene, RATE, &stop, Duration::ZERO, |number| {
                format!("nx{number:05}.victim.example")
            })
        });
        let stopping = StopAtEnd(&stop);
        // Until the engine has all it can take.
        thread::sleep(Duration::from_millis(500));
        let (busy, busy_slowest) = hit_times(&scene, "hit.upstream.example", LENGTH)?;
        let mut others = 0;
        for number in 0..20 {
            let answer = ask(&scene, &format!("other{number}.upstream.example"), PATIENCE)?;
            others += usize::from(is_answer(answer.as_ref()));
        }
        let after = memory()?;
        drop(stopping);
        let attack = attack.join().expect("no panic")?;
        Ok((busy, busy_slowest, others, attack, after))
    })?;
    let growth: Vec<u64> = after
        .iter()
        .zip(&before)
        .map(|(after, before)| after.saturating_sub(*before) >> 20)
        .collect();
    let said = format!(
        "hits: median {calm:?} alone, {busy:?} under attack (slowest {calm_slowest:?}, {busy_slowest:?}); {others} of 20 other names; server and engine grew by {growth:?} MiB; attack {attack:?}, {:?} reached the victim",
        victim.counts()
    );
    eprintln!("{said}");
    ensure!(attack.sent > 10_000, "too slow an attack: {said}");
    ensure!(busy <= calm * MAX_RATIO && busy <= MAX_HIT, "{said}");
    ensure!(
        growth.iter().all(|growth| growth << 20 <= MAX_GROWTH_BYTES),
        "{said}"
    );
    ensure!(others >= 18, "{said}");
    server.expect_sum("engine.", "restarts", 0)
}
