//! What a reply looks like.

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Path, SILENCE, Scene};
use sluicegate_lab::wire::{Message, QuerySpec, query, rcode, rtype, udp_frame, udp_payload};

const BIG_LOCAL_DATA: &str = r#"
  local-zone: "local.example" static
  local-data: "host.local.example A 192.0.2.1"
  local-zone: "deny.example" deny
"#;

/// Local data with more than 512 bytes: four strings of 200.
fn big_local_data() -> String {
    let text = "x".repeat(200);
    let strings = (0..4).map(|n| format!("  local-data: 'big.local.example TXT \"{n}{text}\"'\n"));
    format!("{BIG_LOCAL_DATA}{}", strings.collect::<String>())
}

fn ask(scene: &Scene, path: Path, spec: &QuerySpec) -> Result<Message> {
    let answer = scene.ask(path, &spec.build(), PATIENCE)?;
    Message::parse(&answer.with_context(|| format!("no answer over {path} to {spec:?}"))?)
}

/// dnsdist 1: the client's kernel drops every datagram over IPv6 with checksum 0.
pub(crate) fn ipv6_replies_carry_a_checksum() -> Result<()> {
    let scene = Scene::new(1)?;
    let (raw, spec) = scene.raw(true, 4061)?;
    let server = scene.start(BIG_LOCAL_DATA)?;
    // Names of several lengths, so that odd and even payloads are summed up.
    for name in [
        "host.local.example",
        "a.upstream.example",
        "bc.upstream.example",
        "nx.upstream.example",
    ] {
        raw.send(&udp_frame(&spec, &query(name, rtype::A).build()))?;
        let ours = |frame: &[u8]| frame.get(56..58) == Some(&4061_u16.to_be_bytes());
        let frame = raw
            .receive(PATIENCE, ours)?
            .with_context(|| format!("no answer on {name}"))?;
        let (from, to, payload) = udp_payload(&frame)?.context("a UDP datagram")?; // its checksum is right
        ensure!(
            (from, to) == (spec.destination, spec.source),
            "from {from} to {to}"
        );
        Message::parse(&payload)?;
    }
    server.expect_sum("xdp.", ".replied", 4)?;
    Ok(())
}

/// dnsdist 3: an answer over the frame or the MTU comes as TC=1.
pub(crate) fn too_large_is_truncated_not_lost() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start("  max-udp-size: 65535")?;
    let spec = query("big.upstream.example", rtype::TXT).edns(65_535, false);
    let answer = ask(&scene, Path::Xdp, &spec)?;
    ensure!(
        answer.truncated() && answer.answer.is_empty() && answer.edns.is_some(),
        "{answer:?}"
    );
    // The second time it is a hit.
    let answer = ask(&scene, Path::Xdp, &spec)?;
    ensure!(
        answer.truncated() && answer.answer.is_empty() && answer.edns.is_some(),
        "{answer:?}"
    );
    server.expect_sum("xdp.", ".truncated", 2)?;
    ensure!(
        ask(&scene, Path::Tcp, &spec)?.answer.len() == 1,
        "over TCP it is whole"
    );
    Ok(())
}

/// dnsdist 4: the client's EDNS size counts for answers made locally too.
pub(crate) fn the_clients_size_holds() -> Result<()> {
    let scene = Scene::new(1)?;
    let _server = scene.start(&big_local_data())?;
    let plain = query("big.local.example", rtype::TXT);
    for path in [Path::Xdp, Path::Udp] {
        for spec in [
            plain.clone(),
            plain.clone().edns(512, false),
            plain.clone().edns(100, false),
        ] {
            let answer = scene
                .ask(path, &spec.build(), PATIENCE)?
                .context("no answer")?;
            ensure!(
                answer.len() <= 512,
                "{} bytes over {path} to {spec:?}",
                answer.len()
            );
            ensure!(
                Message::parse(&answer)?.truncated(),
                "no TC over {path} to {spec:?}"
            );
        }
        let answer = ask(&scene, path, &plain.clone().edns(1232, false))?;
        ensure!(
            !answer.truncated() && answer.answer.len() == 4,
            "over {path}: {answer:?}"
        );
    }
    Ok(())
}

