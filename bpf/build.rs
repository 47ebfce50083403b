//! Compiles `steer.bpf.c` to the object that `lib.rs` embeds.

use std::process::ExitCode;

fn main() -> ExitCode {
    sluicegate_bpf_compile::compile(&[("steer.bpf.c", "steer.o")], &[])
}
