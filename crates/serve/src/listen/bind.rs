use std::fmt;
use std::io;
use std::net::SocketAddr;

use nix::sys::socket::{setsockopt, sockopt};
use rustix::net::sockopt::{
    Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery, set_ip_mtu_discover, set_ipv6_mtu_discover,
};
use socket2::{Domain, Protocol, Socket, Type};

use super::Holder;

/// The transport a listen address is opened for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are the protocols")]
pub enum Transport {
    Udp,
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        })
    }
}

/// Why a listen address has no socket.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Somebody else has the port.
    #[error("cannot listen on {transport} {address}: the port is in use{}; stop it, or choose another `interface` or `port`", by(holder.as_ref()))]
    InUse {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
        /// Who has it, if that can be seen.
        holder: Option<Holder>,
    },
    /// The address is not (yet) on this machine.
    #[error(
        "cannot listen on {transport} {address}: no interface has this address (yet); it is tried again when one does"
    )]
    NotHere {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
    },
    /// Not permitted.
    #[error(
        "cannot listen on {transport} {address}: not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE"
    )]
    Denied {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
    },
    /// The privileged process does not find it in the configuration that it has read.
    #[error(
        "cannot listen on {transport} {address}: the privileged process doesn't find it in the configuration file; it is \
         tried again"
    )]
    NotListed {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
    },
    /// Another failure.
    #[error("cannot listen on {transport} {address}: {call}: {source}")]
    Os {
        /// The address.
        address: SocketAddr,
        /// UDP or TCP.
        transport: Transport,
        /// The system call.
        call: &'static str,
        /// What it said.
        source: io::Error,
    },
}

impl BindError {
    /// The address that could not be opened.
    pub const fn address(&self) -> SocketAddr {
        match self {
            Self::InUse { address, .. }
            | Self::NotHere { address, .. }
            | Self::Denied { address, .. }
            | Self::NotListed { address, .. }
            | Self::Os { address, .. } => *address,
        }
    }

    /// Finds out who has the port, which takes a look at every process.
    pub(crate) fn find_holder(&mut self) {
        if let Self::InUse {
            address,
            transport,
            holder,
        } = self
        {
            *holder = Holder::find(*transport, *address);
        }
    }

    /// Whether trying again later may help without anybody's doing.
    pub const fn is_not_here(&self) -> bool {
        matches!(self, Self::NotHere { .. })
    }
}

fn by(holder: Option<&Holder>) -> String {
    holder.map_or_else(String::new, |holder| format!(" by {holder}"))
}

/// Receive buffer asked for. A burst of 5000 small queries fits (each takes 768 bytes of it in the kernel).
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Waiting TCP connections; the kernel's `somaxconn` may lower it.
const TCP_BACKLOG: i32 = 256;

/// Opens the UDP sockets of one address: `count` members of one SO_REUSEPORT group.
///
/// # Errors
/// None is left open then.
pub(crate) fn open_udp(address: SocketAddr, count: usize) -> Result<Vec<Socket>, BindError> {
    probe_beside_own(address, Transport::Udp)?;
    group_udp(address, count)
}

/// Opens the TCP listener of one address.
///
/// # Errors
/// Nothing is left open then.
pub(crate) fn open_tcp(address: SocketAddr) -> Result<Socket, BindError> {
    probe_beside_own(address, Transport::Tcp)?;
    listen_tcp(address)
}

/// Whether a port is free, by binding to it without SO_REUSEPORT: with it, a second server of the same user would
/// silently get a share of our queries, or we of its.
///
/// # Errors
/// It is not, or can't be had.
pub(crate) fn probe(address: SocketAddr, transport: Transport) -> Result<(), BindError> {
    let fail = Failure { address, transport };
    let probe = fail.socket(false)?;
    probe.bind(&address.into()).map_err(|e| fail.bind(e))
}

/// Opens `count` UDP sockets, which join those of the same user that are there.
///
/// # Errors
/// None is left open then.
pub(crate) fn group_udp(address: SocketAddr, count: usize) -> Result<Vec<Socket>, BindError> {
    let fail = Failure {
        address,
        transport: Transport::Udp,
    };
    (0..count).map(|_| open_one_udp(address, fail)).collect()
}

/// Opens a TCP listener, beside those of the same user that are there.
///
/// # Errors
/// Nothing is left open then.
pub(crate) fn listen_tcp(address: SocketAddr) -> Result<Socket, BindError> {
    let fail = Failure {
        address,
        transport: Transport::Tcp,
    };
    let socket = fail.socket(true)?;
    socket.bind(&address.into()).map_err(|e| fail.bind(e))?;
    socket.listen(TCP_BACKLOG).map_err(|e| fail.bind(e))?;
    Ok(socket)
}

fn probe_beside_own(address: SocketAddr, transport: Transport) -> Result<(), BindError> {
    match probe(address, transport) {
        // A wildcard of ours beside this address.
        Err(BindError::InUse { .. }) if super::holder::is_ours(transport, address) => Ok(()),
        probed => probed,
    }
}

/// Makes UDP sockets that are bound already one for each of `count` workers: too few are read by several.
///
/// # Errors
/// None is left open then.
pub(crate) fn adopt_udp(
    address: SocketAddr,
    mut sockets: Vec<Socket>,
    count: usize,
) -> Result<Vec<Socket>, BindError> {
    let fail = Failure {
        address,
        transport: Transport::Udp,
    };
    for socket in &sockets {
        fail.tune_udp(socket)?;
    }
    let own = sockets.len();
    for index in own..count {
        let shared = sockets[index % own].try_clone();
        sockets.push(shared.map_err(|e| fail.os("dup", e))?);
    }
    Ok(sockets)
}

