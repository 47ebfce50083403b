use std::io;
use std::net::SocketAddr;

use listenfd::ListenFd;
use socket2::Socket;

use super::Transport;

/// Sockets that the service manager opened for us (socket activation, `sd_listen_fds(3)`).
///
/// They are used for the configured addresses they are bound to, also for those that a later reload brings: the
/// service manager holds them open as well, so that no socket of our own could be bound beside them.
#[derive(Debug, Default)]
pub(crate) struct Inherited {
    sockets: Vec<(SocketAddr, Transport, Socket)>,
}

impl Inherited {
    /// Takes what `LISTEN_FDS` names. Sockets that can't be served are closed, and said so.
    pub(crate) fn from_env() -> Self {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let udp = passed.take_udp_socket(index).ok().flatten();
            let taken = match udp {
                Some(udp) => Some((Transport::Udp, Socket::from(udp))),
                None => passed
                    .take_tcp_listener(index)
                    .ok()
                    .flatten()
                    .map(|tcp| (Transport::Tcp, Socket::from(tcp))),
            };
            match taken.ok_or(Unfit::Kind).and_then(|(transport, socket)| {
                fit(&socket).map(|address| (address, transport, socket))
            }) {
                Ok(socket) => sockets.push(socket),
                Err(why) => {
                    tracing::warn!("socket {index} from the service manager is not used: {why}");
                }
            }
        }
        Self { sockets }
    }

    /// The sockets of one address, as copies.
    ///
    /// # Errors
    /// Too many open files.
    pub(crate) fn copies(
        &self,
        address: SocketAddr,
        transport: Transport,
    ) -> io::Result<Vec<Socket>> {
        let own = self
            .sockets
            .iter()
            .filter(|(at, kind, _)| (*at, *kind) == (address, transport));
        own.map(|(_, _, socket)| socket.try_clone()).collect()
    }

    /// Warns of those that no address asked for.
    pub(crate) fn tell_unused(&self, used: impl Fn(SocketAddr, Transport) -> bool) {
        for (address, transport, _) in &self.sockets {
            if !used(*address, *transport) {
                tracing::warn!(
                    "the service manager passed a {transport} socket for {address}, which the configuration doesn't \
                     listen on: nobody reads it; add `interface: {}@{}`, or take it out of the socket unit",
                    address.ip(),
                    address.port()
                );
            }
        }
    }
}

/// Why a passed socket can't be used.
#[derive(Debug, thiserror::Error)]
enum Unfit {
    #[error("it is neither a UDP socket nor a listening TCP socket")]
    Kind,
    #[error("it has no IP address")]
    Address,
    #[error("it takes IPv4 too; write BindIPv6Only=ipv6-only into the socket unit")]
    DualStack,
    #[error("{0}")]
    Os(#[from] io::Error),
}

fn fit(socket: &Socket) -> Result<SocketAddr, Unfit> {
    let address = socket.local_addr()?.as_socket().ok_or(Unfit::Address)?;
    // A client's IPv4 address would look like an IPv6 one to access control.
    if address.is_ipv6() && address.ip().is_unspecified() && !socket.only_v6()? {
        return Err(Unfit::DualStack);
    }
    socket.set_nonblocking(true)?;
    Ok(address)
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    fn inherited() -> (SocketAddr, Inherited) {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = udp.local_addr().unwrap();
        let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = tcp.local_addr().unwrap();
        let sockets = vec![
            (address, Transport::Udp, udp.into()),
            (other, Transport::Tcp, tcp.into()),
        ];
        (address, Inherited { sockets })
    }

    #[test]
    fn a_socket_is_given_to_its_own_address_and_transport_again_and_again() {
        let (address, inherited) = inherited();
        let count = |transport| inherited.copies(address, transport).unwrap().len();
        assert_eq!(count(Transport::Tcp), 0);
        for _ in 0..3 {
            assert_eq!(count(Transport::Udp), 1);
        }
    }

    #[test]
    fn a_dual_stack_wildcard_is_refused() {
        let socket = Socket::new(socket2::Domain::IPV6, socket2::Type::DGRAM, None).unwrap();
        socket.set_only_v6(false).unwrap();
        let wildcard: SocketAddr = "[::]:0".parse().unwrap();
        socket.bind(&wildcard.into()).unwrap();
        assert!(matches!(fit(&socket), Err(Unfit::DualStack)));
    }
}
