use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use sluicegate_lab::netns::Process;
use sluicegate_xsk::prog::AttachedLink;

use super::kind::Setup;
use crate::site::Folder;

/// A server that runs. It ends when this value is dropped.
pub(crate) struct Running {
    process: Option<Process>,
    /// Its command and its configuration.
    told: Option<String>,
    _attached: Option<AttachedLink>,
    _folder: Option<Folder>,
}

/// How long a server may take to start; some read a zone of a million names first.
pub(super) const START_LIMIT: Duration = Duration::from_mins(2);

impl Running {
    pub(super) fn attached(link: AttachedLink) -> Self {
        Self {
            process: None,
            told: None,
            _attached: Some(link),
            _folder: None,
        }
    }

    /// Starts a program on the server's processors.
    pub(super) fn spawn(setup: &Setup<'_>, program: &Command) -> Result<Self> {
        let mut command = Command::new("taskset");
        command.args(["-c", &setup.site.server_cores()]);
        command.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        command.current_dir(program.get_current_dir().unwrap_or(Path::new("/")));
        let process = setup.site.server.spawn(&command)?;
        Ok(Self {
            process: Some(process),
            told: told(setup, &command)?,
            _attached: None,
            _folder: None,
        })
    }

    /// Waits for a line of the log.
    pub(super) fn wait_for(self, part: &str) -> Result<Self> {
        let process = self.process.as_ref().context("a process")?;
        process.wait_for_line(part, START_LIMIT)?;
        Ok(self)
    }

    pub(super) fn in_folder(self, folder: Folder) -> Self {
        Self {
            _folder: Some(folder),
            ..self
        }
    }

    /// The command and the configuration, if the server has one; its folder is told as `DIR`.
    pub(crate) fn told(&self) -> Option<&str> {
        self.told.as_deref()
    }

    /// The number of the server's process; none if the kernel itself answers.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }
}

/// Longer configurations hold the names themselves.
const MAX_CONF_BYTES: u64 = 8192;

fn told(setup: &Setup<'_>, command: &Command) -> Result<Option<String>> {
    let arguments = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = arguments.map(|word| shown(setup, word)).collect();
    let mut text = format!("# {}\n", words.join(" "));
    for entry in fs::read_dir(setup.dir)? {
        let entry = entry?;
        let path = entry.path();
        let is_conf = path.extension().is_some_and(|name| name == "conf");
        if is_conf && entry.metadata()?.len() <= MAX_CONF_BYTES {
            text += &fs::read_to_string(path)?;
        }
    }
    let text = text.replace(&setup.dir.display().to_string(), "DIR");
    let temporary = env::temp_dir().display().to_string();
    Ok(Some(text.replace(&temporary, "TMP")))
}

/// An argument; of a path elsewhere than in the server's own folder only the last part, which is the same everywhere.
fn shown(setup: &Setup<'_>, word: &OsStr) -> String {
    let path = Path::new(word);
    let elsewhere = path.is_absolute() && !path.starts_with(setup.dir);
    let name = path.file_name().filter(|_| elsewhere);
    name.unwrap_or(word).to_string_lossy().into_owned()
}
