//! Tests that say what they need.
//!
//! ```no_run
//! use sluicegate_lab::harness::suite;
//! use sluicegate_lab::needs;
//!
//! fn one_answer() -> anyhow::Result<()> {
//!     Ok(())
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     suite("clients")
//!         .test("one_answer", needs![Root, Netns, Peer("dig")], one_answer)
//!         .run()
//! }
//! ```
//!
//! A need is looked at when the tests are listed. Where one is missing the test is listed as ignored, so that runners
//! count it as skipped, never as passed, and the reason is printed on standard error. A test may still be asked for by
//! name with `--ignored`; it then fails with that reason.
//!
//! With `SLUICEGATE_ALL_NEEDS=1`, as in CI, only what hangs on the kernel or on data from outside may be missing: a test
//! that lacks anything else is run, and fails with the reason.
//!
//! On a machine whose kernel has locked itself up (`scripts/rtnl.sh`) all tests are skipped: a server that asks such a
//! kernel for its interfaces never comes back.
//!
//! A test file that uses this has `harness = false` in its `[[test]]` section.

mod kernel;
mod needs;
mod suite;

pub use needs::{Need, all_wanted};
pub use suite::{Suite, suite};
