//! Compiles `steer.bpf.c` with clang to the object that `lib.rs` embeds.
//!
//! `CLANG` names another compiler. Needed are clang and the kernel's user headers, nothing of libbpf.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const SOURCE: &str = "steer.bpf.c";

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
    let object = PathBuf::from(out_dir).join("steer.o");
    let mut command = Command::new(&clang);
    // Paths of this machine must not end up in the object: the same source gives the same bytes anywhere.
    command.args([
        "-target", "bpf", "-O2", "-mcpu=v3", "-g", "-Wall", "-Wextra", "-Werror",
    ]);
    command.arg("-fdebug-compilation-dir=.");
    if let Some(directory) = asm_headers()? {
        command.arg("-idirafter").arg(directory);
    }
    command.args(["-c", SOURCE, "-o"]).arg(&object);
    let output = command.output().map_err(|error| {
        format!(
            "cannot run `{clang}`, which compiles the XDP program: {error}. \
             Install it (Debian: apt-get install clang), or name another with the variable CLANG."
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`{clang}` did not compile {SOURCE}:\n{}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// The directory that holds `asm/types.h`, if the compiler does not look there by itself.
///
/// `linux/types.h` includes it. Debian keeps it under the machine's multiarch name, which clang leaves out
/// of its search when the target is `bpf`. All that is used of it is the same on every architecture.
fn asm_headers() -> Result<Option<PathBuf>, String> {
    let root = Path::new("/usr/include");
    if root.join("asm/types.h").exists() {
        return Ok(None);
    }
    let machine = env::var("HOST").unwrap_or_default();
    let machine = machine.split('-').next().unwrap_or_default();
    let mut found: Vec<PathBuf> = std::fs::read_dir(root)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.join("asm/types.h").exists())
        .collect();
    found.sort_by_key(|path| !path.ends_with(format!("{machine}-linux-gnu")));
    found.into_iter().next().map(Some).ok_or_else(|| {
        "asm/types.h, one of the kernel's headers, is missing. \
         Install them (Debian: apt-get install linux-libc-dev)."
            .to_owned()
    })
}
