//! The control socket: a unix socket, one line in, text out, end.

mod client;
mod server;

pub use client::{ControlError, request};
pub(crate) use server::{ControlHandle, ControlSocket};

use std::path::{Path, PathBuf};

use sluicegate_conf::ControlConfig;

/// Where the control socket is when the configuration does not say.
pub const DEFAULT_SOCKET: &str = "/run/sluicegate.ctl";

/// Where this configuration puts the control socket; `None`: it has none.
pub fn socket_path(config: &ControlConfig) -> Option<PathBuf> {
    if config.enable == Some(false) {
        return None;
    }
    Some(
        config
            .socket
            .clone()
            .unwrap_or_else(|| Path::new(DEFAULT_SOCKET).to_owned()),
    )
}
