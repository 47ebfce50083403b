use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use socket2::Socket;

/// One worker's socket for one listen address.
#[derive(Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    socket: Socket,
}

impl Endpoint {
    /// Joins a bound socket with its address.
    pub(crate) const fn new(address: SocketAddr, socket: Socket) -> Self {
        Self { address, socket }
    }

    /// The listen address.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether each packet must tell the address it was sent to (`PKTINFO`).
    pub(crate) const fn is_wildcard(&self) -> bool {
        self.address.ip().is_unspecified()
    }
}

impl AsFd for Endpoint {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The address that was asked on a wildcard socket; the reply leaves from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LocalAddress {
    /// The address.
    pub(crate) ip: IpAddr,
    /// The interface the query came by. Only link-local replies are tied to it; all others follow the
    /// routing table.
    pub(crate) ifindex: u32,
}
