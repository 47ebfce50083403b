//! UDP sockets on the wildcard address that know at which address they were asked, and answer from there.

use std::io::{IoSlice, IoSliceMut};
use std::net::{
    IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpListener, UdpSocket,
};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use anyhow::{Context, Result};
use nix::cmsg_space;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike,
    SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

/// A UDP socket on the wildcard address of one family.
pub(super) struct AnyUdp(UdpSocket);

/// A datagram.
pub(super) struct Datagram {
    pub(super) message: Vec<u8>,
    pub(super) from: SocketAddr,
    pub(super) to: IpAddr,
}

const MAX_UDP_BYTES: usize = 65_535;
const TCP_BACKLOG: i32 = 64;

impl AnyUdp {
    pub(super) fn bind(address: SocketAddr) -> Result<Self> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::DGRAM,
            Some(Protocol::UDP),
        )?;
        if address.is_ipv6() {
            socket.set_only_v6(true)?;
            setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
        } else {
            setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
        }
        socket.bind(&address.into())?;
        socket.set_nonblocking(true)?;
        Ok(Self(socket.into()))
    }

    /// Takes a datagram that is there.
    pub(super) fn receive(&self) -> Result<Datagram> {
        let mut message = vec![0; MAX_UDP_BYTES];
        let mut space = cmsg_space!(in6_pktinfo);
        let mut slices = [IoSliceMut::new(&mut message)];
        let received = recvmsg::<SockaddrStorage>(
            self.0.as_raw_fd(),
            &mut slices,
            Some(&mut space),
            MsgFlags::empty(),
        )?;
        let to = received.cmsgs()?.find_map(|control| match control {
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into())
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into())
            }
            _ => None,
        });
        let from = received.address.as_ref().and_then(socket_addr);
        let length = received.bytes;
        message.truncate(length);
        Ok(Datagram {
            message,
            from: from.context("a datagram without source")?,
            to: to.context("a datagram without destination")?,
        })
    }

    /// Sends a message back: from the address that was asked.
    pub(super) fn send(&self, message: &[u8], from: IpAddr, to: SocketAddr) -> Result<()> {
        let slices = [IoSlice::new(message)];
        let fd = self.0.as_raw_fd();
        let none = MsgFlags::empty();
        match (from, to) {
            (IpAddr::V4(from), SocketAddr::V4(to)) => {
                let info = in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst: in_addr {
                        s_addr: u32::from_ne_bytes(from.octets()),
                    },
                    ipi_addr: in_addr { s_addr: 0 },
                };
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(fd, &slices, &control, none, Some(&SockaddrIn::from(to)))?;
            }
            (IpAddr::V6(from), SocketAddr::V6(to)) => {
                let info = in6_pktinfo {
                    ipi6_addr: in6_addr {
                        s6_addr: from.octets(),
                    },
                    ipi6_ifindex: 0,
                };
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(fd, &slices, &control, none, Some(&SockaddrIn6::from(to)))?;
            }
            _ => unreachable!("a socket has one address family"),
        }
        Ok(())
    }
}

impl AsFd for AnyUdp {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// A TCP listener on the wildcard address of one family only.
pub(super) fn listen(address: SocketAddr) -> Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(TCP_BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

fn socket_addr(address: &SockaddrStorage) -> Option<SocketAddr> {
    address.family()?;
    let v4 = address
        .as_sockaddr_in()
        .map(|v4| SocketAddrV4::from(*v4).into());
    v4.or_else(|| {
        address
            .as_sockaddr_in6()
            .map(|v6| SocketAddrV6::from(*v6).into())
    })
}
