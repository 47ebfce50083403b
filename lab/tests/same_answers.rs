//! The same questions over AF_XDP, kernel UDP and TCP get the same bytes, TTL decay aside.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::scene::{PATIENCE, Path, SILENCE, Scene};
use sluicegate_lab::wire::{Message, QuerySpec, query, rtype, without_ttls};

fn main() -> ExitCode {
    suite("same_answers")
        .test(
            "two_hundred_questions",
            needs![Root, Netns],
            two_hundred_questions,
        )
        .test(
            "ttls_decay_on_every_path",
            needs![Root, Netns],
            ttls_decay_on_every_path,
        )
        .run()
}

const LOCAL_DATA: &str = r#"
  local-zone: "local.example" static
  local-data: "host.local.example 3600 IN A 192.0.2.1"
  local-data: "host.local.example 3600 IN AAAA 2001:db8::1"
  local-data: "host.local.example 3600 IN MX 10 mail.local.example"
  local-data: "host.local.example 3600 IN TXT \"one\" \"two\""
  local-data: "alias.local.example CNAME host.local.example"
  local-data: "_dns._udp.local.example SRV 1 2 53 host.local.example"
  local-data: "local.example NS ns.local.example"
  local-data: "local.example SOA ns.local.example admin.local.example 1 3600 600 86400 300"
  local-data-ptr: "192.0.2.1 host.local.example"
  local-zone: "redirect.example" redirect
  local-data: "redirect.example A 192.0.2.9"
  local-zone: "refuse.example" refuse
  local-zone: "deny.example" deny
  local-zone: "nx.example" always_nxdomain
  local-zone: "nodata.example" always_nodata
  local-zone: "inform.example" inform
  identity: "the gate"
  version: "of no importance"
  hide-identity: no
  hide-version: no
"#;

/// Name, type and class of the questions.
const QUESTIONS: [(&str, u16, u16); 38] = [
    // local data of each type
    ("host.local.example", rtype::A, 1),
    ("host.local.example", rtype::AAAA, 1),
    ("host.local.example", rtype::MX, 1),
    ("host.local.example", rtype::TXT, 1),
    ("host.local.example", rtype::ANY, 1),
    ("host.local.example", rtype::SRV, 1), // no data
    ("alias.local.example", rtype::A, 1),
    ("_dns._udp.local.example", rtype::SRV, 1),
    ("local.example", rtype::SOA, 1),
    ("local.example", rtype::NS, 1),
    ("nobody.local.example", rtype::A, 1),
    ("1.2.0.192.in-addr.arpa", rtype::PTR, 1),
    ("any.thing.redirect.example", rtype::A, 1),
    ("redirect.example", rtype::TXT, 1),
    ("a.refuse.example", rtype::A, 1),
    ("a.nx.example", rtype::A, 1),
    ("a.nodata.example", rtype::A, 1),
    ("ok.inform.example", rtype::A, 1),
    ("localhost", rtype::A, 1),
    ("1.168.192.in-addr.arpa", rtype::PTR, 1),
    // case
    ("HoSt.LoCaL.eXaMpLe", rtype::A, 1),
    ("wWw.UpStReAm.TeSt.ExAmPlE", rtype::A, 1),
    // what is fetched
    ("www.upstream.example", rtype::A, 1),
    ("www.upstream.example", rtype::AAAA, 1),
    ("www.upstream.example", rtype::MX, 1),
    ("www.upstream.example", rtype::TXT, 1),
    ("www.upstream.example", 65_280, 1),
    ("nx.upstream.example", rtype::A, 1),
    ("nodata.upstream.example", rtype::AAAA, 1),
    ("cname1.cname2.www.upstream.example", rtype::A, 1),
    ("big.upstream.example", rtype::TXT, 1),
    ("big.upstream.example", rtype::A, 1),
    ("tc.upstream.example", rtype::A, 1),
    ("ttl0.upstream.example", rtype::A, 1),
    // other classes and types
    ("version.bind", rtype::TXT, 3),
    ("id.server", rtype::TXT, 3),
    ("unknown.bind", rtype::TXT, 3),
    ("www.upstream.example", rtype::OPT, 1), // no type that can be asked for
];

/// The ways in which each question is asked.
fn variants(name: &str, qtype: u16, qclass: u16) -> [QuerySpec; 6] {
    let plain = query(name, qtype).class(qclass);
    [
        plain.clone(),
        plain.clone().edns(512, false),
        plain.clone().edns(1232, true),
        plain.clone().edns(4096, false),
        plain.clone().edns(4096, true).flags(true, true),
        plain.flags(false, false),
    ]
}

