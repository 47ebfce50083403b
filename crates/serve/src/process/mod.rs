//! The server as a process: its user, its limits, its signals, its pid file, its service manager.

mod limits;
pub(crate) mod manager;
mod pidfile;
mod privileges;
mod signals;

pub(crate) use limits::raise_limits;
pub(crate) use pidfile::PidFile;
pub use privileges::PrivilegeError;
pub(crate) use privileges::{User, become_user};
pub(crate) use signals::Order;
pub use signals::Signals;
