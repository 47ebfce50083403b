use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// The largest UDP payload there can be.
const MAX_UDP_BYTES: usize = 65_535;

/// Sends `message` from a fresh UDP socket; the connected socket can be read for the answer.
///
/// Runs in the namespace of the calling thread (see [`Netns::enter`](crate::netns::Netns::enter)).
pub fn send_udp(server: SocketAddr, message: &[u8]) -> Result<UdpSocket> {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.send(message)?;
    Ok(socket)
}

/// Asks once over UDP. `None` when no answer came within `limit`; since the socket is connected, an answer from
/// another address than the one that was asked is no answer.
pub fn ask_udp(server: SocketAddr, message: &[u8], limit: Duration) -> Result<Option<Vec<u8>>> {
    let socket = send_udp(server, message)?;
    socket.set_read_timeout(Some(limit))?;
    let mut buffer = vec![0; MAX_UDP_BYTES];
    match socket.recv(&mut buffer) {
        Ok(length) => {
            buffer.truncate(length);
            Ok(Some(buffer))
        }
        Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            Ok(None)
        }
        Err(error) => Err(error).context("waiting for a UDP answer"),
    }
}

/// Asks once over a TCP connection of its own. `None` when the server closed the connection without an answer.
pub fn ask_tcp(server: SocketAddr, message: &[u8], limit: Duration) -> Result<Option<Vec<u8>>> {
    let mut stream = TcpStream::connect_timeout(&server, limit)?;
    stream.set_read_timeout(Some(limit))?;
    stream.set_nodelay(true)?;
    ask_tcp_on(&mut stream, message)
}

/// Asks once over a connection that is already there, see [`ask_tcp`].
pub fn ask_tcp_on(stream: &mut TcpStream, message: &[u8]) -> Result<Option<Vec<u8>>> {
    let length =
        u16::try_from(message.len()).context("a message for TCP has at most 65535 bytes")?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    match stream.read_exact(&mut length) {
        Ok(()) => {}
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset
            ) =>
        {
            return Ok(None);
        }
        Err(error) => return Err(error).context("waiting for a TCP answer"),
    }
    let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
    if let Err(error) = stream.read_exact(&mut answer) {
        bail!("an answer of {} bytes was cut off: {error}", answer.len());
    }
    Ok(Some(answer))
}