fn two_hundred_questions() -> Result<()> {
    let scene = Scene::new(2)?;
    let server = scene.start(LOCAL_DATA)?;
    let mut asked = 0;
    let mut wrong = Vec::new();
    for (name, qtype, qclass) in QUESTIONS {
        for spec in variants(name, qtype, qclass) {
            // Each path is the first to ask, and so the one that misses, for a third of the questions.
            let first = asked % Path::ALL.len();
            asked += 1;
            if let Err(error) = compare(&scene, &spec.id(asked as u16), first) {
                wrong.push(format!("{error:#}"));
            }
        }
    }
    let spec = query("a.deny.example", rtype::A);
    for path in [Path::Xdp, Path::Udp] {
        ensure!(
            scene.ask(path, &spec.build(), SILENCE)?.is_none(),
            "a denied zone is answered over {path}"
        );
        asked += 1;
    }
    ensure!(asked >= 200, "only {asked} questions");
    ensure!(
        wrong.is_empty(),
        "{} of {asked} differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    // AF_XDP carried its share, and the kernel's sockets got none of it.
    let questions = u64::try_from(QUESTIONS.len() * 6)?;
    for path in [Path::Xdp, Path::Udp, Path::Tcp] {
        server.expect_sum(path.counters(), ".replied", questions)?;
    }
    Ok(())
}

fn compare(scene: &Scene, spec: &QuerySpec, first: usize) -> Result<()> {
    let message = spec.build();
    let mut answers = [const { None }; 3];
    for turn in 0..3 {
        let which = (first + turn) % 3;
        let path = Path::ALL[which];
        let what = || format!("{path}: {spec:?}");
        let answer = scene.ask(path, &message, PATIENCE).with_context(what)?;
        answers[which] = Some(answer.context("no answer").with_context(what)?);
    }
    let [Some(xdp), Some(udp), Some(tcp)] = answers else {
        bail!("all were asked")
    };
    for answer in [&xdp, &udp, &tcp] {
        ensure!(answer[..2] == spec.id.to_be_bytes(), "{spec:?}: another ID");
        let question = message[12..]
            .split_inclusive(|byte| *byte == 0)
            .next()
            .unwrap_or_default();
        ensure!(
            answer[12..].starts_with(question),
            "{spec:?}: the case isn't the client's"
        );
        Message::parse(answer).with_context(|| format!("{spec:?}"))?;
    }
    let limit = usize::from(spec.udp_size.unwrap_or(512)).max(512);
    ensure!(
        xdp.len() <= limit && udp.len() <= limit,
        "{spec:?}: larger than the client's size"
    );
    ensure!(
        without_ttls(&xdp)? == without_ttls(&udp)?,
        "{spec:?}:\n{}",
        show(&xdp, &udp)
    );
    if Message::parse(&udp)?.truncated() {
        ensure!(
            !Message::parse(&tcp)?.truncated() && tcp.len() > udp.len(),
            "{spec:?}: truncated over TCP too"
        );
    } else {
        ensure!(
            without_ttls(&tcp)? == without_ttls(&udp)?,
            "{spec:?}:\n{}",
            show(&tcp, &udp)
        );
    }
    Ok(())
}

fn show(one: &[u8], other: &[u8]) -> String {
    format!("{:?}\n{:?}", Message::parse(one), Message::parse(other))
}

fn ttls_decay_on_every_path() -> Result<()> {
    let scene = Scene::new(1)?;
    let _server = scene.start("")?;
    let message = query("ttl100.www.upstream.example", rtype::A).build();
    let ttl = |path| -> Result<u32> {
        let answer = scene.ask(path, &message, PATIENCE)?.context("no answer")?;
        Message::parse(&answer)?
            .ttls()
            .first()
            .copied()
            .context("no record")
    };
    let fresh = ttl(Path::Xdp)?;
    ensure!((99..=100).contains(&fresh), "the fresh TTL is {fresh}");
    // What is waited for here is time itself.
    std::thread::sleep(Duration::from_millis(2100));
    for path in Path::ALL {
        let aged = ttl(path)?;
        ensure!(
            (96..=98).contains(&aged),
            "after two seconds the TTL over {path} is {aged}"
        );
    }
    ensure!(
        scene.upstream.counts().udp == 1,
        "the upstream was asked again"
    );
    Ok(())
}
