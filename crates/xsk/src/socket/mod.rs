//! How a queue is opened: memory, socket, rings, bind, XSKMAP; and what is tried when it doesn't work.

mod bind;
mod builder;
mod error;
mod holder;
#[cfg(feature = "loader")]
mod ladder;
mod unbound;

use crate::sys::{Errno, XdpSocket};

pub use builder::{BindReport, BusyPoll, Mode, QueueBuilder};
pub use error::BindError;
pub use holder::Holder;
#[cfg(feature = "loader")]
pub use ladder::{
    Climbed, Fall, Footing, Ladder, NegotiateError, Negotiated, Rung, RungFailure, Setback,
    negotiate,
};
pub use unbound::UnboundSocket;

/// Makes an AF_XDP socket and closes it again: whether this thread may have one.
///
/// # Errors
/// `EAFNOSUPPORT`: the kernel has none, or a filter (systemd's `RestrictAddressFamilies=`) says so. `EPERM`: `CAP_NET_RAW`
/// is missing, or a seccomp filter or security module forbids it.
pub fn try_socket() -> Result<(), Errno> {
    XdpSocket::new().map(drop)
}