fn open_one_udp(address: SocketAddr, fail: Failure) -> Result<Socket, BindError> {
    let socket = fail.socket(true)?;
    fail.tune_udp(&socket)?;
    socket.bind(&address.into()).map_err(|e| fail.bind(e))?;
    Ok(socket)
}

/// What a failure is about.
#[derive(Clone, Copy)]
struct Failure {
    address: SocketAddr,
    transport: Transport,
}

impl Failure {
    /// A non-blocking socket, with what must be set before `bind`.
    fn socket(self, shared: bool) -> Result<Socket, BindError> {
        let (kind, protocol) = match self.transport {
            Transport::Udp => (Type::DGRAM, Protocol::UDP),
            Transport::Tcp => (Type::STREAM, Protocol::TCP),
        };
        let domain = Domain::for_address(self.address);
        let socket = Socket::new(domain, kind, Some(protocol)).map_err(|e| self.os("socket", e))?;
        socket
            .set_nonblocking(true)
            .map_err(|e| self.os("fcntl(O_NONBLOCK)", e))?;
        if self.address.is_ipv6() {
            socket
                .set_only_v6(true)
                .map_err(|e| self.os("setsockopt(IPV6_V6ONLY)", e))?;
        }
        if self.transport == Transport::Tcp {
            socket
                .set_reuse_address(true)
                .map_err(|e| self.os("setsockopt(SO_REUSEADDR)", e))?;
        }
        if shared {
            socket
                .set_reuse_port(true)
                .map_err(|e| self.os("setsockopt(SO_REUSEPORT)", e))?;
        }
        Ok(socket)
    }

    /// What a UDP socket needs beyond its address.
    fn tune_udp(self, socket: &Socket) -> Result<(), BindError> {
        let address = self.address;
        // Neither fragments nor ICMP "packet too big" may change what is sent: no DF, the interface's MTU, no
        // trust in path MTU messages that anybody can forge (RFC 9715 names the attack).
        let discover = if address.is_ipv4() {
            set_ip_mtu_discover(socket, Ipv4PathMtuDiscovery::OMIT)
        } else {
            set_ipv6_mtu_discover(socket, Ipv6PathMtuDiscovery::OMIT)
        };
        discover.map_err(|e| self.os("setsockopt(MTU_DISCOVER)", e.into()))?;
        if address.ip().is_unspecified() {
            let pktinfo = if address.is_ipv4() {
                setsockopt(socket, sockopt::Ipv4PacketInfo, &true)
            } else {
                setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)
            };
            pktinfo.map_err(|e| self.os("setsockopt(PKTINFO)", e.into()))?;
        }
        // Best effort: beyond net.core.rmem_max it needs CAP_NET_ADMIN.
        if setsockopt(socket, sockopt::RcvBufForce, &RECEIVE_BUFFER_BYTES).is_err() {
            let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
        }
        Ok(())
    }

    fn bind(self, error: io::Error) -> BindError {
        let Self { address, transport } = self;
        match error.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse {
                address,
                transport,
                holder: None,
            },
            io::ErrorKind::AddrNotAvailable => BindError::NotHere { address, transport },
            io::ErrorKind::PermissionDenied => BindError::Denied { address, transport },
            _ if error.raw_os_error() == Some(nix::libc::ENODEV) => {
                BindError::NotHere { address, transport }
            }
            _ => self.os("bind", error),
        }
    }

    const fn os(self, call: &'static str, source: io::Error) -> BindError {
        BindError::Os {
            address: self.address,
            transport: self.transport,
            call,
            source,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn a_group_shares_one_port() {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        drop(first);
        let group = open_udp(address, 3).unwrap();
        assert_eq!(group.len(), 3);
        for socket in &group {
            assert_eq!(socket.local_addr().unwrap().as_socket(), Some(address));
        }
    }

    #[test]
    fn a_foreign_holder_is_named_even_if_it_shares() {
        let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        other.set_reuse_port(true).unwrap();
        other
            .bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into())
            .unwrap();
        let address = other.local_addr().unwrap().as_socket().unwrap();
        // It is held by this process, which is what `is_ours` looks at: ask the mapping directly.
        let failure = Failure {
            address,
            transport: Transport::Udp,
        };
        let mut error = failure.bind(io::Error::from_raw_os_error(nix::libc::EADDRINUSE));
        error.find_holder();
        let text = error.to_string();
        assert!(text.contains(&address.to_string()), "{text}");
        assert!(
            text.contains(&format!("process {}", std::process::id())),
            "{text}"
        );
    }

    #[test]
    fn an_address_that_is_not_here_is_told_apart() {
        let address = "192.0.2.1:5353".parse().unwrap();
        assert!(open_udp(address, 1).unwrap_err().is_not_here());
        assert!(open_tcp(address).unwrap_err().is_not_here());
    }

    #[test]
    fn wildcard_and_address_live_side_by_side() {
        let first = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = first.local_addr().unwrap();
        drop(first);
        let wildcard = SocketAddr::new([0, 0, 0, 0].into(), address.port());
        let _all = (open_udp(wildcard, 2).unwrap(), open_tcp(wildcard).unwrap());
        let _one = (open_udp(address, 2).unwrap(), open_tcp(address).unwrap());
    }
}
