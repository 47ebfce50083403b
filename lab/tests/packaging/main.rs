//! What is installed: the Debian package, `install.sh`, the units, in a Debian with systemd at work.

mod container;
mod ground;
mod life;
mod package;
mod script;
mod unit;

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

fn main() -> ExitCode {
    let machine = needs![Root, Netns, Debian, Machine, Peer("dig")];
    let packed = needs![Root, Netns, Debian, Machine, CargoDeb, Peer("dig")];
    suite("packaging")
        .test(
            "package_from_first_to_last",
            packed,
            life::from_first_to_last,
        )
        .test(
            "package_beside_another_server",
            packed,
            life::beside_another_server,
        )
        .test("units_serve_as_they_say", packed, unit::serve_as_they_say)
        .test("units_are_hardened", machine, unit::are_hardened)
        .test(
            "install_script_from_first_to_last",
            machine,
            script::from_first_to_last,
        )
        .test(
            "container_recipe_serves_as_documented",
            machine,
            container::serves_as_documented,
        )
        .test("install_script_into_a_folder", &[], script::into_a_folder)
        .run()
}
