//! The whole server: start, run, reload, end.

mod announce;
mod error;
mod machine;
mod named_files;
mod options;
mod reload;
mod running;
mod start;

pub(crate) use machine::Machine;

pub use error::{ReloadError, StartError};
pub(crate) use machine::listen_addresses;
pub use options::{ServerOptions, UsePidFile, UseXdp};
pub use running::{Ended, RunningServer};
pub use start::Server;
