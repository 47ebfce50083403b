use std::os::fd::{AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recvfrom,
    sendto, setsockopt, socket, sockopt::ReceiveTimeout,
};
use nix::sys::time::TimeVal;

use crate::netns::Netns;

/// Sends and receives whole Ethernet frames on one interface (`AF_PACKET`).
pub struct RawSocket {
    socket: OwnedFd,
    link: LinkAddr,
}

/// Larger than any frame of an interface with the usual MTUs.
const MAX_FRAME_BYTES: usize = 16 * 1024;

impl RawSocket {
    /// Opens `interface` of the namespace.
    pub fn open(netns: &Netns, interface: &str) -> Result<Self> {
        netns.enter(|| {
            let link = nix::ifaddrs::getifaddrs()?
                .filter(|address| address.interface_name == interface)
                .find_map(|address| {
                    address
                        .address
                        .as_ref()
                        .and_then(SockaddrStorage::as_link_addr)
                        .copied()
                })
                .with_context(|| format!("no interface {interface}"))?;
            let socket = socket(
                AddressFamily::Packet,
                SockType::Raw,
                SockFlag::SOCK_CLOEXEC,
                SockProtocol::EthAll,
            )?;
            Ok(Self { socket, link })
        })
    }

    /// The interface's own MAC address.
    pub fn mac(&self) -> [u8; 6] {
        self.link
            .addr()
            .expect("an Ethernet interface has an address")
    }

    /// Sends one frame as it is.
    pub fn send(&self, frame: &[u8]) -> Result<()> {
        let sent = sendto(
            self.socket.as_raw_fd(),
            frame,
            &self.link,
            MsgFlags::empty(),
        )
        .context("sending a frame")?;
        if sent != frame.len() {
            bail!("{sent} of {} bytes were sent", frame.len());
        }
        Ok(())
    }

    /// The next frame that came in on the interface and that `wanted` accepts; `None` when `limit` is over.
    pub fn receive(
        &self,
        limit: Duration,
        mut wanted: impl FnMut(&[u8]) -> bool,
    ) -> Result<Option<Vec<u8>>> {
        let end = Instant::now() + limit;
        let mut buffer = vec![0; MAX_FRAME_BYTES];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let micros = i64::try_from(left.as_micros()).unwrap_or(i64::MAX).max(1);
            setsockopt(
                &self.socket,
                ReceiveTimeout,
                &TimeVal::new(micros / 1_000_000, micros % 1_000_000),
            )?;
            let (length, from) = match recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
                Ok(received) => received,
                Err(Errno::EAGAIN | Errno::EINTR) => continue,
                Err(errno) => return Err(errno).context("receiving a frame"),
            };
            // The socket hears every interface of the namespace, and what this one sends itself.
            let here = from.is_some_and(|from| from.ifindex() == self.link.ifindex());
            let frame = &buffer[..length];
            let ours = frame.get(6..12) == Some(&self.mac()[..]);
            if here && !ours && wanted(frame) {
                return Ok(Some(frame.to_vec()));
            }
        }
    }
}
