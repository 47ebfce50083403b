use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use sluicegate_conf::Config;

/// How a server is to be started.
#[derive(Clone)]
pub struct ServerOptions {
    /// The configuration file; read again on reload.
    pub config_file: PathBuf,
    /// Whether AF_XDP may be used, if the configuration wants it.
    pub xdp: UseXdp,
    /// The pid file.
    pub pid_file: UsePidFile,
    /// The engine's program; its argument is `engine`.
    pub engine_program: PathBuf,
    /// Arguments that make that program the engine.
    pub engine_arguments: Vec<OsString>,
    /// The program of the privileged process (see `username`); its arguments follow.
    pub privileges_program: PathBuf,
    /// Arguments that make that program the privileged process; others are added.
    pub privileges_arguments: Vec<OsString>,
    /// Called with every configuration that takes effect, before anything else is done with it (to set up
    /// logging).
    pub on_config: Arc<dyn Fn(&Config) + Send + Sync>,
}

/// Whether AF_XDP may be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UseXdp {
    /// As the configuration says.
    Configured,
    /// Never (`--no-xdp`).
    Never,
}

/// Whether a pid file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UsePidFile {
    /// As the configuration says.
    Configured,
    /// Never (`-p`).
    Never,
}

impl ServerOptions {
    /// The defaults: everything as the configuration says, this program as the engine.
    pub fn new(config_file: impl Into<PathBuf>) -> Self {
        Self {
            config_file: config_file.into(),
            xdp: UseXdp::Configured,
            pid_file: UsePidFile::Configured,
            // Stays right when the file is replaced by a newer one.
            engine_program: PathBuf::from("/proc/self/exe"),
            engine_arguments: vec![OsString::from("engine")],
            privileges_program: PathBuf::from("/proc/self/exe"),
            privileges_arguments: vec![OsString::from("privileges")],
            on_config: Arc::new(|_| {}),
        }
    }
}
