use std::io::{IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6, SockaddrLike, recvmmsg,
    sendmmsg, setsockopt, sockopt,
};

use super::LocalAddress;
use super::receive::BATCH;

/// Sends replies of wildcard sockets: each call sends those that leave from one address.
#[derive(Debug)]
pub(super) struct Sourced {
    v4: Headers<SockaddrIn>,
    v6: Headers<SockaddrIn6>,
}

/// The headers of one family, kept so that sending allocates nothing.
#[derive(Debug)]
struct Headers<S> {
    all: MultiHeaders<S>,
    /// Room for one PKTINFO.
    control: fn() -> Vec<u8>,
    /// Messages in one call: all, once the headers have been [primed](Self::prime); until then one.
    most: usize,
    /// Whether that has been tried: a loopback that swallows packets holds a worker up once.
    is_tried: bool,
}

/// How long this machine's own datagrams may take to come back to it.
const LOOP_LIMIT: Duration = Duration::from_secs(1);

impl Sourced {
    /// One message in each call.
    pub(super) fn new() -> Self {
        Self {
            v4: Headers::new(|| nix::cmsg_space!(in_pktinfo)),
            v6: Headers::new(|| nix::cmsg_space!(in6_pktinfo)),
        }
    }

    /// From now on several in one call for this family, if this machine's loopback works.
    pub(super) fn prepare(&mut self, is_ipv4: bool) {
        let primed = if is_ipv4 {
            self.v4.prime(Ipv4Addr::LOCALHOST.into(), |socket| {
                setsockopt(socket, sockopt::Ipv4PacketInfo, &true)
            })
        } else {
            self.v6.prime(Ipv6Addr::LOCALHOST.into(), |socket| {
                setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)
            })
        };
        if let Err(error) = primed {
            tracing::debug!("replies of a wildcard address are sent one by one: {error}");
        }
    }

    /// Whether that has been done.
    #[cfg(test)]
    pub(super) const fn is_prepared(&self, is_ipv4: bool) -> bool {
        let most = if is_ipv4 { self.v4.most } else { self.v6.most };
        most == BATCH
    }

    /// Sends up to [`BATCH`] replies from one address; returns how many the socket did not take.
    pub(super) fn send<'a>(
        &mut self,
        socket: impl AsFd,
        local: LocalAddress,
        replies: impl Iterator<Item = (SocketAddr, &'a [u8])>,
    ) -> u64 {
        match local.ip {
            IpAddr::V4(ip) => {
                let replies = replies.filter_map(|(client, bytes)| match client {
                    SocketAddr::V4(client) => Some((SockaddrIn::from(client), bytes)),
                    SocketAddr::V6(_) => None,
                });
                let source = source_v4(ip);
                self.v4
                    .send(socket, &ControlMessage::Ipv4PacketInfo(&source), replies)
            }
            IpAddr::V6(ip) => {
                let replies = replies.filter_map(|(client, bytes)| match client {
                    SocketAddr::V6(client) => Some((SockaddrIn6::from(client), bytes)),
                    SocketAddr::V4(_) => None,
                });
                let source = source_v6(ip, local.ifindex);
                self.v6
                    .send(socket, &ControlMessage::Ipv6PacketInfo(&source), replies)
            }
        }
    }
}

impl<S: SockaddrLike + Copy> Headers<S> {
    fn new(control: fn() -> Vec<u8>) -> Self {
        Self {
            all: MultiHeaders::preallocate(BATCH, Some(control())),
            control,
            most: 1,
            is_tried: false,
        }
    }

    fn send<'a>(
        &mut self,
        socket: impl AsFd,
        source: &ControlMessage<'_>,
        mut replies: impl Iterator<Item = (S, &'a [u8])>,
    ) -> u64 {
        let mut clients = [None; BATCH];
        let mut count = 0;
        let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|i| {
            let Some((client, bytes)) = replies.next() else {
                return [IoSlice::new(&[])];
            };
            clients[i] = Some(client);
            count = i + 1;
            [IoSlice::new(bytes)]
        });
        let fd = socket.as_fd().as_raw_fd();
        let (mut next, mut failed) = (0, 0);
        while next < count {
            let some = next..count.min(next + self.most);
            let sent = sendmmsg(
                fd,
                &mut self.all,
                &slices[some.clone()],
                &clients[some.clone()],
                [*source],
                MsgFlags::MSG_DONTWAIT,
            );
            match sent {
                // Not to be looked at before the headers have been primed.
                Ok(sent) => next += if some.len() == 1 { 1 } else { sent.count() },
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return failed + (count - next) as u64,
                Err(_) => {
                    // The first one is at fault (an unreachable client, say); the others have their chance.
                    failed += 1;
                    next += 1;
                }
            }
        }
        failed
    }

    /// Receives once into each header, from ourselves.
    ///
    /// How many messages were sent is told by counting results that hold an address each. Sending doesn't write it, and
    /// reading it unwritten would be undefined behaviour; receiving does, every octet of it, and it stays. Headers that have
    /// sent must not receive any more, since they still point at the replies' addresses: these are new ones.
    fn prime(
        &mut self,
        loopback: IpAddr,
        tell_packet_info: impl FnOnce(&UdpSocket) -> nix::Result<()>,
    ) -> std::io::Result<()> {
        if std::mem::replace(&mut self.is_tried, true) {
            return Ok(());
        }
        self.all = MultiHeaders::preallocate(BATCH, Some((self.control)()));
        let socket = UdpSocket::bind((loopback, 0))?;
        // As in what is sent, or there would be no room for it afterwards.
        tell_packet_info(&socket)?;
        socket.set_read_timeout(Some(LOOP_LIMIT))?;
        for _ in 0..BATCH {
            socket.send_to(&[0], socket.local_addr()?)?;
        }
        let mut storage = [[0]; BATCH];
        let mut slices = storage.each_mut().map(|one| [IoSliceMut::new(one)]);
        let received = recvmmsg(
            socket.as_raw_fd(),
            &mut self.all,
            slices.iter_mut(),
            MsgFlags::empty(),
            None,
        )?;
        if received.count() < BATCH {
            return Err(std::io::ErrorKind::TimedOut.into());
        }
        self.most = BATCH;
        Ok(())
    }
}

/// Interface 0: the routing table decides, as for any other packet from that address.
fn source_v4(ip: Ipv4Addr) -> in_pktinfo {
    in_pktinfo {
        ipi_ifindex: 0,
        ipi_spec_dst: in_addr {
            s_addr: u32::from_ne_bytes(ip.octets()),
        },
        ipi_addr: in_addr { s_addr: 0 },
    }
}

/// Only a link-local address is tied to its interface.
fn source_v6(ip: Ipv6Addr, ifindex: u32) -> in6_pktinfo {
    in6_pktinfo {
        ipi6_addr: in6_addr {
            s6_addr: ip.octets(),
        },
        ipi6_ifindex: if ip.is_unicast_link_local() {
            ifindex
        } else {
            0
        },
    }
}
