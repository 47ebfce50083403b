//! What goes wrong under a bound AF_XDP socket, and what `crates/xsk` makes of it: the rows of the fault list, each by its
//! number. Rows 11 and 20 need a kernel that misbehaves; they are in `crates/xsk`, over its mock kernel.
#![forbid(unsafe_code)]

mod child;
mod interface;
mod neighbours;
mod privileges;
mod rings;
mod scene;

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

fn main() -> ExitCode {
    if let Some(code) = child::main() {
        return code;
    }
    suite("xsk_faults")
        .test("row_00_echo_in_place", needs![Root, Netns], scene::echo)
        .run()
}
