use std::io::IoSlice;
use std::net::SocketAddr;

use rustix::io::Errno;
use rustix::net::addr::SocketAddrArg;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny};

use super::receive::{BATCH, Buffers};
use super::sourced::Sourced;
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
    sourced: Sourced,
}

impl Sender {
    /// A sender.
    pub(super) fn new() -> Self {
        Self {
            sourced: Sourced::new(),
        }
    }

    /// Gets ready for a socket that will be sent from.
    pub(super) fn prepare(&mut self, endpoint: &Endpoint) {
        if endpoint.is_wildcard() {
            self.sourced.prepare(endpoint.address().is_ipv4());
        }
    }

    /// Sends the replies of one batch; returns how many the socket did not take.
    ///
    /// From an address of its own a socket takes all in one `sendmmsg`; from a wildcard those beside each other that
    /// leave from the same address.
    pub(super) fn send_batch(
        &mut self,
        endpoint: &Endpoint,
        buffers: &Buffers,
        replies: &[Reply],
    ) -> u64 {
        let local = |reply: &Reply| buffers.datagrams[reply.slot].local;
        let parts = replies.chunks(BATCH);
        let runs = parts.flat_map(|part| part.chunk_by(|a, b| local(a) == local(b)));
        let mut failed = 0;
        for run in runs {
            let mut messages = run.iter().map(|reply| {
                let client = buffers.datagrams[reply.slot].client;
                (client, &buffers.slot(reply.slot)[..reply.len])
            });
            failed += match (local(&run[0]), run.len()) {
                (Some(local), _) => self.sourced.send(endpoint, local, messages),
                (None, 1) => {
                    let alone = |(client, bytes)| !self.send_one(endpoint, client, None, bytes);
                    u64::from(messages.next().is_some_and(alone))
                }
                (None, _) => send_many(endpoint, buffers, run),
            };
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
        match local {
            None => rustix::net::sendto(endpoint, bytes, SendFlags::DONTWAIT, &client).is_ok(),
            Some(local) => {
                let once = std::iter::once((client, bytes));
                self.sourced.send(endpoint, local, once) == 0
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

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

    use super::*;
    use crate::listen::open_udp;
    use crate::testing::{free, udp_client};

    /// Replies in all slots but the third, whose client can't be sent to, from `sources` in turn.
    fn send_all(bound: IpAddr, sources: &[IpAddr]) {
        let address = free(bound);
        let socket = open_udp(address, 1).unwrap().remove(0);
        let endpoint = Endpoint::new(address, socket);
        let mut sender = Sender::new();
        // Before and after it is ready for this socket.
        for is_ready in [false, true] {
            if is_ready {
                sender.prepare(&endpoint);
            }
            let clients = sources.iter().map(|ip| {
                let client = udp_client(SocketAddr::new(*ip, address.port()));
                (*ip, client)
            });
            let clients: Vec<(IpAddr, UdpSocket)> = clients.collect();
            let mut buffers = Buffers::new(64);
            let mut replies = Vec::new();
            for slot in 0..BATCH {
                let (ip, client) = &clients[slot / 5 % clients.len()];
                let datagram = &mut buffers.datagrams[slot];
                datagram.client = match slot {
                    2 => SocketAddr::new(*ip, 0), // EINVAL
                    _ => client.local_addr().unwrap(),
                };
                datagram.local = endpoint.is_wildcard().then_some(LocalAddress {
                    ip: *ip,
                    ifindex: 1,
                });
                buffers.slot_mut(slot)[0] = slot as u8;
                replies.push(Reply { slot, len: 1 });
            }
            assert_eq!(sender.send_batch(&endpoint, &buffers, &replies), 1);
            for slot in (0..BATCH).filter(|slot| *slot != 2) {
                let mut buf = [0; 64];
                let len = clients[slot / 5 % clients.len()].1.recv(&mut buf).unwrap();
                assert_eq!(buf[..len], [slot as u8], "{bound}, ready: {is_ready}");
            }
        }
        if endpoint.is_wildcard() {
            assert!(sender.sourced.is_prepared(bound.is_ipv4()));
        }
    }

    #[test]
    fn a_reply_that_cannot_be_sent_keeps_no_other_of_its_batch_back() {
        let v4 = |last| IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
        send_all(v4(1), &[v4(1)]);
        send_all(Ipv4Addr::UNSPECIFIED.into(), &[v4(1), v4(7), v4(200)]);
        let one = Ipv6Addr::LOCALHOST.into();
        send_all(one, &[one]);
        send_all(Ipv6Addr::UNSPECIFIED.into(), &[one]);
    }
}
