//! What the cache does beside answering: it bridges an outage, refreshes what is popular before it ends, and asks
//! no more than need be for what fails.

use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::scene::{PATIENCE, Path, Scene};
use sluicegate_lab::upstream::Knobs;
use sluicegate_lab::wire::{Message, query, rcode, rtype};

fn main() -> ExitCode {
    suite("cache_behaviour")
        .test(
            "expired_answers_bridge_an_outage",
            needs![Root, Netns],
            expired_answers_bridge_an_outage,
        )
        .test(
            "popular_answers_are_refreshed_before_they_end",
            needs![Root, Netns],
            popular_answers_are_refreshed_before_they_end,
        )
        .test(
            "failures_are_not_asked_for_again_and_again",
            needs![Root, Netns],
            failures_are_not_asked_for_again_and_again,
        )
        .run()
}

/// An answer, and how long it took.
struct Answer {
    message: Message,
    took: Duration,
}

impl Answer {
    /// The code of the extended error (RFC 8914).
    fn ede(&self) -> Option<u16> {
        let options = &self.message.edns.as_ref()?.options;
        let mut rest = &options[..];
        while let Some((head, behind)) = rest.split_first_chunk::<4>() {
            let len = usize::from(u16::from_be_bytes([head[2], head[3]]));
            let (data, next) = behind.split_at_checked(len)?;
            if head[..2] == [0, 15] {
                return Some(u16::from_be_bytes([*data.first()?, *data.get(1)?]));
            }
            rest = next;
        }
        None
    }

    fn ttl(&self) -> Option<u32> {
        self.message.answer.first().map(|record| record.ttl_secs)
    }
}

fn ask(scene: &Scene, path: Path, name: &str) -> Result<Answer> {
    let message = query(name, rtype::A).edns(1232, false).build();
    let start = Instant::now();
    let reply = scene.ask(path, &message, PATIENCE)?;
    let took = start.elapsed();
    let reply = reply.with_context(|| format!("no answer over {path} for {name}"))?;
    Ok(Answer {
        message: Message::parse(&reply)?,
        took,
    })
}

/// AA, in the flags of a message.
const AUTHORITATIVE: u16 = 0x0400;

const SILENT: Knobs = Knobs {
    delay: Duration::ZERO,
    silent: true,
    loss_percent: 0,
    forged: 0,
};

/// What is nothing but a hit takes no longer, on a busy machine.
const AT_ONCE: Duration = Duration::from_millis(500);

fn expired_answers_bridge_an_outage() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start("  serve-expired: yes")?;
    let name = "ttl2.bridge.example";
    let fresh = ask(&scene, Path::Xdp, name)?;
    ensure!(fresh.ttl() == Some(2) && fresh.ede().is_none());
    ensure!(
        fresh.message.flags & AUTHORITATIVE == 0,
        "the upstream's AA"
    );
    ask(&scene, Path::Udp, "unknown.bridge.example")?;
    scene.upstream.set(SILENT);
    // What is waited for here is time itself.
    sleep(Duration::from_millis(3100));
    let waited = ask(&scene, Path::Xdp, name)?;
    let range = Duration::from_millis(1700)..Duration::from_secs(3);
    ensure!(
        range.contains(&waited.took),
        "the first client waited for {:?}",
        waited.took
    );
    for path in Path::ALL {
        let stale = ask(&scene, path, name)?;
        let what = (stale.message.rcode(), stale.ttl(), stale.ede());
        ensure!(
            what == (rcode::NOERROR, Some(30), Some(3)),
            "{path}: {what:?}"
        );
        ensure!(stale.message == waited.message, "{path}: other bytes");
        ensure!(stale.took < AT_ONCE, "{path}: after {:?}", stale.took);
    }
    server.expect_sum("total.", "num.expired", 4)?;
    scene.upstream.set(Knobs::default());
    let back = Instant::now();
    loop {
        let answer = ask(&scene, Path::Udp, name)?;
        ensure!(answer.message.rcode() == rcode::NOERROR && answer.took < AT_ONCE);
        if answer.ede().is_none() {
            ensure!(answer.ttl().is_some_and(|ttl| ttl <= 2));
            return Ok(());
        }
        ensure!(back.elapsed() < Duration::from_secs(5), "still stale");
        sleep(Duration::from_millis(50));
    }
}

fn popular_answers_are_refreshed_before_they_end() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start("  prefetch: yes")?;
    let name = "ttl5.popular.example";
    ask(&scene, Path::Xdp, name)?;
    ensure!(scene.upstream.counts().udp == 1);
    // From now on every answer that is waited for takes long; but not so long that libunbound asks twice.
    scene.upstream.set(Knobs {
        delay: Duration::from_millis(300),
        silent: false,
        ..Knobs::default()
    });
    let start = Instant::now();
    // Its last second comes and goes, and so does the whole of it.
    while start.elapsed() < Duration::from_millis(6500) {
        for path in Path::ALL {
            let answer = ask(&scene, path, name)?;
            ensure!(answer.message.rcode() == rcode::NOERROR);
        }
        sleep(Duration::from_millis(20));
    }
    let asked = scene.upstream.counts().udp;
    ensure!(
        asked == 2,
        "{asked} queries upstream, one of them the first"
    );
    let stats = server.stats()?;
    ensure!(stats.get("engine.refresh.fresh") == Some(&1), "{stats:?}");
    ensure!(stats.get("total.num.prefetch") >= Some(&1), "{stats:?}");
    // Nobody waited but the first.
    ensure!(stats.get("total.num.cachemiss") == Some(&1), "{stats:?}");
    Ok(())
}

fn failures_are_not_asked_for_again_and_again() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start("")?;
    let name = "servfail.failing.example";
    ask(&scene, Path::Xdp, name)?;
    let once = scene.upstream.counts().udp;
    let start = Instant::now();
    let mut answers = 0;
    while start.elapsed() < Duration::from_millis(3500) {
        for path in Path::ALL {
            let answer = ask(&scene, path, name)?;
            let what = (answer.message.rcode(), answer.ede());
            ensure!(what == (rcode::SERVFAIL, Some(22)), "{path}: {what:?}");
            answers += 1;
        }
        sleep(Duration::from_millis(10));
    }
    // It was tried again once, a second after it had failed.
    let asked = scene.upstream.counts().udp;
    ensure!(
        asked <= 2 * once,
        "{asked} queries upstream for {answers} failures, {once} for the first"
    );
    let remembered = server.stats()?.get("total.cache.failures").copied();
    ensure!(remembered >= Some(answers - 3), "{remembered:?}");
    Ok(())
}
