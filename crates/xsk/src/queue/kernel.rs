use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::counters::XdpStatistics;
use crate::ring::{Consumer, Producer, SharedRing};
use crate::sys::{Descriptor, Errno, XdpSocket, ready};

/// The system calls that a running queue makes: the seam at which tests put another kernel.
pub(crate) trait Kernel: Send {
    /// `sendto`: look at the TX ring.
    fn kick_tx(&mut self) -> Result<(), Errno>;
    /// `recvfrom`: look at the fill ring. `ENXIO` if the socket is not bound any more.
    fn kick_rx(&mut self) -> Result<(), Errno>;
    /// `poll`: whether the RX ring and the other descriptor can be read.
    fn wait(
        &mut self,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> Result<(bool, bool), Errno>;
    /// `XDP_STATISTICS`.
    fn statistics(&self) -> Result<XdpStatistics, Errno>;
    /// `SO_INCOMING_NAPI_ID`: what busy polling drives; 0 if it is not known.
    fn napi_id(&self) -> u32;
    /// The socket.
    fn fd(&self) -> BorrowedFd<'_>;
}

impl Kernel for XdpSocket {
    fn kick_tx(&mut self) -> Result<(), Errno> {
        Self::kick_tx(self)
    }

    fn kick_rx(&mut self) -> Result<(), Errno> {
        Self::kick_rx(self)
    }

    fn wait(
        &mut self,
        wake: Option<BorrowedFd<'_>>,
        timeout: Duration,
    ) -> Result<(bool, bool), Errno> {
        ready(self.as_fd(), wake, timeout)
    }

    fn statistics(&self) -> Result<XdpStatistics, Errno> {
        Self::statistics(self).map(XdpStatistics::from)
    }

    fn napi_id(&self) -> u32 {
        Self::napi_id(self)
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.as_fd()
    }
}

/// Our ends of the four rings.
#[derive(Debug)]
pub(crate) struct KernelRings {
    pub(crate) rx: Consumer<Descriptor, SharedRing<Descriptor>>,
    pub(crate) tx: Producer<Descriptor, SharedRing<Descriptor>>,
    pub(crate) fill: Producer<u64, SharedRing<u64>>,
    pub(crate) completion: Consumer<u64, SharedRing<u64>>,
}
