use std::io::IoSlice;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, AsRawFd};

use nix::libc::{in_addr, in_pktinfo, in6_addr, in6_pktinfo};
use nix::sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage};
use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};

use super::receive::{BATCH, Buffers};
use super::{Endpoint, LocalAddress};

/// A reply that lies in a slot of [`Buffers`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply {
    /// The slot.
    pub(super) slot: usize,
    /// Its length in bytes.
    pub(super) len: usize,
}

/// Sends replies. One for each worker.
#[derive(Debug)]
pub(super) struct Sender {
    // One header each, kept so that a reply from a wildcard socket allocates nothing.
    v4: MultiHeaders<SockaddrStorage>,
    v6: MultiHeaders<SockaddrStorage>,
}

impl Sender {
    /// A sender.
    pub(super) fn new() -> Self {
        Self {
            v4: MultiHeaders::preallocate(1, Some(nix::cmsg_space!(in_pktinfo))),
            v6: MultiHeaders::preallocate(1, Some(nix::cmsg_space!(in6_pktinfo))),
        }
    }

    /// Sends the replies of one batch; returns how many the socket did not take.
    ///
    /// From an address of its own a socket takes all in one `sendmmsg`; from a wildcard each reply
    /// carries its own source address, and goes alone.
    pub(super) fn send_batch(
        &mut self,
        endpoint: &Endpoint,
        buffers: &Buffers,
        replies: &[Reply],
    ) -> u64 {
        if endpoint.is_wildcard() || replies.len() == 1 {
            let failed = replies.iter().filter(|reply| {
                let datagram = &buffers.datagrams[reply.slot];
                let bytes = &buffers.slot(reply.slot)[..reply.len];
                !self.send_one(endpoint, datagram.client, datagram.local, bytes)
            });
            return failed.count() as u64;
        }
        let mut failed = 0;
        for chunk in replies.chunks(BATCH) {
            failed += send_many(endpoint, buffers, chunk);
        }
        failed
    }

    /// Sends one reply; `false` if the socket did not take it.
    pub(super) fn send_one(
        &mut self,
        endpoint: &Endpoint,
        client: SocketAddr,
        local: Option<LocalAddress>,
        bytes: &[u8],
    ) -> bool {
        let Some(local) = local else {
            return rustix::net::sendto(endpoint, bytes, SendFlags::DONTWAIT, &client).is_ok();
        };
        let packet_info = PacketInfo::from(local);
        let (headers, control) = match &packet_info {
            PacketInfo::V4(info) => (&mut self.v4, ControlMessage::Ipv4PacketInfo(info)),
            PacketInfo::V6(info) => (&mut self.v6, ControlMessage::Ipv6PacketInfo(info)),
        };
        let fd = endpoint.as_fd().as_raw_fd();
        let slices = [[IoSlice::new(bytes)]];
        let to = [Some(SockaddrStorage::from(client))];
        // With a single message, Ok means that it was taken. The result must not be iterated: nix would
        // read an address that sending does not fill in.
        nix::sys::socket::sendmmsg(fd, headers, &slices, to, [control], MsgFlags::MSG_DONTWAIT)
            .is_ok()
    }
}

/// The source address of a reply, as the kernel wants it.
enum PacketInfo {
    V4(in_pktinfo),
    V6(in6_pktinfo),
}

impl From<LocalAddress> for PacketInfo {
    fn from(local: LocalAddress) -> Self {
        // Interface 0: the routing table decides, as for any other packet from that address.
        match local.ip {
            IpAddr::V4(ip) => {
                let ipi_spec_dst = in_addr {
                    s_addr: u32::from_ne_bytes(ip.octets()),
                };
                Self::V4(in_pktinfo {
                    ipi_ifindex: 0,
                    ipi_spec_dst,
                    ipi_addr: in_addr { s_addr: 0 },
                })
            }
            IpAddr::V6(ip) => {
                let ipi6_ifindex = if ip.is_unicast_link_local() {
                    local.ifindex
                } else {
                    0
                };
                Self::V6(in6_pktinfo {
                    ipi6_addr: in6_addr {
                        s6_addr: ip.octets(),
                    },
                    ipi6_ifindex,
                })
            }
        }
    }
}

/// Sends up to [`BATCH`] replies from the socket's own address.
fn send_many(endpoint: &Endpoint, buffers: &Buffers, replies: &[Reply]) -> u64 {
    let count = replies.len();
    // Arrays, so that nothing is allocated; what lies past the last reply repeats it and is not sent.
    let reply = |i: usize| replies[i.min(count - 1)];
    let addresses: [SocketAddrAny; BATCH] =
        std::array::from_fn(|i| buffers.datagrams[reply(i).slot].client.as_any());
    let slices: [[IoSlice<'_>; 1]; BATCH] = std::array::from_fn(|i| {
        let Reply { slot, len } = reply(i);
        [IoSlice::new(&buffers.slot(slot)[..len])]
    });
    let mut controls: [SendAncillaryBuffer<'_, '_, '_>; BATCH] =
        std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut i = 0;
    let mut messages = controls.each_mut().map(|control| {
        let message = MMsgHdr::new_with_addr(&addresses[i], &slices[i], control);
        i += 1;
        message
    });
    transmit(endpoint, &mut messages[..count])
}

/// Sends all; returns how many the socket did not take.
fn transmit(endpoint: &Endpoint, messages: &mut [MMsgHdr<'_>]) -> u64 {
    let (mut next, mut failed) = (0, 0);
    while next < messages.len() {
        match rustix::net::sendmmsg(endpoint, &mut messages[next..], SendFlags::DONTWAIT) {
            Ok(sent) => next += sent.max(1),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return failed + (messages.len() - next) as u64,
            Err(_) => {
                // The first one is at fault (an unreachable client, say); the others have their chance.
                failed += 1;
                next += 1;
            }
        }
    }
    failed
}
