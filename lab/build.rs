//! Compiles the XDP programs of the tests: their own, and the example of the documentation.

use std::process::ExitCode;

fn main() -> ExitCode {
    let programs = [
        ("bpf/redirect.bpf.c", "redirect.o"),
        ("../docs/pinned-maps/redirect.bpf.c", "pinned.o"),
    ];
    sluicegate_bpf_compile::compile(&programs, &["bpf/query.h"])
}
