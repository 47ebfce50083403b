//! Who may do what: the serving process has no capability, the process beside it has four, and what each of them is
//! for is found by taking it away.

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

mod confined;
mod minimum;
mod processes;
mod recovery;
mod unit;

fn main() -> ExitCode {
    suite("privileges")
        .test(
            "the serving process has no capability and every path answers",
            needs![Root, Netns],
            recovery::nothing_is_left,
        )
        .test(
            "a reload opens a port below 1024",
            needs![Root, Netns],
            recovery::a_port_more,
        )
        .test(
            "a slow attach holds up nobody",
            needs![Root, Netns],
            recovery::slow_attach,
        )
        .test(
            "without the privileged process it goes on serving, and says so",
            needs![Root, Netns],
            recovery::alone,
        )
        .test(
            "whichever is killed, nothing is left behind",
            needs![Root, Netns],
            recovery::killed,
        )
        .test(
            "the privileged process doesn't live on by half",
            needs![Root, Netns],
            recovery::no_half_life,
        )
        .test(
            "four capabilities are enough",
            needs![Root, Netns],
            minimum::four_are_enough,
        )
        .test(
            "none of the four can be spared",
            needs![Root, Netns],
            minimum::none_can_be_spared,
        )
        .test(
            "without any there is no privileged process",
            needs![Root, Netns],
            minimum::none_at_all,
        )
        .test(
            "the unit's restrictions leave everything working",
            needs![Root, Netns, Tool("systemd-analyze")],
            unit::whole,
        )
        .test(
            "the drop-in without XDP leaves the kernel's path",
            needs![Root, Netns, Tool("systemd-analyze")],
            unit::without_xdp,
        )
        .test(
            "a line that the unit lacks is named",
            needs![Root, Netns, Tool("systemd-analyze")],
            unit::missing_lines,
        )
        .run()
}
