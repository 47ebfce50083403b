//! Sluicegate in a world of its own, beside Debian's Unbound: recursion and validation from a root that only this test
//! knows, over good servers and bad ones.

mod ask;
mod asked;
mod attacks;
mod differ;
mod files;
mod questions;
mod report;
mod site;

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

fn main() -> ExitCode {
    suite("world")
        .test(
            "recursion_as_unbound",
            needs![
                Root,
                Netns,
                Peer("knotd"),
                Peer("dnssec-signzone"),
                Peer("unbound")
            ],
            differ::recursion,
        )
        .test(
            "mixture_as_unbound",
            needs![
                Root,
                Netns,
                Peer("knotd"),
                Peer("dnssec-signzone"),
                Peer("unbound")
            ],
            differ::mixture,
        )
        .test(
            "parents_refer_to_their_children",
            needs![Root, Netns, Peer("knotd"), Peer("dnssec-signzone")],
            attacks::parents_refer_to_their_children,
        )
        .test(
            "forged_answers_are_not_believed",
            needs![Root, Netns, Peer("knotd"), Peer("dnssec-signzone")],
            attacks::forged_answers_are_not_believed,
        )
        .test(
            "swarms_of_name_servers_are_bounded",
            needs![Root, Netns, Peer("knotd"), Peer("dnssec-signzone")],
            attacks::swarms_of_name_servers_are_bounded,
        )
        .test(
            "changed_files_count_after_a_reload",
            needs![Root, Netns, Peer("knotd"), Peer("dnssec-signzone")],
            files::changed_files_count_after_a_reload,
        )
        .run()
}
