//! This test program as a process of its own.
use std::process::ExitCode;

pub(crate) fn main() -> Option<ExitCode> {
    None
}
