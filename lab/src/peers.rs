//! Other people's servers and clients, for tests side by side: from Debian packages that `scripts/peers.sh` downloads and
//! unpacks into `.peers/` of the workspace (or `$SLUICEGATE_PEERS`), never installed, never started as services.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::workspace_root;

/// Where programs are, below the root of the unpacked packages and below that of the system.
const PROGRAM_DIRS: [&str; 4] = ["usr/sbin", "usr/bin", "sbin", "bin"];

/// Where the packages' libraries are, below the root of the unpacked packages.
const LIBRARY_DIRS: [&str; 4] = [
    "usr/lib/x86_64-linux-gnu",
    "usr/lib/aarch64-linux-gnu",
    "lib/x86_64-linux-gnu",
    "lib/aarch64-linux-gnu",
];

/// The root of the unpacked packages, whether or not it exists.
pub fn root() -> PathBuf {
    env::var_os("SLUICEGATE_PEERS").map_or_else(|| workspace_root().join(".peers"), PathBuf::from)
}

/// Where the program `name` is: among the unpacked packages, else on the system itself.
pub fn find(name: &str) -> Option<PathBuf> {
    let roots = [root(), PathBuf::from("/")];
    roots
        .iter()
        .flat_map(|root| {
            PROGRAM_DIRS
                .iter()
                .map(move |dir| root.join(dir).join(name))
        })
        .find(|path| path.is_file())
}

/// A command that runs the program `name` with its own libraries, still without arguments.
pub fn command(name: &str) -> Result<Command> {
    let program = find(name)
        .with_context(|| format!("the program {name} is missing: run scripts/peers.sh"))?;
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", library_path(&root()));
    Ok(command)
}

fn library_path(root: &Path) -> OsString {
    env::join_paths(LIBRARY_DIRS.iter().map(|dir| root.join(dir)))
        .expect("the workspace's path holds no colon")
}
