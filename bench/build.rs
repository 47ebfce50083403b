//! Compiles the XDP programs of the limits.

use std::process::ExitCode;

fn main() -> ExitCode {
    let programs = [("bpf/bench.bpf.c", "bench.o")];
    sluicegate_bpf_compile::compile(&programs, &["../lab/bpf/query.h"])
}
