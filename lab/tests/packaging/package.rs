//! Packages made of the program under test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sluicegate_lab::server::program;
use sluicegate_lab::workspace_root;

use super::ground::here;

/// A folder with the package as it is, and one of a later version whose configuration file differs.
pub(crate) struct Packages {
    folder: PathBuf,
    /// The package as it is.
    pub(crate) first: PathBuf,
}

impl Packages {
    /// Makes the package of the program under test, for one test of this name.
    pub(crate) fn make(test: &str) -> Result<Self> {
        let folder = folder(test)?;
        let mut script = Command::new(workspace_root().join("scripts/deb.sh"));
        script.args(["--fast", "--binary"]).arg(program()?);
        script
            .args(["--version", "1.0.0-1", "--output"])
            .arg(&folder);
        here(&mut script)?;
        let first = fs::read_dir(&folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .find(|path| path.extension().is_some_and(|end| end == "deb"))
            .context("scripts/deb.sh made no package")?;
        Ok(Self { folder, first })
    }

    /// Makes the package once more under a higher version. Its configuration file has one more line.
    pub(crate) fn later(&self) -> Result<PathBuf> {
        let tree = self.folder.join("later");
        here(
            Command::new("dpkg-deb")
                .arg("-R")
                .args([&self.first, &tree]),
        )?;
        change(&tree.join("DEBIAN/control"), |text| {
            text.replace("Version: 1.0.0-1", "Version: 2.0.0-1")
        })?;
        change(&tree.join("etc/sluicegate/sluicegate.conf"), |text| {
            format!("{text}# as of 2.0.0\n")
        })?;
        let file = self.folder.join("later.deb");
        let mut pack = Command::new("dpkg-deb");
        pack.args(["-Znone", "--root-owner-group", "-b"]);
        here(pack.arg(&tree).arg(&file))?;
        Ok(file)
    }
}

impl Drop for Packages {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// An empty folder for one test.
pub(crate) fn folder(test: &str) -> Result<PathBuf> {
    let name = format!("sluicegate-{test}-{}", std::process::id());
    let folder = std::env::temp_dir().join(name);
    fs::create_dir(&folder).with_context(|| folder.display().to_string())?;
    Ok(folder)
}

fn change(file: &Path, how: impl FnOnce(String) -> String) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(fs::write(file, how(text))?)
}
