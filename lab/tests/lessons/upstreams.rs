//! What goes to upstreams, what comes from them, and what is kept of it.

use std::collections::HashSet;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Path, Scene};
use sluicegate_lab::wire::{Message, query, rcode, rtype};

fn ask(scene: &Scene, path: Path, name: &str, qtype: u16) -> Result<Message> {
    let answer = scene.ask(
        path,
        &query(name, qtype).edns(1232, false).build(),
        PATIENCE,
    )?;
    Message::parse(&answer.with_context(|| format!("no answer on {name} over {path}"))?)
}

/// dnsdist 2: an answer that had to be fetched over TCP reaches clients that came by AF_XDP.
pub(crate) fn tcp_upstreams_serve_af_xdp_clients() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start("")?;
    let answer = ask(&scene, Path::Xdp, "tc.upstream.example", rtype::A)?;
    ensure!(
        answer.rcode() == rcode::NOERROR && answer.answer.len() == 1,
        "{answer:?}"
    );
    ensure!(
        scene.upstream.counts().tcp == 1,
        "{:?}",
        scene.upstream.counts()
    );
    server.expect_sum("xdp.", ".resolved", 1)?;
    Ok(())
}

/// dnsdist 10: answers with another ID, or from another port, are nobody's.
pub(crate) fn forged_answers_are_ignored() -> Result<()> {
    let scene = Scene::new(1)?;
    let _server = scene.start("")?;
    for number in 0..20 {
        let answer = ask(
            &scene,
            Path::Xdp,
            &format!("lie{number}.upstream.example"),
            rtype::A,
        )?;
        let rdata = &answer.answer.first().context("no record")?.rdata;
        ensure!(
            rdata[..3] == [192, 0, 2],
            "the forged answer was taken: {rdata:?}"
        );
    }
    Ok(())
}

/// dnsdist 10: neither ports nor IDs of upstream queries are fixed or in sequence.
pub(crate) fn ports_and_ids_are_random() -> Result<()> {
    const QUERIES: usize = 100;
    let scene = Scene::new(1)?;
    let _server = scene.start("")?;
    for number in 0..QUERIES {
        ask(
            &scene,
            Path::Xdp,
            &format!("q{number}.upstream.example"),
            rtype::A,
        )?;
    }
    let seen = scene.upstream.seen();
    ensure!(seen.len() >= QUERIES, "{} queries", seen.len());
    let ports: HashSet<u16> = seen.iter().map(|seen| seen.from.port()).collect();
    let ids: HashSet<u16> = seen.iter().map(|seen| seen.id).collect();
    let steps: HashSet<u16> = seen
        .windows(2)
        .map(|pair| pair[1].id.wrapping_sub(pair[0].id))
        .collect();
    // A hundred random ones of 65,536: fewer than 80 different ones don't happen.
    ensure!(
        ports.len() > 80,
        "only {} ports for {} queries",
        ports.len(),
        seen.len()
    );
    ensure!(
        ids.len() > 80,
        "only {} IDs for {} queries",
        ids.len(),
        seen.len()
    );
    ensure!(
        steps.len() > 80,
        "IDs in sequence: only {} different steps",
        steps.len()
    );
    Ok(())
}

/// Runbound 11: a full cache goes on taking new answers.
pub(crate) fn a_full_cache_takes_new_answers() -> Result<()> {
    const NAMES: u32 = 3000;
    let scene = Scene::new(1)?;
    let server = scene.start("  msg-cache-size: 128k\n  rrset-cache-size: 128k")?;
    for number in 0..NAMES {
        ask(
            &scene,
            Path::Xdp,
            &format!("fill{number}.upstream.example"),
            rtype::A,
        )?;
    }
    for number in 0..50 {
        let name = format!("late{number}.upstream.example");
        ask(&scene, Path::Xdp, &name, rtype::A)?;
        ask(&scene, Path::Xdp, &name, rtype::A)?;
    }
    // Every late name was a hit the second time, and no name was one the first time.
    server.expect_sum("xdp.", ".cache.hits", 50)?;
    Ok(())
}
