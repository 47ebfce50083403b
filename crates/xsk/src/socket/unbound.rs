use std::os::fd::OwnedFd;

use super::builder::BusyPoll;
use super::error::BindError;
use crate::privileges::{Capability, MissingCapabilities};
use crate::sys::{Errno, XdpSocket};

/// An AF_XDP socket that is bound to nothing yet. To make it, and to have it poll the device, takes privileges
/// (`CAP_NET_RAW`, `CAP_NET_ADMIN`); to bind it takes none, so one process may make it for another.
#[derive(Debug)]
pub struct UnboundSocket {
    socket: XdpSocket,
    busy_poll: Option<bool>,
}

impl UnboundSocket {
    /// Makes one.
    ///
    /// # Errors
    /// [`BindError::NotPermitted`], [`BindError::NoAfXdp`], [`BindError::Os`].
    pub fn create(busy_poll: BusyPoll) -> Result<Self, BindError> {
        let socket = XdpSocket::new().map_err(Self::refusal)?;
        let busy_poll = match busy_poll {
            BusyPoll::Off => None,
            BusyPoll::On { usecs, budget } => Some(socket.prefer_busy_poll(usecs, budget).is_ok()),
        };
        Ok(Self { socket, busy_poll })
    }

    /// One that somebody else made, and whether it was set to poll (`None`: that was not tried).
    pub const fn from_fd(fd: OwnedFd, busy_poll: Option<bool>) -> Self {
        Self {
            socket: XdpSocket::from_fd(fd),
            busy_poll,
        }
    }

    /// Whether the kernel took the options for busy polling; `None` if it wasn't asked to.
    pub const fn busy_poll(&self) -> Option<bool> {
        self.busy_poll
    }

    /// What an error number of `socket(AF_XDP)` means.
    pub fn refusal(errno: Errno) -> BindError {
        match errno.number() {
            libc::EPERM | libc::EACCES => BindError::NotPermitted {
                call: "socket(AF_XDP)",
                missing: MissingCapabilities::of(&[Capability::NetRaw]),
            },
            libc::EAFNOSUPPORT => BindError::NoAfXdp,
            _ => BindError::Os {
                call: "socket(AF_XDP)",
                errno,
            },
        }
    }

    pub(super) fn into_parts(self) -> (XdpSocket, Option<bool>) {
        (self.socket, self.busy_poll)
    }
}

impl From<UnboundSocket> for OwnedFd {
    fn from(unbound: UnboundSocket) -> Self {
        unbound.socket.into_fd()
    }
}
