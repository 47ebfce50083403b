//! The engine for real: this program starts itself again as the engine process, with the system's
//! libunbound in it, which forwards to small servers inside the test.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "all of this program is tests"
)]

mod anchors;
mod answers;
mod deaths;
mod flow;
mod load;
mod old_kernel;
mod rig;
mod signed;
mod speed;
mod upstream;
mod walls;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some(rig::AS_ENGINE) => return sluicegate_engine::child_main(),
        Some(deaths::AS_PARENT) => deaths::parent_to_be_killed(),
        Some(old_kernel::ON_OLD_KERNEL) => old_kernel::server_on_old_kernel(),
        Some(walls::AS_PRISONER) => walls::prisoner_main(),
        _ => {}
    }
    let trials = [
        anchors::trials(),
        answers::trials(),
        deaths::trials(),
        flow::trials(),
        load::trials(),
        old_kernel::trials(),
        signed::trials(),
        speed::trials(),
        walls::trials(),
    ];
    let trials = trials.into_iter().flatten().collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A test that passes unless it panics.
fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
