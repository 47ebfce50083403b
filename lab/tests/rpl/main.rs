//! Unbound's scenario files against Debian's Unbound and against Sluicegate, see [`sluicegate_lab::rpl`].
//!
//! Unbound passes all that can be played; Sluicegate too, but for the rows of [`table::DIFFERENT`]. `RPL=name,...` plays only the
//! scenarios whose names contain one of these, and shows what each server does otherwise.

mod run;
mod servers;
mod table;

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

fn main() -> ExitCode {
    suite("rpl")
        .test(
            "what_unbound_passes_we_pass",
            needs![
                Root,
                Netns,
                Peer("unbound"),
                Peer("unbound-checkconf"),
                SharedData("rpl")
            ],
            run::all,
        )
        .run()
}