/// dnsdist 5: RD and CD come back as they were sent.
pub(crate) fn rd_and_cd_come_back() -> Result<()> {
    let scene = Scene::new(1)?;
    let _server = scene.start(BIG_LOCAL_DATA)?;
    for name in [
        "host.local.example",
        "www.upstream.example",
        "www.upstream.example",
    ] {
        for (rd, cd) in [(true, false), (true, true), (false, true), (false, false)] {
            for path in Path::ALL {
                let answer = ask(&scene, path, &query(name, rtype::A).flags(rd, cd))?;
                let found = (answer.flags & 0x0100 != 0, answer.flags & 0x0010 != 0);
                ensure!(
                    found == (rd, cd),
                    "{name} over {path}: RD and CD {found:?}, not {:?}",
                    (rd, cd)
                );
            }
        }
    }
    Ok(())
}

/// dnsdist 6: "drop" means drop on AF_XDP too.
pub(crate) fn deny_is_silent_on_every_path() -> Result<()> {
    let scene = Scene::new(1)?;
    let server = scene.start(BIG_LOCAL_DATA)?;
    for path in [Path::Xdp, Path::Udp] {
        let answer = scene.ask(path, &query("a.deny.example", rtype::A).build(), SILENCE)?;
        ensure!(answer.is_none(), "over {path}: {answer:?}");
        server.expect_sum(path.counters(), ".drop.local-deny", 1)?;
    }
    Ok(())
}

/// Runbound 8: cached answers keep the client's case and OPT, negative ones their SOA.
pub(crate) fn cached_answers_keep_case_opt_and_soa() -> Result<()> {
    let scene = Scene::new(1)?;
    let _server = scene.start("")?;
    for (name, code) in [
        ("Www.UpStream.Example", rcode::NOERROR),
        ("NX.upstream.eXample", rcode::NXDOMAIN),
        ("NoData.Upstream.Example", rcode::NOERROR),
    ] {
        for path in [Path::Xdp, Path::Xdp, Path::Udp, Path::Tcp] {
            let spec = query(name, rtype::A).edns(1232, false);
            let bytes = scene
                .ask(path, &spec.build(), PATIENCE)?
                .context("no answer")?;
            let sent = spec.build();
            ensure!(
                bytes[12..12 + name.len() + 2] == sent[12..12 + name.len() + 2],
                "{name}: another case"
            );
            let answer = Message::parse(&bytes)?;
            ensure!(
                answer.rcode() == code && answer.edns.is_some(),
                "{name} over {path}: {answer:?}"
            );
            let soa = answer
                .authority
                .iter()
                .filter(|record| record.rtype == rtype::SOA)
                .count();
            let positive = name.starts_with('W');
            ensure!(
                (answer.answer.len() == 1) == positive,
                "{name} over {path}: {answer:?}"
            );
            ensure!(
                positive || soa == 1,
                "{name} over {path} has no SOA: {answer:?}"
            );
            let lower = query(&name.to_lowercase(), rtype::A);
            ensure!(
                ask(&scene, path, &lower)?.edns.is_none(),
                "OPT where none was sent"
            );
        }
    }
    Ok(())
}

/// Runbound 9: a reply has a hop limit of its own, not what was left of the query's.
pub(crate) fn the_hop_limit_is_our_own() -> Result<()> {
    for v6 in [false, true] {
        let scene = Scene::new(1)?;
        let (raw, spec) = scene.raw(v6, 4062)?;
        let _server = scene.start(BIG_LOCAL_DATA)?;
        raw.send(&udp_frame(
            &spec,
            &query("host.local.example", rtype::A).build(),
        ))?;
        let (port, limit) = if v6 { (56, 21) } else { (36, 22) };
        let ours = |frame: &[u8]| frame.get(port..port + 2) == Some(&4062_u16.to_be_bytes());
        let frame = raw.receive(PATIENCE, ours)?.context("no answer")?;
        ensure!(
            spec.hop_limit == 17 && frame[limit] == 64,
            "hop limit {}",
            frame[limit]
        );
    }
    Ok(())
}
