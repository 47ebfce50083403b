//! The demo's client: one question, one answer, and how long it took.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// A question.
#[derive(Clone, Debug)]
pub(super) struct Question {
    pub(super) name: String,
    pub(super) qtype: u16,
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) rcode: u8,
    pub(super) addresses: Vec<IpAddr>,
    pub(super) took: Duration,
}

/// Number of the type A.
pub(super) const A: u16 = 1;
/// Number of the type AAAA.
pub(super) const AAAA: u16 = 28;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(3);

const HEADER_BYTES: usize = 12;

/// Asks once, from a fresh socket, and takes the time from the question's leaving to the answer's arrival; over TCP the
/// connection is made before. Runs on the host of the calling thread.
pub(super) fn ask(
    server: SocketAddr,
    transport: Transport,
    question: &Question,
    id: u16,
) -> Result<Answer> {
    let query = encode(question, id);
    let (message, took) = match transport {
        Transport::Udp => over_udp(server, &query),
        Transport::Tcp => over_tcp(server, &query),
    }
    .with_context(|| format!("{} asked for {} over {transport:?}", server, question.name))?;
    decode(&message, &query, took)
}

fn over_udp(server: SocketAddr, query: &[u8]) -> Result<(Vec<u8>, Duration)> {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(LIMIT))?;
    let mut message = vec![0; 4096];
    let start = Instant::now();
    socket.send(query)?;
    let length = socket.recv(&mut message)?;
    let took = start.elapsed();
    message.truncate(length);
    Ok((message, took))
}

fn over_tcp(server: SocketAddr, query: &[u8]) -> Result<(Vec<u8>, Duration)> {
    let mut stream = TcpStream::connect_timeout(&server, LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    let length = u16::try_from(query.len())?;
    let framed = [&length.to_be_bytes()[..], query].concat();
    let start = Instant::now();
    stream.write_all(&framed)?;
    let mut length = [0; 2];
    stream.read_exact(&mut length)?;
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message)?;
    Ok((message, start.elapsed()))
}

/// A query with RD and no EDNS (RFC 1035, 4.1).
fn encode(question: &Question, id: u16) -> Vec<u8> {
    let mut query = id.to_be_bytes().to_vec();
    query.extend_from_slice(&[1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    for label in question.name.split('.').filter(|label| !label.is_empty()) {
        query.push(u8::try_from(label.len()).unwrap_or(0));
        query.extend_from_slice(label.as_bytes());
    }
    query.push(0);
    query.extend_from_slice(&question.qtype.to_be_bytes());
    query.extend_from_slice(&[0, 1]);
    query
}

fn decode(message: &[u8], query: &[u8], took: Duration) -> Result<Answer> {
    ensure!(
        message.len() >= query.len(),
        "an answer of {} bytes is too short",
        message.len()
    );
    ensure!(
        message[..2] == query[..2] && message[2] & 0x80 != 0,
        "this is not the answer"
    );
    ensure!(
        message[HEADER_BYTES..query.len()] == query[HEADER_BYTES..],
        "another question was answered"
    );
    let records = u16::from_be_bytes([message[6], message[7]]);
    let mut addresses = Vec::new();
    let mut rest = &message[query.len()..];
    for _ in 0..records {
        let (address, behind) = record(rest).context("a record is cut off")?;
        addresses.extend(address);
        rest = behind;
    }
    Ok(Answer {
        rcode: message[3] & 0xf,
        addresses,
        took,
    })
}

/// The address in the first record of `bytes`, if it holds one, and what stands behind the record.
fn record(bytes: &[u8]) -> Option<(Option<IpAddr>, &[u8])> {
    let mut at = 0;
    loop {
        match *bytes.get(at)? {
            0 => break at += 1,
            length @ 1..=63 => at += usize::from(length) + 1,
            _ => break at += 2,
        }
    }
    let fixed = bytes.get(at..at + 10)?;
    let end = at + 10 + usize::from(u16::from_be_bytes([fixed[8], fixed[9]]));
    let rdata = bytes.get(at + 10..end)?;
    let address = match u16::from_be_bytes([fixed[0], fixed[1]]) {
        A => <[u8; 4]>::try_from(rdata).ok().map(IpAddr::from),
        AAAA => <[u8; 16]>::try_from(rdata).ok().map(IpAddr::from),
        _ => None,
    };
    Some((address, &bytes[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_wrong_answers_are_not() {
        let question = Question {
            name: "a.example".to_owned(),
            qtype: A,
        };
        let query = encode(&question, 7);
        let mut message = query.clone();
        message[2] |= 0x80;
        message[7] = 1;
        message.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, 1]);
        let answer = decode(&message, &query, Duration::ZERO).unwrap();
        assert_eq!(answer.addresses, ["192.0.2.1".parse::<IpAddr>().unwrap()]);
        assert!(decode(&message[..message.len() - 1], &query, Duration::ZERO).is_err());
        message[1] ^= 1;
        assert!(decode(&message, &query, Duration::ZERO).is_err());
    }
}
