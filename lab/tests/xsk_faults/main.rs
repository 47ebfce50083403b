//! What goes wrong under a bound AF_XDP socket, and what `crates/xsk` makes of it: the rows of the fault list, each by its
//! number. Rows 11 and 20 need a kernel that misbehaves; they are in `crates/xsk`, over its mock kernel.
#![forbid(unsafe_code)]

mod child;
mod discovery;
mod interface;
mod neighbours;
mod privileges;
mod rings;
mod scene;

use std::process::ExitCode;

use sluicegate_lab::harness::{Suite, suite};
use sluicegate_lab::needs;

fn main() -> ExitCode {
    if let Some(code) = child::main() {
        return code;
    }
    faults(discoveries(echoes(suite("xsk_faults")))).run()
}

/// What goes right.
fn echoes(suite: Suite) -> Suite {
    suite
        .test("echo_on_several_queues", needs![Root, Netns], rings::echo)
        .test(
            "echo_in_generic_mode",
            needs![Root, Netns],
            rings::echo_generic,
        )
        .test(
            "echo_of_large_frames",
            needs![Root, Netns],
            rings::echo_large,
        )
        .test(
            "echo_by_busy_polling",
            needs![Root, Netns],
            rings::busy_poll,
        )
        .test(
            "local_packets_and_wake_ups",
            needs![Root, Netns],
            rings::local_packets,
        )
}

/// The fault list.
#[expect(clippy::too_many_lines, reason = "a flat table")]
fn faults(suite: Suite) -> Suite {
    suite
        .test(
            "row_01_interface_deleted",
            needs![Root, Netns],
            interface::deleted,
        )
        .test(
            "row_02_interface_moved",
            needs![Root, Netns],
            interface::moved,
        )
        .test(
            "row_03_interface_renamed",
            needs![Root, Netns],
            interface::renamed,
        )
        .test(
            "row_04_interface_down_and_up",
            needs![Root, Netns],
            interface::down_and_up,
        )
        .test(
            "row_05_peer_down",
            needs![Root, Netns],
            interface::peer_down,
        )
        .test(
            "row_06_channels_changed",
            needs![Root, Netns, Tool("ethtool")],
            interface::channels,
        )
        .test(
            "row_07_second_instance",
            needs![Root, Netns],
            neighbours::second_instance,
        )
        .test(
            "row_08_fifty_restarts",
            needs![Root, Netns],
            neighbours::fifty_restarts,
        )
        .test("row_09_sigkill", needs![Root, Netns], neighbours::sigkill)
        .test(
            "row_10_child_holds_socket",
            needs![Root, Netns],
            neighbours::inherited,
        )
        .test("row_12_tx_ring_full", needs![Root, Netns], rings::tx_full)
        .test(
            "row_13_fill_ring_starved",
            needs![Root, Netns],
            rings::fill_starved,
        )
        .test(
            "row_14_handler_panics",
            needs![Root, Netns],
            rings::handler_panics,
        )
        .test(
            "row_15_memlock_limit",
            needs![Root, Netns, Tool("prlimit")],
            privileges::memlock,
        )
        .test(
            "row_16_missing_capabilities",
            needs![Root, Netns],
            privileges::capabilities,
        )
        .test(
            "row_17_foreign_program",
            needs![Root, Netns],
            neighbours::foreign_program,
        )
        .test(
            "row_18_zero_copy_falls_back",
            needs![Root, Netns],
            rings::ladder,
        )
        .test(
            "row_19_wrong_socket_in_slot",
            needs![Root, Netns],
            neighbours::wrong_socket,
        )
}

/// What is there.
fn discoveries(suite: Suite) -> Suite {
    suite
        .test(
            "nic_queries_need_no_privileges",
            needs![Root, Netns],
            discovery::unprivileged,
        )
        .test(
            "nic_tells_what_is_there",
            needs![Root, Netns],
            discovery::caps,
        )
        .test(
            "monitor_tells_changes",
            needs![Root, Netns],
            discovery::monitor,
        )
}
