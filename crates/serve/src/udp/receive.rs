use std::io::IoSliceMut;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, RecvMsg, SockaddrStorage, recvmmsg,
};

use super::{Endpoint, LocalAddress};

/// Datagrams taken in one system call.
pub(super) const BATCH: usize = 32;

/// The `recvmmsg` headers of one socket.
///
/// They belong to one socket and are never lent to another: the kernel overwrites the lengths of address
/// and control data with what it used, and nix does not reset them. On one socket both are the same for
/// every datagram.
#[derive(Debug)]
pub(super) struct Receiver {
    headers: MultiHeaders<SockaddrStorage>,
}

/// One received datagram.
#[derive(Clone, Copy, Debug)]
pub(super) struct Datagram {
    /// Its length in bytes; `None`: it must not be answered.
    pub(super) len: Option<usize>,
    /// Who sent it.
    pub(super) client: SocketAddr,
    /// The address that was asked, on a wildcard socket.
    pub(super) local: Option<LocalAddress>,
}

impl Datagram {
    const NONE: Self = Self {
        len: None,
        client: SocketAddr::V4(std::net::SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0)),
        local: None,
    };
}

/// A worker's receive buffers: `BATCH` slots in one allocation. Replies are written where their queries lie.
#[derive(Debug)]
pub(super) struct Buffers {
    storage: Vec<u8>,
    slot_bytes: usize,
    /// What the slots hold after [`Receiver::receive`].
    pub(super) datagrams: [Datagram; BATCH],
}

impl Buffers {
    /// Slots of `slot_bytes` each.
    pub(super) fn new(slot_bytes: usize) -> Self {
        Self {
            storage: vec![0; BATCH * slot_bytes],
            slot_bytes,
            datagrams: [Datagram::NONE; BATCH],
        }
    }

    /// The bytes of one slot.
    pub(super) fn slot(&self, index: usize) -> &[u8] {
        &self.storage[index * self.slot_bytes..][..self.slot_bytes]
    }

    /// See [`slot`](Self::slot).
    pub(super) fn slot_mut(&mut self, index: usize) -> &mut [u8] {
        &mut self.storage[index * self.slot_bytes..][..self.slot_bytes]
    }
}

impl Receiver {
    /// Headers for this socket.
    pub(super) fn new(endpoint: &Endpoint) -> Self {
        // Exactly one PKTINFO of the socket's own family fits.
        let control = match (endpoint.is_wildcard(), endpoint.address().is_ipv4()) {
            (false, _) => None,
            (true, true) => Some(nix::cmsg_space!(nix::libc::in_pktinfo)),
            (true, false) => Some(nix::cmsg_space!(nix::libc::in6_pktinfo)),
        };
        Self {
            headers: MultiHeaders::preallocate(BATCH, control),
        }
    }

    /// Takes up to [`BATCH`] datagrams without waiting; returns how many.
    ///
    /// # Errors
    /// The kernel's; nothing was taken. `EAGAIN`: there was nothing.
    pub(super) fn receive(
        &mut self,
        endpoint: &Endpoint,
        buffers: &mut Buffers,
    ) -> nix::Result<usize> {
        let mut slots = buffers.storage.chunks_exact_mut(buffers.slot_bytes);
        let mut slices: [[IoSliceMut<'_>; 1]; BATCH] =
            std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
        let fd = endpoint.as_fd().as_raw_fd();
        let messages = recvmmsg(
            fd,
            &mut self.headers,
            slices.iter_mut(),
            MsgFlags::MSG_DONTWAIT,
            None,
        )?;
        let mut count = 0;
        let wildcard = endpoint.is_wildcard();
        for (message, datagram) in messages.zip(&mut buffers.datagrams) {
            *datagram = describe(&message, wildcard);
            count += 1;
        }
        Ok(count)
    }
}

fn describe(message: &RecvMsg<'_, '_, SockaddrStorage>, wildcard: bool) -> Datagram {
    let Some(client) = message.address.as_ref().and_then(socket_address) else {
        return Datagram::NONE;
    };
    let whole = !message.flags.contains(MsgFlags::MSG_TRUNC);
    let local = if wildcard {
        local_address(message)
    } else {
        None
    };
    let answerable = whole && client.port() != 0 && (local.is_some() || !wildcard);
    Datagram {
        len: answerable.then_some(message.bytes),
        client,
        local,
    }
}

fn socket_address(address: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = address.as_sockaddr_in() {
        return Some(SocketAddr::V4((*v4).into()));
    }
    address
        .as_sockaddr_in6()
        .map(|v6| SocketAddr::V6((*v6).into()))
}

/// The address the query was sent to; `None` for broadcast and multicast, which are never answered.
fn local_address(message: &RecvMsg<'_, '_, SockaddrStorage>) -> Option<LocalAddress> {
    message.cmsgs().ok()?.find_map(|control| match control {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            // ipi_addr is the header's destination, ipi_spec_dst the local address that stands for it: they
            // differ for broadcast and multicast.
            let same = info.ipi_addr.s_addr == info.ipi_spec_dst.s_addr;
            let ip = Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes());
            same.then(|| LocalAddress {
                ip: ip.into(),
                ifindex: info.ipi_ifindex.cast_unsigned(),
            })
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            let ip = std::net::Ipv6Addr::from(info.ipi6_addr.s6_addr);
            (!ip.is_multicast()).then(|| LocalAddress {
                ip: ip.into(),
                ifindex: info.ipi6_ifindex,
            })
        }
        _ => None,
    })
}
