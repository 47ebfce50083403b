use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::wire::{Message, ask_udp, query};

use crate::data::{Kind, Name, Random};
use crate::plan::{Case, Content};
use crate::site::Site;

/// How long a server may take until it answers at all.
const START_LIMIT: Duration = Duration::from_mins(1);
const ANSWER_LIMIT: Duration = Duration::from_millis(500);
/// How many names are asked.
const SAMPLES: usize = 50;
const REFUSED: u16 = 5;
const RRSIG: u16 = 46;

/// Waits until the server answers, then asks for some of the names and compares the answers with what they must be.
pub(crate) fn check(case: &Case, site: &Site) -> Result<()> {
    let mut random = Random::new(2);
    wait_for_any(case, site)?;
    for _ in 0..SAMPLES {
        let number = random.below(case.queries.names);
        let name = Name {
            kind: case.queries.kind,
            number,
        };
        let message = ask(case, site, name)?.with_context(|| format!("no answer for {name}"))?;
        right(case, name, &message)
            .with_context(|| format!("a wrong answer for {name}: {message:?}"))?;
    }
    Ok(())
}

fn wait_for_any(case: &Case, site: &Site) -> Result<()> {
    let end = Instant::now() + START_LIMIT;
    let name = Name {
        kind: case.queries.kind,
        number: 0,
    };
    loop {
        // A server may refuse, fail or be silent while it starts.
        if ask(case, site, name)
            .is_ok_and(|answer| answer.is_some_and(|answer| right(case, name, &answer).is_ok()))
        {
            return Ok(());
        }
        if Instant::now() >= end {
            bail!(
                "no right answer for {name} within {START_LIMIT:?}: {:?}",
                ask(case, site, name)
            );
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn ask(case: &Case, site: &Site, name: Name) -> Result<Option<Message>> {
    let mut spec = query(&name.to_string(), name.qtype());
    if case.queries.kind == Kind::Large || case.queries.dnssec_percent > 0 {
        spec = spec.edns(1232, case.queries.dnssec_percent > 0);
    }
    let query = spec.build();
    let answer = site
        .client
        .enter(|| ask_udp(Site::service(case.v6), &query, ANSWER_LIMIT))?;
    answer.map(|answer| Message::parse(&answer)).transpose()
}

fn right(case: &Case, name: Name, message: &Message) -> Result<()> {
    if case.content == Content::Refused {
        ensure!(message.rcode() == REFUSED, "not REFUSED");
        return Ok(());
    }
    ensure!(message.rcode() == 0 && !message.truncated(), "a failure");
    let told = message.answer.iter();
    let told = told.map(|record| (record.rtype, record.rdata.clone()));
    let mut expected = vec![(name.qtype(), name.rdata())];
    if let Some(signature) = name.signature().filter(|_| case.queries.dnssec_percent > 0) {
        expected.push((RRSIG, signature));
    }
    ensure!(told.eq(expected), "other data");
    Ok(())
}
