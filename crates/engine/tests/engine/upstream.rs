//! A server that libunbound forwards to: UDP and TCP on 127.0.0.1. What it does is in the first letters of the
//! name's first label.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What each query for `busy...` costs.
const BUSY: Duration = Duration::from_micros(500);

/// A running server. Its threads end with the test program.
pub(crate) struct Upstream {
    pub(crate) port: u16,
    socket: UdpSocket,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    /// Queries by name (lower-case wire) and type.
    queries: HashMap<(Vec<u8>, u16), usize>,
    tcp_queries: usize,
    /// Replies to `hold...`, to be sent by [`Upstream::release`].
    held: Vec<(Vec<u8>, SocketAddr)>,
    released: bool,
    /// Answer sections, each with its number of records, that stand before all rules.
    fixed: HashMap<(Vec<u8>, u16), (u16, Vec<u8>)>,
}

/// A name in wire format from dotted text.
pub(crate) fn name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels
        .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
        .collect();
    wire.push(0);
    wire
}

impl Upstream {
    /// `address` goes into every A record.
    pub(crate) fn start(address: Ipv4Addr) -> Self {
        let (socket, listener) = bind();
        let state = Arc::new(Mutex::new(State::default()));
        let port = socket.local_addr().unwrap().port();
        let (udp, udp_state) = (socket.try_clone().unwrap(), Arc::clone(&state));
        thread::spawn(move || serve_udp(&udp, &udp_state, address));
        let tcp_state = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&tcp_state);
                thread::spawn(move || serve_tcp(stream.unwrap(), &state, address));
            }
        });
        Self {
            port,
            socket,
            state,
        }
    }

    /// Configuration text that forwards everything here.
    pub(crate) fn conf(&self) -> String {
        format!(
            "server:\n  do-not-query-localhost: no\nforward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.1@{}\n",
            self.port
        )
    }

    /// Answers this question with these records.
    pub(crate) fn answer(&self, owner: &str, qtype: u16, records: &[Vec<u8>]) {
        let answer = (records.len() as u16, records.concat());
        self.state
            .lock()
            .unwrap()
            .fixed
            .insert((name(owner), qtype), answer);
    }

    /// How often a name was asked for, with any type.
    pub(crate) fn queries(&self, wanted: &str) -> usize {
        let wanted = name(wanted);
        let state = self.state.lock().unwrap();
        state
            .queries
            .iter()
            .filter(|((name, _), _)| *name == wanted)
            .map(|(_, count)| count)
            .sum()
    }

    /// How many different names and types were asked for.
    pub(crate) fn names(&self) -> usize {
        self.state.lock().unwrap().queries.len()
    }

    pub(crate) fn tcp_queries(&self) -> usize {
        self.state.lock().unwrap().tcp_queries
    }

    /// Sends all held replies, and holds none from now on.
    pub(crate) fn release(&self) {
        let held = {
            let mut state = self.state.lock().unwrap();
            state.released = true;
            std::mem::take(&mut state.held)
        };
        for (reply, client) in held {
            self.socket.send_to(&reply, client).unwrap();
        }
    }
}

fn bind() -> (UdpSocket, TcpListener) {
    loop {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(listener) = TcpListener::bind(socket.local_addr().unwrap()) {
            return (socket, listener);
        }
    }
}

fn serve_udp(socket: &UdpSocket, state: &Mutex<State>, address: Ipv4Addr) {
    let mut buffer = [0; 4096];
    let mut free = Instant::now();
    loop {
        let (length, client) = socket.recv_from(&mut buffer).unwrap();
        let Some(query) = Query::parse(&buffer[..length]) else {
            continue;
        };
        let mut state = state.lock().unwrap();
        *state
            .queries
            .entry((query.name.to_ascii_lowercase(), query.qtype))
            .or_default() += 1;
        if query.starts_with("busy") {
            let now = Instant::now();
            free = free.max(now.checked_sub(Duration::from_millis(20)).unwrap_or(now)) + BUSY;
            thread::sleep(free.saturating_duration_since(now));
        }
        if query.starts_with("silent") {
            continue;
        }
        let reply = query
            .fixed(&state)
            .unwrap_or_else(|| query.reply(address, true));
        if query.starts_with("hold") && !state.released {
            state.held.push((reply, client));
            continue;
        }
        drop(state);
        socket.send_to(&reply, client).unwrap();
    }
}

