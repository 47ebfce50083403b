use std::env;
use std::path::{Path, PathBuf};

/// The folder of the workspace's `Cargo.toml`.
pub fn workspace_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("lab/ stands in the workspace")
        .to_path_buf()
}

/// Where the data that the project shares with its tests but doesn't carry itself is, if it is there: `name` below
/// `$SLUICEGATE_SHARED`, else below the folder `shared` beside the workspace.
pub fn shared_data(name: &str) -> Option<PathBuf> {
    let base = match env::var_os("SLUICEGATE_SHARED") {
        Some(dir) => PathBuf::from(dir),
        None => workspace_root().parent()?.join("shared"),
    };
    let path = base.join(name);
    path.exists().then_some(path)
}
