//! Local zones, local data and access control beside Debian's Unbound on the same configuration: equal answers.
//!
//! Unbound runs in a namespace of its own; our side is `answer()` itself, without a server. What local data does not
//! answer, Unbound forwards and we ask of the same upstream, so that answers behind local CNAMEs are compared too.

mod ours;
mod peer;
mod probe;
mod questions;
mod responses;
mod tagged;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

use ours::Ours;
use peer::Peer;
use probe::{Outcome, Probe};

fn main() -> ExitCode {
    suite("local_vs_unbound")
        .test(
            "every_zone_type",
            needs![Root, Netns, Peer("unbound")],
            || compare(&questions::zone_types_conf(), &questions::zone_types()),
        )
        .test(
            "records_of_many_kinds",
            needs![Root, Netns, Peer("unbound")],
            || compare(questions::RECORDS, &questions::records()),
        )
        .test(
            "built_in_zones",
            needs![Root, Netns, Peer("unbound")],
            || compare("", &questions::built_in()),
        )
        .test(
            "built_in_zones_overridden",
            needs![Root, Netns, Peer("unbound")],
            || compare(questions::OVERRIDDEN, &questions::built_in()),
        )
        .test(
            "data_without_zones",
            needs![Root, Netns, Peer("unbound")],
            || {
                compare(questions::IMPLIED, &questions::implied())?;
                compare(questions::IMPLIED_ROOT, &questions::implied())
            },
        )
        .test(
            "redirects_to_names_elsewhere",
            needs![Root, Netns, Peer("unbound")],
            || compare(questions::ALIASES, &questions::aliases()),
        )
        .test(
            "access_control",
            needs![Root, Netns, Peer("unbound")],
            || compare(questions::ACCESS, &questions::access()),
        )
        .test("tags", needs![Root, Netns, Peer("unbound")], || {
            compare(&tagged::conf(), &tagged::probes())
        })
        .test("responses", needs![Root, Netns, Peer("unbound")], || {
            compare(&responses::conf(), &responses::probes())
        })
        .test("chaos", needs![Root, Netns, Peer("unbound")], || {
            compare(questions::CHAOS_SHOWN, &questions::chaos())?;
            compare(questions::CHAOS_HIDDEN, &questions::chaos())
        })
        .test(
            "types_and_flags",
            needs![Root, Netns, Peer("unbound")],
            || compare(questions::RECORDS, &questions::types_and_flags()),
        )
        .test(
            "mistakes",
            needs![Peer("unbound-checkconf")],
            peer::compare_mistakes,
        )
        .run()
}

/// Where we differ from Unbound on purpose: what is asked, and why.
const DIFFERENCES: &[(&str, &str)] = &[
    (
        "unasked-127-0-0-4.upstream.example TYPE1 CLASS1 from 127.0.0.6 nord",
        "RD is copied from the query (RFC 1035, 4.1.1); Unbound leaves it as the upstream's answer had it",
    ),
    (
        "quotes.recs.lab TYPE16 CLASS1 from 127.0.0.1",
        "Unbound looks for a closing \" behind an opening ' and so takes the closing ' into the text",
    ),
];

/// Asks both sides every question; fails with all that they answer differently.
#[expect(clippy::print_stdout, reason = "how much was compared")]
fn compare(conf: &str, probes: &[Probe]) -> Result<()> {
    let peer = Peer::start(conf)?;
    let theirs = peer.ask_all(probes)?;
    let ours = Ours::new(conf)?;
    let mut wrong = Vec::new();
    let mut expected = 0;
    for (probe, theirs) in probes.iter().zip(&theirs) {
        let (first, second) = peer.enter(|| ours.ask(probe, peer.upstream()))?;
        let name = probe.to_string();
        if first != second {
            wrong.push(format!("{name}\n  first  {first}\n  second {second}"));
        }
        let differs = first != *theirs;
        if DIFFERENCES.iter().any(|(what, _)| *what == name) {
            expected += 1;
            if !differs {
                wrong.push(format!("{name}: no difference any more"));
            }
        } else if differs {
            wrong.push(format!("{name}\n  unbound {theirs}\n  we      {first}"));
        }
    }
    let local = theirs
        .iter()
        .filter(|outcome| matches!(outcome, Outcome::Reply(reply) if reply.flags & 0x0400 != 0));
    println!(
        "{} questions, {} answered from local data, {expected} differences meant",
        probes.len(),
        local.count()
    );
    ensure!(
        wrong.is_empty(),
        "{} of {} differ:\n{}",
        wrong.len(),
        probes.len(),
        wrong.join("\n")
    );
    Ok(())
}