fn serve_tcp(mut stream: TcpStream, state: &Mutex<State>, address: Ipv4Addr) {
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut buffer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut buffer).unwrap();
        let query = Query::parse(&buffer).unwrap();
        state.lock().unwrap().tcp_queries += 1;
        let reply = query.reply(address, false);
        stream
            .write_all(&(reply.len() as u16).to_be_bytes())
            .unwrap();
        stream.write_all(&reply).unwrap();
    }
}

struct Query<'a> {
    id: &'a [u8],
    question: &'a [u8],
    name: &'a [u8],
    qtype: u16,
}

impl<'a> Query<'a> {
    fn parse(message: &'a [u8]) -> Option<Self> {
        let mut at = 12;
        while *message.get(at)? != 0 {
            at += 1 + usize::from(message[at]);
        }
        let question = message.get(12..at + 5)?;
        let (name, tail) = question.split_at(at - 11);
        Some(Self {
            id: &message[..2],
            question,
            name,
            qtype: u16::from_be_bytes([tail[0], tail[1]]),
        })
    }

    fn starts_with(&self, prefix: &str) -> bool {
        self.name[1..]
            .to_ascii_lowercase()
            .starts_with(prefix.as_bytes())
    }

    fn fixed(&self, state: &State) -> Option<Vec<u8>> {
        let (count, records) = state
            .fixed
            .get(&(self.name.to_ascii_lowercase(), self.qtype))?;
        let mut reply = [self.id, &[0x81, 0x80, 0, 1], &count.to_be_bytes(), &[0; 4]].concat();
        reply.extend(self.question);
        reply.extend(records);
        Some(reply)
    }

    fn reply(&self, address: Ipv4Addr, udp: bool) -> Vec<u8> {
        let pointer = [0xc0, 12];
        let mut rcode = 0;
        let mut truncated = false;
        let (mut answers, mut authorities) = (Vec::new(), Vec::new());
        if self.starts_with("nx") {
            rcode = 3;
            authorities.push(soa());
        } else if self.starts_with("nodata") {
            authorities.push(soa());
        } else if self.starts_with("servfail") {
            rcode = 2;
        } else if self.starts_with("cname") {
            answers.push(record(&pointer, 5, &name("middle.example")));
            answers.push(record(&name("middle.example"), 5, &name("end.example")));
            answers.push(record(&name("end.example"), 1, &address.octets()));
        } else if self.starts_with("middle") {
            answers.push(record(&pointer, 5, &name("end.example")));
            answers.push(record(&name("end.example"), 1, &address.octets()));
        } else if self.starts_with("big") && udp {
            truncated = true;
        } else if self.starts_with("big") {
            for number in 0..200_u8 {
                answers.push(record(&pointer, 16, &[&[255][..], &[number; 255]].concat()));
            }
        } else if self.qtype == 1 {
            answers.push(record(&pointer, 1, &address.octets()));
        } else if self.qtype >= 0xff00 {
            answers.push(record(&pointer, self.qtype, b"\x00\xff opaque"));
        } else {
            authorities.push(soa());
        }
        let mut reply = self.id.to_vec();
        reply.extend([0x81 | if truncated { 2 } else { 0 }, 0x80 | rcode, 0, 1]);
        reply.extend((answers.len() as u16).to_be_bytes());
        reply.extend((authorities.len() as u16).to_be_bytes());
        reply.extend([0, 0]);
        reply.extend(self.question);
        reply.extend(answers.concat());
        reply.extend(authorities.concat());
        reply
    }
}

/// An A record with a TTL of its own.
pub(crate) fn a_record(owner: &str, ttl_secs: u32, address: Ipv4Addr) -> Vec<u8> {
    record_with_ttl(&name(owner), 1, ttl_secs, &address.octets())
}

fn record(owner: &[u8], rtype: u16, data: &[u8]) -> Vec<u8> {
    record_with_ttl(owner, rtype, 3600, data)
}

fn record_with_ttl(owner: &[u8], rtype: u16, ttl_secs: u32, data: &[u8]) -> Vec<u8> {
    let mut record = owner.to_vec();
    record.extend(rtype.to_be_bytes());
    record.extend([0, 1]);
    record.extend(ttl_secs.to_be_bytes());
    record.extend((data.len() as u16).to_be_bytes());
    record.extend(data);
    record
}

fn soa() -> Vec<u8> {
    let mut data = [name("ns.example"), name("hostmaster.example")].concat();
    for number in [1_u32, 3600, 600, 86400, 300] {
        data.extend(number.to_be_bytes());
    }
    record(&name("example"), 6, &data)
}
