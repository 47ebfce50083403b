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
    _attached: Option<AttachedLink>,
    _folder: Option<Folder>,
}

/// How long a server may take to start; some read a zone of a million names first.
pub(super) const START_LIMIT: Duration = Duration::from_mins(2);

impl Running {
    pub(super) fn attached(link: AttachedLink) -> Self {
        Self {
            process: None,
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

    /// The number of the server's process; none if the kernel itself answers.
    pub(crate) fn pid(&self) -> Option<i32> {
        self.process.as_ref().map(Process::pid)
    }
}
