//! Sluicegate resolving in a world of its own: recursion and validation from a root that only this test knows.

mod site;

use std::process::ExitCode;

use anyhow::{Result, ensure};
use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;
use sluicegate_lab::scene::Path;
use sluicegate_lab::wire::{query, rcode, rtype};

use site::Site;

fn main() -> ExitCode {
    suite("world")
        .test(
            "signed_answers_are_proven",
            needs![Root, Netns, Peer("knotd"), Peer("dnssec-signzone")],
            signed_answers_are_proven,
        )
        .run()
}

fn signed_answers_are_proven() -> Result<()> {
    let site = Site::new()?;
    for path in Path::ALL {
        let answer = site.ask(path, &query("www.good.alpha.", rtype::A).edns(1232, true))?;
        ensure!(
            answer.rcode() == rcode::NOERROR && answer.flags & 0x20 != 0,
            "{path}: {answer:?}"
        );
    }
    Ok(())
}
