//! The server as a process: its user, its limits, its signals, its pid file, its service manager.

mod limits;
pub(crate) mod manager;
mod pidfile;
mod privileges;
mod raise;
mod release;
mod signals;
mod walls;

pub(crate) use limits::raise_limits;
pub(crate) use pidfile::PidFile;
pub use privileges::PrivilegeError;
pub(crate) use privileges::{OPENING, User, give_up, has_privileges, needed_to_serve, pass_on};
pub use raise::raise_permitted;
pub(crate) use signals::Order;
pub use signals::Signals;
pub(crate) use walls::{Inmate, WallError, wall_in, wall_in_worker};
