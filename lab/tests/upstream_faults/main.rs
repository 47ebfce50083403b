//! Upstreams that fail, and what clients notice of it: as little as can be.

#![expect(clippy::print_stderr, reason = "what was measured is told")]

mod load;
mod outage;
mod torture;
mod troubles;

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

fn main() -> ExitCode {
    suite("upstream_faults")
        .test(
            "a_dead_upstream_is_gone_round",
            needs![Root, Netns],
            troubles::a_dead_upstream_is_gone_round,
        )
        .test(
            "a_slow_upstream_is_not_asked_twice",
            needs![Root, Netns],
            troubles::a_slow_upstream_is_not_asked_twice,
        )
        .test(
            "a_lossy_upstream_costs_few_answers",
            needs![Root, Netns],
            troubles::a_lossy_upstream_costs_few_answers,
        )
        .test(
            "a_flapping_upstream_is_used_when_it_is_there",
            needs![Root, Netns],
            troubles::a_flapping_upstream_is_used_when_it_is_there,
        )
        .test(
            "a_flood_of_forged_answers_is_ignored",
            needs![Root, Netns],
            troubles::a_flood_of_forged_answers_is_ignored,
        )
        .test(
            "an_outage_ends_when_the_upstreams_are_back",
            needs![Root, Netns],
            outage::an_outage_ends_when_the_upstreams_are_back,
        )
        .test(
            "water_torture_leaves_hits_alone",
            needs![Root, Netns],
            torture::water_torture_leaves_hits_alone,
        )
        .run()
}
