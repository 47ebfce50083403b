use std::fs;
use std::path::{Path, PathBuf};

/// The folder that stands for `/`. Tests have one of their own.
#[derive(Clone, Debug)]
pub(crate) struct Root(PathBuf);

impl Root {
    pub(crate) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    /// The path of a file below the root.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// A file's text without white space at its ends.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        let text = fs::read(self.path(name)).ok()?;
        Some(String::from_utf8_lossy(&text).trim().to_owned())
    }

    /// A file that holds one number.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.text(name)?.parse().ok()
    }

    /// The names in a folder, sorted; none if it can't be read.
    pub(crate) fn names(&self, folder: &str) -> Vec<String> {
        let entries = fs::read_dir(self.path(folder)).into_iter().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort_unstable();
        names
    }

    /// The last part of the path that a symbolic link holds.
    pub(crate) fn target(&self, name: &str) -> Option<String> {
        let target = fs::read_link(self.path(name)).ok()?;
        Some(target.file_name()?.to_string_lossy().into_owned())
    }

    pub(crate) fn exists(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// How each processor that tells chooses its frequency.
    pub(crate) fn governors(&self) -> Vec<String> {
        const FOLDER: &str = "sys/devices/system/cpu";
        let names = self.names(FOLDER);
        let numbered = names.iter().filter(|name| {
            name.strip_prefix("cpu")
                .is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        });
        numbered
            .filter_map(|name| self.text(&format!("{FOLDER}/{name}/cpufreq/scaling_governor")))
            .collect()
    }
}
