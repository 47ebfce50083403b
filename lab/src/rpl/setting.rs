use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::Scenario;
use crate::private_dir::PrivateDir;

/// A configuration with the files that it names, which are gone with the value.
pub struct Setting {
    /// The configuration's text; user, log and pid file are left to the caller.
    pub config: String,
    dir: PrivateDir,
}

impl Setting {
    /// The path of a file in the folder of the run.
    pub fn file(&self, name: &str) -> PathBuf {
        self.dir.path.join(name)
    }
}

/// The port on which the server under test answers: those named in scenarios are port 53 of every address.
pub(super) const PORT: u16 = 5300;

/// Writes a scenario's files and its configuration, with what real sockets need in front.
pub fn setting(scenario: &Scenario) -> Result<Setting> {
    let dir = PrivateDir::new()?;
    let path = dir.path.display().to_string();
    let filled = |text: &str| text.replace("{dir}", &path);
    for file in &scenario.files {
        let path = dir.path.join(&file.name);
        fs::write(&path, filled(&file.text)).with_context(|| path.display().to_string())?;
    }
    let config = format!(
        "server:\n\tinterface: 127.0.0.1@{PORT}\n\tinterface: ::1@{PORT}\n\tnum-threads: 1\n{}",
        filled(&scenario.config)
    );
    Ok(Setting { config, dir })
}
