//! What others got wrong with DNS over AF_XDP, one test for each lesson that concerns what is built.
//!
//! Lessons that are tested elsewhere: memory ordering of the rings (loom tests of `xsk`), the seeded hash and the full
//! key of the cache (`answer`), packets that XDP passes up (`bad_packets`), local zones beside Unbound
//! (`local_vs_unbound`), XDP that can't attach (`xdp_path`). Lessons on backends and block lists wait for these to be
//! built.

mod clients;
mod limits;
mod replies;
mod service;
mod upstreams;

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

#[expect(clippy::too_many_lines, reason = "a flat table")]
fn main() -> ExitCode {
    suite("lessons")
        .test(
            "ipv6_replies_carry_a_checksum",
            needs![Root, Netns],
            replies::ipv6_replies_carry_a_checksum,
        )
        .test(
            "too_large_is_truncated_not_lost",
            needs![Root, Netns],
            replies::too_large_is_truncated_not_lost,
        )
        .test(
            "the_clients_size_holds_for_local_data",
            needs![Root, Netns],
            replies::the_clients_size_holds,
        )
        .test(
            "rd_and_cd_come_back",
            needs![Root, Netns],
            replies::rd_and_cd_come_back,
        )
        .test(
            "deny_is_silent_on_every_path",
            needs![Root, Netns],
            replies::deny_is_silent_on_every_path,
        )
        .test(
            "cached_answers_keep_case_opt_and_soa",
            needs![Root, Netns],
            replies::cached_answers_keep_case_opt_and_soa,
        )
        .test(
            "the_hop_limit_is_our_own",
            needs![Root, Netns],
            replies::the_hop_limit_is_our_own,
        )
        .test(
            "every_client_gets_its_own_answers",
            needs![Root, Netns],
            clients::every_client_gets_its_own_answers,
        )
        .test(
            "replies_go_to_the_mac_that_asked",
            needs![Root, Netns],
            clients::replies_go_to_the_mac_that_asked,
        )
        .test(
            "a_burst_is_answered_to_its_end",
            needs![Root, Netns],
            clients::a_burst_is_answered_to_its_end,
        )
        .test(
            "the_rx_rings_size_holds",
            needs![Root, Netns],
            clients::the_rx_rings_size_holds,
        )
        .test(
            "vlan_clients_are_answered",
            needs![Root, Netns, LinkKind("vlan")],
            clients::vlan_clients_are_answered,
        )
        .test(
            "padded_root_queries_are_answered",
            needs![Root, Netns],
            clients::padded_root_queries_are_answered,
        )
        .test(
            "a_rate_limit_holds_on_every_path",
            needs![Root, Netns],
            limits::a_rate_limit_holds_on_every_path,
        )
        .test(
            "as_much_passes_as_with_unbound",
            needs![Root, Netns, Peer("unbound")],
            limits::as_much_passes_as_with_unbound,
        )
        .test(
            "tcp_upstreams_serve_af_xdp_clients",
            needs![Root, Netns],
            upstreams::tcp_upstreams_serve_af_xdp_clients,
        )
        .test(
            "forged_answers_are_ignored",
            needs![Root, Netns],
            upstreams::forged_answers_are_ignored,
        )
        .test(
            "ports_and_ids_are_random",
            needs![Root, Netns],
            upstreams::ports_and_ids_are_random,
        )
        .test(
            "a_full_cache_takes_new_answers",
            needs![Root, Netns],
            upstreams::a_full_cache_takes_new_answers,
        )
        .test(
            "a_killed_server_is_no_black_hole",
            needs![Root, Netns],
            service::a_killed_server_is_no_black_hole,
        )
        .test(
            "a_second_copy_disturbs_nothing",
            needs![Root, Netns],
            service::a_second_copy_disturbs_nothing,
        )
        .test(
            "wildcards_are_served_by_af_xdp",
            needs![Root, Netns],
            service::wildcards_are_served_by_af_xdp,
        )
        .test(
            "without_xdp_every_address_is_served",
            needs![Root, Netns],
            service::without_xdp_every_address_is_served,
        )
        .test(
            "a_tcp_query_costs_no_core",
            needs![Root, Netns],
            service::a_tcp_query_costs_no_core,
        )
        .test(
            "nothing_of_the_host_is_changed",
            needs![Root, Netns, Tool("ethtool")],
            service::nothing_of_the_host_is_changed,
        )
        .test(
            "strangers_are_refused_by_default",
            needs![Root, Netns],
            service::strangers_are_refused_by_default,
        )
        .test(
            "garbage_is_no_configuration",
            needs![Root, Netns],
            service::garbage_is_no_configuration,
        )
        .run()
}
