//! Everything gone at once: all upstreams, and again, and again.

use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Scene};
use sluicegate_lab::upstream::{Knobs, Upstream};

use crate::load::{StopAtEnd, Tally, ask, is_answer, keep_asking};

/// Questions a second for names that nobody has asked for yet.
const MISSES: u32 = 200;
/// Questions a second for a name in the cache.
const HITS: u32 = 100;
/// How long upstreams are away, which is longer than libunbound takes to give them up; `SLUICEGATE_OUTAGE_SECS` sets
/// another time.
const OUTAGE: Duration = Duration::from_secs(8);
/// How soon after the outage names are resolved again.
const RECOVERY: Duration = Duration::from_secs(5);
/// How long a rush after the outage is looked for.
const AFTERMATH: Duration = Duration::from_secs(2);

fn outage_length() -> Duration {
    let seconds = std::env::var("SLUICEGATE_OUTAGE_SECS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok());
    seconds.map_or(OUTAGE, Duration::from_secs)
}

/// What an outage did.
#[derive(Debug)]
struct Outage {
    /// From the upstreams' return until a name was resolved again.
    recovery: Duration,
    /// Queries to upstreams while they were away.
    queries_during: u64,
    /// Queries to upstreams from their return until `asked_after` later.
    queries_after: u64,
    asked_after: Duration,
    hits: Tally,
    misses: Tally,
}

/// Both upstreams are silent for a while, under load. Hits go on; after the first seconds upstreams are hardly asked any
/// more; when they are back, names are resolved within seconds, and there is no rush.
pub(crate) fn an_outage_ends_when_the_upstreams_are_back() -> Result<()> {
    let scene = Scene::new(1)?;
    let upstreams = [&scene.upstream, &scene.other_upstream()?];
    let server = scene.start(&format!(
        "forward-zone:\n  name: \"two.example\"\n  forward-addr: {}\n  forward-addr: {}",
        upstreams[0], upstreams[1]
    ))?;
    let found = outage(&scene, upstreams, outage_length())?;
    eprintln!("{found:?}");
    ensure!(found.hits.good == found.hits.sent, "{found:?}");
    ensure!(found.misses.silent == 0, "{found:?}");
    ensure!(found.recovery < RECOVERY, "{found:?}");
    let asked = |time: Duration| u64::from(MISSES) * time.as_millis() as u64 / 1000;
    let first = asked(outage_length().min(OUTAGE));
    let rest = asked(outage_length().saturating_sub(OUTAGE));
    ensure!(
        found.queries_during <= 4 * first + rest / 10,
        "a storm: {found:?}"
    );
    ensure!(
        found.queries_after <= 2 * asked(found.asked_after),
        "a rush: {found:?}"
    );
    server.expect_sum("engine.", "restarts", 0)
}

fn outage(scene: &Scene, upstreams: [&Upstream; 2], length: Duration) -> Result<Outage> {
    let answer = ask(scene, "hit.two.example", PATIENCE)?;
    ensure!(is_answer(answer.as_ref()), "the first question: {answer:?}");
    let queries = || -> u64 { upstreams.iter().map(|upstream| upstream.counts().udp).sum() };
    let silent = |silent| {
        for upstream in upstreams {
            upstream.set(Knobs {
                silent,
                ..Knobs::default()
            });
        }
    };
    let stop = AtomicBool::new(false);
    let before = queries();
    let hit = |_| "hit.two.example".to_owned();
    let miss = |number| format!("m{number}.two.example");
    thread::scope(|scope| {
        let hits = scope.spawn(|| keep_asking(scene, HITS, &stop, hit));
        let misses = scope.spawn(|| keep_asking(scene, MISSES, &stop, miss));
        let stopping = StopAtEnd(&stop);
        silent(true);
        thread::sleep(length);
        let during = queries();
        silent(false);
        let back = Instant::now();
        let recovery = recover(scene, back)?;
        thread::sleep(AFTERMATH);
        let (asked_after, after) = (back.elapsed(), queries());
        drop(stopping);
        Ok(Outage {
            recovery,
            queries_during: during - before,
            queries_after: after - during,
            asked_after,
            hits: hits.join().expect("no panic")?,
            misses: misses.join().expect("no panic")?,
        })
    })
}

/// The time until a name is resolved again that nobody has asked for, at most until it is too late.
fn recover(scene: &Scene, back: Instant) -> Result<Duration> {
    for number in 0.. {
        let name = format!("back{number}.two.example");
        let answer = ask(scene, &name, Duration::from_millis(500))?;
        if is_answer(answer.as_ref()) || back.elapsed() > RECOVERY {
            break;
        }
        // SERVFAIL comes at once, and this is to be no load.
        thread::sleep(Duration::from_millis(20));
    }
    Ok(back.elapsed())
}
