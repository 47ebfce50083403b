//! Finds libunbound, the system's shared library, and says what to install when it isn't there.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The symbol that only a libunbound with the event API has.
const EVENT_API: &[u8] = b"ub_ctx_create_ub_event";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=LIBUNBOUND_LIB_DIR");
    let Some(library) = find() else {
        fail("libunbound was not found")
    };
    println!("cargo:rerun-if-changed={}", library.display());
    let contents = std::fs::read(&library).unwrap_or_default();
    if !contents
        .windows(EVENT_API.len())
        .any(|window| window == EVENT_API)
    {
        fail(&format!(
            "{} was built without --enable-event-api",
            library.display()
        ))
    }
    if let Some(folder) = library.parent() {
        println!("cargo:rustc-link-search=native={}", folder.display());
    }
    println!("cargo:rustc-link-lib=dylib=unbound");
}

/// The shared library: where the environment says, else by pkg-config, else where the C compiler looks.
///
/// pkg-config alone won't do: Debian's `libunbound.pc` asks for `libevent.pc`, which is in a package that
/// nobody needs for this.
fn find() -> Option<PathBuf> {
    let named = std::env::var_os("LIBUNBOUND_LIB_DIR").map(PathBuf::from);
    let by_pkg_config =
        output("pkg-config", &["--variable=libdir", "libunbound"]).map(PathBuf::from);
    let by_compiler = output("cc", &["-print-file-name=libunbound.so"])
        .map(PathBuf::from)
        .and_then(|file| file.parent().map(Path::to_path_buf));
    [named, by_pkg_config, by_compiler]
        .into_iter()
        .flatten()
        .map(|folder| folder.join("libunbound.so"))
        .find(|file| file.is_absolute() && file.exists())
}

fn output(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn fail(what: &str) -> ! {
    println!(
        "cargo:warning={what}: install the package libunbound-dev (Debian, Ubuntu) or unbound-devel \
         (Fedora), or name the folder of libunbound.so in LIBUNBOUND_LIB_DIR"
    );
    std::process::exit(1)
}
