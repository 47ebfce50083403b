use std::io;
use std::path::PathBuf;

use crate::handoff::HubError;
use crate::load::LoadError;
use crate::process::PrivilegeError;
use crate::xdp::GateError;

/// Why the server did not start. Nothing of it runs then.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration can't be used.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// Not one listen address could be opened; each reason has been logged.
    #[error("no listen address could be opened ({failed} tried)")]
    NothingBound {
        /// How many were tried.
        failed: usize,
    },
    /// The user.
    #[error(transparent)]
    User(#[from] PrivilegeError),
    /// The engine.
    #[error("the engine did not start")]
    Engine(#[from] HubError),
    /// AF_XDP, which the configuration insists on.
    #[error(transparent)]
    Xdp(#[from] GateError),
    /// `directory` can't be entered.
    #[error("directory: cannot change to {}: {source}", path.display())]
    Directory {
        /// What the configuration says.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The pid file can't be written.
    #[error("pidfile: cannot write {}: {source}", path.display())]
    PidFile {
        /// What the configuration says.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Files or threads ran out.
    #[error("cannot start {what}: {source}")]
    Os {
        /// What was to be started.
        what: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Why a reload did not take effect. The old configuration goes on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The new configuration can't be used.
    #[error(transparent)]
    Config(#[from] LoadError),
    /// The engine did not start with it.
    #[error("the engine did not start with it: {0}")]
    Engine(#[from] sluicegate_engine::StartError),
    /// The hand-off thread or the server is ending.
    #[error("the server is ending")]
    Stopping,
}
