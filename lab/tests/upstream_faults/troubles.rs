//! One upstream in trouble.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Scene};
use sluicegate_lab::upstream::Knobs;

use crate::load::{StopAtEnd, Tally, ask, is_answer, keep_asking};

/// Of two upstreams one says nothing: after the first questions nobody waits for it any more.
pub(crate) fn a_dead_upstream_is_gone_round() -> Result<()> {
    const QUESTIONS: usize = 60;
    let scene = Scene::new(1)?;
    let other = scene.other_upstream()?;
    other.set(Knobs {
        silent: true,
        ..Knobs::default()
    });
    let _server = scene.start(&format!(
        "forward-zone:\n  name: \"two.example\"\n  forward-addr: {}\n  forward-addr: {other}",
        scene.upstream
    ))?;
    let mut slow = 0;
    for number in 0..QUESTIONS {
        let asked = Instant::now();
        let answer = ask(&scene, &format!("q{number}.two.example"), PATIENCE)?;
        ensure!(is_answer(answer.as_ref()), "question {number}: {answer:?}");
        slow += usize::from(asked.elapsed() > Duration::from_millis(200));
    }
    ensure!(
        slow <= QUESTIONS / 6,
        "{slow} of {QUESTIONS} questions waited for the dead one"
    );
    let dead = other.counts().udp;
    ensure!(dead > 0, "the dead one was never asked: nothing was tested");
    ensure!(
        dead <= QUESTIONS as u64 / 2,
        "the dead one was asked {dead} times"
    );
    Ok(())
}

/// An upstream that takes 400 ms answers; patience costs less than asking again and again.
pub(crate) fn a_slow_upstream_is_not_asked_twice() -> Result<()> {
    const RATE: u32 = 100;
    let scene = Scene::new(1)?;
    let _server = scene.start("")?;
    scene.upstream.set(Knobs {
        delay: Duration::from_millis(400),
        ..Knobs::default()
    });
    let tally = two_seconds(&scene, RATE, |number| format!("s{number}.slow.example"))?;
    let asked = scene.upstream.counts().udp;
    ensure!(
        tally.good == tally.sent && tally.sent > 100,
        "{tally:?}, asked {asked} times"
    );
    ensure!(
        asked <= 2 * tally.sent as u64,
        "{tally:?}, asked {asked} times"
    );
    Ok(())
}

/// A quarter of all queries are lost on the way; clients notice delays.
pub(crate) fn a_lossy_upstream_costs_few_answers() -> Result<()> {
    const RATE: u32 = 100;
    let scene = Scene::new(1)?;
    let _server = scene.start("")?;
    scene.upstream.set(Knobs {
        loss_percent: 25,
        ..Knobs::default()
    });
    let tally = two_seconds(&scene, RATE, |number| format!("l{number}.lossy.example"))?;
    let asked = scene.upstream.counts().udp;
    // All of five attempts are lost once in a thousand times.
    ensure!(
        tally.sent > 100 && tally.good * 100 >= tally.sent * 97,
        "{tally:?}, asked {asked} times"
    );
    ensure!(
        asked > tally.sent as u64,
        "nothing was lost: {tally:?}, asked {asked} times"
    );
    ensure!(
        asked <= 3 * tally.sent as u64,
        "{tally:?}, asked {asked} times"
    );
    Ok(())
}

/// There for half a second, away for half a second: what is asked while it is there is mostly answered, and when it
/// stays everything is.
pub(crate) fn a_flapping_upstream_is_used_when_it_is_there() -> Result<()> {
    const RATE: u32 = 50;
    const TURNS: u32 = 4;
    let scene = Scene::new(1)?;
    let server = scene.start("")?;
    ensure!(
        is_answer(ask(&scene, "hit.flap.example", PATIENCE)?.as_ref()),
        "the first question"
    );
    let stop = AtomicBool::new(false);
    let (hits, misses) = thread::scope(|scope| -> Result<_> {
        let hits =
            scope.spawn(|| keep_asking(&scene, RATE, &stop, |_| "hit.flap.example".to_owned()));
        let misses = scope.spawn(|| {
            keep_asking(&scene, RATE, &stop, |number| {
                format!("f{number}.flap.example")
            })
        });
        let stopping = StopAtEnd(&stop);
        for turn in 0..2 * TURNS {
            scene.upstream.set(Knobs {
                silent: turn % 2 == 0,
                ..Knobs::default()
            });
            thread::sleep(Duration::from_millis(500));
        }
        drop(stopping);
        Ok((
            hits.join().expect("no panic")?,
            misses.join().expect("no panic")?,
        ))
    })?;
    let asked = scene.upstream.counts().udp;
    ensure!(hits.good == hits.sent, "hits: {hits:?}");
    ensure!(
        misses.good * 10 >= misses.sent * 9,
        "misses: {misses:?}, asked {asked} times"
    );
    ensure!(
        asked <= 4 * misses.sent as u64,
        "misses: {misses:?}, asked {asked} times"
    );
    eprintln!("{misses:?}, asked {asked} times");
    // It stays: within seconds nothing fails any more.
    let back = Instant::now();
    let mut good = 0;
    for number in 0.. {
        let answer = ask(&scene, &format!("back{number}.flap.example"), PATIENCE)?;
        let answer = answer.context("silence")?;
        good = if is_answer(Some(&answer)) {
            good + 1
        } else {
            0
        };
        if good == 20 {
            break;
        }
        ensure!(
            back.elapsed() < PATIENCE,
            "{answer:?}, {PATIENCE:?} after it is back"
        );
        thread::sleep(Duration::from_millis(10));
    }
    server.expect_sum("engine.", "restarts", 0)
}

/// Sixty-four forged answers before each right one, from the right address and to the right port, with other IDs.
pub(crate) fn a_flood_of_forged_answers_is_ignored() -> Result<()> {
    const QUESTIONS: usize = 100;
    let scene = Scene::new(1)?;
    let server = scene.start("")?;
    scene.upstream.set(Knobs {
        forged: 64,
        ..Knobs::default()
    });
    for number in 0..QUESTIONS {
        let name = format!("forged{number}.upstream.example");
        let answer = ask(&scene, &name, PATIENCE)?.context("silence")?;
        let record = answer
            .answer
            .first()
            .with_context(|| format!("{answer:?}"))?;
        ensure!(
            record.rdata[..3] == [192, 0, 2],
            "taken: {:?}",
            record.rdata
        );
    }
    server.expect_sum("engine.", "restarts", 0)
}

/// What becomes of the questions of two seconds.
fn two_seconds(scene: &Scene, rate: u32, name: impl Fn(u16) -> String + Sync) -> Result<Tally> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let load = scope.spawn(|| keep_asking(scene, rate, &stop, &name));
        let stopping = StopAtEnd(&stop);
        thread::sleep(Duration::from_secs(2));
        drop(stopping);
        load.join().expect("no panic")
    })
}
