//! Compiles the XDP programs of the limits with clang; `CLANG` names another compiler.

use std::env;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

const SOURCE: &str = "bpf/bench.bpf.c";

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed={SOURCE}");
    println!("cargo::rerun-if-env-changed=CLANG");
    match compile() {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            for line in reason.lines() {
                println!("cargo::error={line}");
            }
            ExitCode::FAILURE
        }
    }
}

fn compile() -> Result<(), String> {
    let clang = env::var("CLANG").unwrap_or_else(|_| "clang".to_owned());
    let out_dir = env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?;
    let object = PathBuf::from(out_dir).join("bench.o");
    let output = Command::new(&clang)
        .args(["-target", "bpf", "-O2", "-mcpu=v3", "-g", "-Wall", "-Wextra", "-Werror"])
        .args(["-c", SOURCE, "-o"])
        .arg(&object)
        .output()
        .map_err(|error| {
            format!("cannot run `{clang}`: {error}. Install it (Debian: apt-get install clang), or set CLANG.")
        })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`{clang}` did not compile {SOURCE}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    ))
}
