use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{PATIENCE, Path};
use sluicegate_lab::wire::{Message, QuerySpec, Record, ask_udp, encode_name, query, rcode, rtype};
use sluicegate_lab::world::{FORGED, World, Zone, zones};

use crate::site::Site;

/// Names of each attacked zone that are asked for.
const NAMES: u8 = 20;
/// What those have, the first of them; the next has the next address.
const FIRST_ADDRESS: [u8; 4] = [192, 0, 2, 131];
/// Queries that one delegation to a swarm of name servers may cost their zone. Unbound asks for some of them at a time,
/// and gives up after a few that don't exist.
const SWARM_BOUND: u64 = 40;

/// Servers of the world answer for their own zones and refer to those of their children: else nobody had to recurse.
pub(crate) fn parents_refer_to_their_children() -> Result<()> {
    let world = small_world(&["good.alpha."])?;
    let asked = query("www.good.alpha.", rtype::A).edns(1232, true).build();
    for (zone, child) in [
        (".", Some("alpha.")),
        ("alpha.", Some("good.alpha.")),
        ("good.alpha.", None),
    ] {
        let address = world.address(zone).context("it is in the world")?;
        let answer = world
            .netns()
            .enter(|| ask_udp((address, 53).into(), &asked, PATIENCE))?
            .with_context(|| format!("{zone}: no answer"))?;
        let answer = Message::parse(&answer)?;
        let refers = |record: &Record| {
            record.rtype == rtype::NS
                && child.is_some_and(|child| record.name == encode_name(child))
        };
        ensure!(
            answer.answer.is_empty() == child.is_some()
                && answer.authority.iter().any(refers) == child.is_some(),
            "{zone}: {answer:?}"
        );
    }
    Ok(())
}

/// Nothing forged is ever told to anybody, neither of the zone that is attacked nor of others.
pub(crate) fn forged_answers_are_not_believed() -> Result<()> {
    let world = small_world(&[
        "spoofed.plain.",
        "misasked.plain.",
        "victim.plain.",
        "good.alpha.",
    ])?;
    let site = Site::sluicegate(&world, "")?;
    for (path, dnssec_ok) in [(Path::Xdp, true), (Path::Udp, false), (Path::Tcp, true)] {
        let attacked = |zone: &'static str| {
            (0..NAMES).flat_map(move |number| {
                let name = format!("w{number}.{zone}.plain");
                [rtype::A, rtype::TXT].map(|qtype| query(&name, qtype).edns(1232, dnssec_ok))
            })
        };
        let spoofed: Vec<QuerySpec> = attacked("spoofed").collect();
        for (index, answer) in site.ask_all(path, &spoofed)?.iter().enumerate() {
            expect_own(answer, index, path)?;
        }
        // Whoever sees the query can spoil it, but no more.
        let misasked: Vec<QuerySpec> = attacked("misasked").collect();
        for answer in &site.ask_all(path, &misasked)? {
            ensure!(!forged(answer), "{path}: {answer:?}");
        }
    }
    for path in Path::ALL {
        for (name, address) in [
            ("victim.plain", [192, 0, 2, 160]),
            ("good.alpha", [192, 0, 2, 80]),
        ] {
            let www = site.ask(path, &query(&format!("www.{name}"), rtype::A))?;
            ensure!(
                www.answer.len() == 1 && www.answer[0].rdata == address,
                "{path}: {www:?}"
            );
            let servers = site.ask(path, &query(name, rtype::NS).edns(1232, true))?;
            let server = site.ask(path, &query(&format!("ns.{name}"), rtype::A))?;
            ensure!(
                !forged(&servers) && !forged(&server),
                "{path}: {servers:?} {server:?}"
            );
        }
    }
    site.expect_all_paths()
}

fn expect_own(answer: &Message, index: usize, path: Path) -> Result<()> {
    ensure!(
        answer.rcode() == rcode::NOERROR && !forged(answer),
        "{path}: {answer:?}"
    );
    let number = u8::try_from(index / 2)?;
    let address = {
        let mut address = FIRST_ADDRESS;
        address[3] += number;
        address
    };
    let addresses: Vec<&[u8]> = answer
        .answer
        .iter()
        .map(|record| &record.rdata[..])
        .collect();
    let expected: &[&[u8]] = if index.is_multiple_of(2) {
        &[&address]
    } else {
        &[]
    };
    ensure!(addresses == expected, "{path}: {answer:?}");
    Ok(())
}

fn forged(answer: &Message) -> bool {
    [&answer.answer, &answer.authority, &answer.additional]
        .into_iter()
        .flatten()
        .any(|record| record.rdata == FORGED)
}

/// A delegation to many name servers that don't exist costs their zone few queries ("NXNS").
#[expect(clippy::print_stdout, reason = "how many it were")]
pub(crate) fn swarms_of_name_servers_are_bounded() -> Result<()> {
    let world = small_world(&["swarm.plain.", "swarmed.alpha."])?;
    let site = Site::sluicegate(&world, "")?;
    let asked: Vec<_> = (0..4)
        .map(|number| query(&format!("www.d{number}.swarm.plain"), rtype::A))
        .collect();
    for answer in site.ask_all(Path::Xdp, &asked)? {
        ensure!(answer.rcode() == rcode::SERVFAIL, "{answer:?}");
    }
    let queries = world.queries("swarmed.alpha.");
    println!("{queries} queries for four questions");
    ensure!(queries > 0, "the zone was never asked");
    ensure!(
        queries <= SWARM_BOUND * 4,
        "{queries} queries for four questions"
    );
    Ok(())
}

/// A world of these zones and those above them.
pub(crate) fn small_world(names: &[&str]) -> Result<World> {
    let needed = |zone: &Zone| {
        let mut names = names.iter();
        zone.name == "."
            || names.any(|name| name.ends_with(&format!(".{}", zone.name)) || **name == zone.name)
    };
    World::start(zones().into_iter().filter(needed).collect())
}
