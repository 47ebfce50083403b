//! The upstream that the demo brings along: it answers every question for an address, later than it could.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::host::Host;

/// How much later than at once the upstream answers: as if it were that far away.
pub(super) const DELAY: Duration = Duration::from_millis(20);

const TTL_SECS: u32 = 3600;
const MAX_QUERY_BYTES: usize = 512;

/// Starts the upstream on every address of the host, over UDP and TCP. Its threads end with the process.
pub(super) fn start(host: &Host) -> Result<()> {
    host.inside(|| -> Result<()> {
        let address: SocketAddr = "[::]:53".parse()?;
        let udp = UdpSocket::bind(address)?;
        let tcp = TcpListener::bind(address)?;
        thread::Builder::new()
            .name("upstream-udp".into())
            .spawn(move || serve_udp(udp))?;
        thread::Builder::new()
            .name("upstream-tcp".into())
            .spawn(move || serve_tcp(&tcp))?;
        Ok(())
    })?
    .context("starting the demo's upstream")
}

fn serve_udp(socket: UdpSocket) {
    let socket = Arc::new(socket);
    let mut buffer = [0; MAX_QUERY_BYTES];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let Some(answer) = respond(&buffer[..length]) else {
            continue;
        };
        let socket = Arc::clone(&socket);
        // A thread for each answer: only the demo itself asks here, a few dozen questions at a time at most.
        let late = move || {
            thread::sleep(DELAY);
            let _ = socket.send_to(&answer, from);
        };
        let _ = thread::Builder::new()
            .name("upstream-late".into())
            .spawn(late);
    }
}

fn serve_tcp(listener: &TcpListener) {
    while let Ok((stream, _)) = listener.accept() {
        let _ = serve_stream(stream); // a client that breaks off is its own affair
    }
}

fn serve_stream(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut query)?;
    let Some(answer) = respond(&query) else {
        return Ok(());
    };
    thread::sleep(DELAY);
    let length = u16::try_from(answer.len()).unwrap_or(0);
    stream.write_all(&[&length.to_be_bytes()[..], &answer].concat())
}

/// The answer to a query: an address made from the name for A and AAAA, no data for all other types.
fn respond(query: &[u8]) -> Option<Vec<u8>> {
    if query.len() < 17 || query[2] & 0xf8 != 0 || query[4..6] != [0, 1] {
        return None;
    }
    let name_bytes = query[12..].iter().position(|byte| *byte == 0)? + 1;
    let end = 12 + name_bytes + 4;
    let question = query.get(12..end)?;
    let seed = question.iter().fold(17_u8, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.to_ascii_lowercase())
    });
    let rdata: &[u8] = match question[name_bytes..] {
        [0, 1, 0, 1] => &[192, 0, 2, seed],
        [0, 28, 0, 1] => &[
            0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, seed,
        ],
        _ => &[],
    };
    let mut answer = query[..end].to_vec();
    answer[2] = 0x84 | query[2] & 1;
    answer[3] = 0x80;
    answer[6..12].copy_from_slice(&[0, u8::from(!rdata.is_empty()), 0, 0, 0, 0]);
    if !rdata.is_empty() {
        answer.extend_from_slice(&[0xc0, 12]);
        answer.extend_from_slice(&question[name_bytes..]);
        answer.extend_from_slice(&TTL_SECS.to_be_bytes());
        answer.extend_from_slice(&[0, u8::try_from(rdata.len()).unwrap_or(0)]);
        answer.extend_from_slice(rdata);
    }
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x07example\0\0\x01\0\x01";

    #[test]
    fn every_name_has_an_address() {
        let answer = respond(QUERY).unwrap();
        assert_eq!(answer[..4], [0x12, 0x34, 0x85, 0x80]);
        assert_eq!(answer[QUERY.len()..].len(), 16);
        assert_eq!(answer[QUERY.len() + 12..][..3], [192, 0, 2]);
    }

    #[test]
    fn what_is_no_query_gets_nothing() {
        assert!(respond(b"").is_none());
        assert!(respond(&QUERY[..20]).is_none());
        let mut response = QUERY.to_vec();
        response[2] |= 0x80;
        assert!(respond(&response).is_none());
    }
}
