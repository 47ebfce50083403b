use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::query::NicError;
use crate::sys::{Errno, NetlinkSocket, ready};

/// Tells when something about interfaces or addresses of this network namespace has changed; not what.
#[derive(Debug)]
pub struct Monitor {
    socket: NetlinkSocket,
}

/// `RTMGRP_LINK`, `RTMGRP_IPV4_IFADDR`, `RTMGRP_IPV6_IFADDR`.
const GROUPS: u32 = 0x1 | 0x10 | 0x100;
/// Messages taken at once, at most; if more wait, the next call says "changed" again.
const MESSAGES: usize = 4096;

impl Monitor {
    /// Starts to watch. What changes from now on is told.
    ///
    /// # Errors
    /// [`NicError::Os`].
    pub fn open() -> Result<Self, NicError> {
        let socket = NetlinkSocket::open(libc::NETLINK_ROUTE, GROUPS).map_err(os)?;
        Ok(Self { socket })
    }

    /// Waits until something changes, at most `timeout`. `true` if something has, or may have: changes that came too fast
    /// for the socket's buffer count as one.
    ///
    /// # Errors
    /// [`NicError::Os`].
    pub fn wait(&mut self, timeout: Duration) -> Result<bool, NicError> {
        ready(self.socket.as_fd(), None, timeout).map_err(os)?;
        let mut changed = false;
        let mut buffer = [0; 16];
        for _ in 0..MESSAGES {
            // Messages are cut off to the buffer: that there is one is all that counts.
            match self.socket.receive(&mut buffer) {
                Ok(_) => changed = true,
                Err(errno) => match errno.number() {
                    libc::EAGAIN => return Ok(changed),
                    libc::ENOBUFS => changed = true,
                    libc::EINTR => {}
                    _ => return Err(os(errno)),
                },
            }
        }
        Ok(true)
    }
}

fn os(errno: Errno) -> NicError {
    NicError::Os {
        call: "rtnetlink",
        errno,
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
