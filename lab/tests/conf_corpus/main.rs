//! Configurations of real servers, read by us and by Debian's `unbound-checkconf`.

mod corpus;
mod peer;
mod values;

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::{needs, shared_data};

fn main() -> ExitCode {
    let mut suite = suite("conf_corpus")
        .test(
            "every_directive_is_known",
            needs![SharedData("confs")],
            corpus::every_directive_is_known,
        )
        .test(
            "values_are_taken_as_unbound_takes_them",
            needs![Peer("unbound-checkconf")],
            values::as_unbound,
        );
    for file in corpus::files(shared_data("confs").as_deref()) {
        let name = corpus::name(&file);
        let needs = needs![Peer("unbound-checkconf")];
        let other = file.clone();
        suite = suite
            .test(
                &format!("{name}_is_judged_as_unbound_does"),
                needs,
                move || corpus::same_verdict(&file),
            )
            .test(
                &format!("{name}_is_handed_over_readably"),
                needs,
                move || corpus::engine_part(&other),
            );
    }
    suite.run()
}
