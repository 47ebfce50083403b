//! Bad messages and bad frames: an error or silence as Unbound and the RFCs have it, and the next good query answered.

mod frames;
mod messages;

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

fn main() -> ExitCode {
    suite("bad_packets")
        .test(
            "messages_over_af_xdp_and_udp",
            needs![Root, Netns],
            messages::over_af_xdp_and_udp,
        )
        .test("messages_over_tcp", needs![Root, Netns], messages::over_tcp)
        .test("frames_over_ipv4", needs![Root, Netns], frames::over_ipv4)
        .test("frames_over_ipv6", needs![Root, Netns], frames::over_ipv6)
        .run()
}
