use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Compiles each source, a path in the package of the build script, to the object of that name in `OUT_DIR`, and tells
/// cargo when to do so again, or why it could not be done. The build script returns what this returns.
///
/// `headers` are the files of ours that the sources include.
#[expect(clippy::print_stdout, reason = "so cargo is told")]
pub fn compile(programs: &[(&str, &str)], headers: &[&str]) -> ExitCode {
    let sources = programs.iter().map(|(source, _)| source);
    for file in sources.chain(headers) {
        println!("cargo::rerun-if-changed={file}");
    }
    println!("cargo::rerun-if-env-changed=CLANG");
    let failed = programs
        .iter()
        .find_map(|(source, object)| compile_one(source, object).err());
    let Some(reason) = failed else {
        return ExitCode::SUCCESS;
    };
    for line in reason.lines() {
        println!("cargo::error={line}");
    }
    ExitCode::FAILURE
}

fn compile_one(source: &str, object: &str) -> Result<(), String> {
    let clang = env::var_os("CLANG").unwrap_or_else(|| OsString::from("clang"));
    let out_dir = env::var_os("OUT_DIR").ok_or("cargo did not set OUT_DIR")?;
    let mut command = Command::new(&clang);
    command.args([
        "-target", "bpf", "-O2", "-mcpu=v3", "-g", "-Wall", "-Wextra", "-Werror",
    ]);
    // Paths of this machine must not end up in the object: the same source gives the same bytes anywhere.
    command.arg("-fdebug-compilation-dir=.");
    if let Some(directory) = asm_headers()? {
        command.arg("-idirafter").arg(directory);
    }
    command.args(["-c", source, "-o"]);
    command.arg(PathBuf::from(out_dir).join(object));
    let clang = clang.to_string_lossy();
    let output = command.output().map_err(|error| {
        format!(
            "cannot run `{clang}`, which compiles XDP programs: {error}. \
             Install it (Debian: apt-get install clang), or name another with the variable CLANG."
        )
    })?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "`{clang}` did not compile {source}:\n{}",
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
