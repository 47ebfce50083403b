use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::Result;

use super::script::{Play, play};
use crate::netns::Netns;

/// A running upstream; it ends when the value is dropped.
pub struct Upstream {
    address: SocketAddr,
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
}

/// What can be turned while the upstream runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Knobs {
    /// Every answer comes this much later, on top of the script's own delay.
    pub delay: Duration,
    /// No answer at all.
    pub silent: bool,
    /// So many of a hundred queries over UDP are taken for lost, spread evenly by chance that repeats.
    pub loss_percent: u8,
    /// Before each answer over UDP so many forged ones (`203.0.113.66`), from the right address, with other IDs.
    pub forged: u16,
}

/// What the upstream has seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Queries over UDP.
    pub udp: u64,
    /// Queries over TCP.
    pub tcp: u64,
}

#[derive(Default)]
struct State {
    stop: AtomicBool,
    udp: AtomicU64,
    tcp: AtomicU64,
    knobs: Mutex<Knobs>,
    seen: Mutex<Vec<Seen>>,
}

/// A query over UDP as it came: where from, and with which ID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Where it came from.
    pub from: SocketAddr,
    /// Its ID.
    pub id: u16,
}

/// How many queries are remembered; later ones are only counted.
const MAX_SEEN: usize = 10_000;
/// The address of forged answers.
const FORGED: [u8; 4] = [203, 0, 113, 66];

/// How soon the service's threads see that they shall stop.
const TICK: Duration = Duration::from_millis(50);
/// How long a TCP client may be silent.
const TCP_LIMIT: Duration = Duration::from_secs(5);

impl Upstream {
    /// Starts an upstream on `address` of the namespace, over UDP and TCP.
    pub fn start(netns: &Netns, address: SocketAddr) -> Result<Self> {
        let (udp, tcp) = netns.enter(|| -> Result<_> {
            let udp = UdpSocket::bind(address)?;
            udp.set_read_timeout(Some(TICK))?;
            let tcp = TcpListener::bind(address)?;
            Ok((udp, tcp))
        })?;
        let state = Arc::new(State::default());
        let for_udp = Arc::clone(&state);
        let for_tcp = Arc::clone(&state);
        let threads = vec![
            netns.spawn_thread("upstream-udp", move || serve_udp(udp, &for_udp))?,
            netns.spawn_thread("upstream-tcp", move || serve_tcp(&tcp, &for_tcp))?,
        ];
        Ok(Self {
            address,
            state,
            threads,
        })
    }

    /// The address it answers on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Turns the knobs, for queries that come from now on.
    pub fn set(&self, knobs: Knobs) {
        *self
            .state
            .knobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = knobs;
    }

    /// How many queries there were.
    pub fn counts(&self) -> Counts {
        Counts {
            udp: self.state.udp.load(Ordering::Relaxed),
            tcp: self.state.tcp.load(Ordering::Relaxed),
        }
    }

    /// The queries over UDP, the first 10,000 of them.
    pub fn seen(&self) -> Vec<Seen> {
        self.state
            .seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl State {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn remember(&self, from: SocketAddr, query: &[u8]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = query.first_chunk().filter(|_| seen.len() < MAX_SEEN) {
            seen.push(Seen {
                from,
                id: u16::from_be_bytes(*id),
            });
        }
    }

    fn knobs(&self) -> Knobs {
        *self.knobs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to `query` and how long to wait for it.
    fn play(&self, query: &[u8], tcp: bool) -> Option<(Vec<u8>, Duration)> {
        let knobs = self.knobs();
        match play(query, tcp) {
            Some(Play::Answer { message, delay }) if !knobs.silent => {
                Some((message, delay + knobs.delay))
            }
            _ => None,
        }
    }
}

fn serve_udp(socket: UdpSocket, state: &Arc<State>) {
    let socket = Arc::new(socket);
    let mut buffer = [0; 4096];
    while !state.stopped() {
        let Ok((length, from)) = socket.recv_from(&mut buffer) else {
            continue;
        };
        let number = state.udp.fetch_add(1, Ordering::Relaxed);
        state.remember(from, &buffer[..length]);
        let knobs = state.knobs();
        if is_lost(number, knobs.loss_percent) {
            continue;
        }
        let Some((answer, delay)) = state.play(&buffer[..length], false) else {
            continue;
        };
        for number in 1..=knobs.forged {
            forge(&socket, &answer, from, number);
        }
        if buffer[13..].to_ascii_lowercase().starts_with(b"lie") {
            lie(&socket, &answer, from);
        }
        if delay.is_zero() {
            let _ = socket.send_to(&answer, from);
            continue;
        }
        let socket = Arc::clone(&socket);
        thread::spawn(move || {
            thread::sleep(delay);
            let _ = socket.send_to(&answer, from);
        });
    }
}

/// Whether the query of this number is lost: a multiplicative hash of it, by percentile.
fn is_lost(number: u64, percent: u8) -> bool {
    let hash = (number + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    hash % 100 < u64::from(percent)
}

/// Sends the answer with another address and another ID: `number` steps away, in strides that reach every ID.
fn forge(socket: &UdpSocket, answer: &[u8], to: SocketAddr, number: u16) {
    let mut forged = with_forged_address(answer);
    let id = u16::from_be_bytes([answer[0], answer[1]]).wrapping_add(number.wrapping_mul(8191));
    forged[..2].copy_from_slice(&id.to_be_bytes());
    let _ = socket.send_to(&forged, to);
}

/// The answer with [`FORGED`] as its last address, which stands at its end but for an OPT record of 11 bytes.
fn with_forged_address(answer: &[u8]) -> Vec<u8> {
    let mut forged = answer.to_vec();
    let end = forged.len() - if forged[11] == 1 { 11 } else { 0 };
    forged[end - 4..end].copy_from_slice(&FORGED);
    forged
}

/// Sends what an attacker might: the right question with a wrong ID, and the right ID from a wrong port.
fn lie(socket: &UdpSocket, answer: &[u8], to: SocketAddr) {
    let mut forged = with_forged_address(answer);
    if let Some(other) = socket
        .local_addr()
        .ok()
        .and_then(|own| UdpSocket::bind((own.ip(), 0)).ok())
    {
        let _ = other.send_to(&forged, to);
    }
    forged[0] ^= 0x5a;
    let _ = socket.send_to(&forged, to);
}

fn serve_tcp(listener: &TcpListener, state: &Arc<State>) {
    if listener.set_nonblocking(true).is_err() {
        return;
    }
    while !state.stopped() {
        let Ok((stream, _)) = listener.accept() else {
            thread::sleep(Duration::from_millis(2));
            continue;
        };
        let state = Arc::clone(state);
        thread::spawn(move || serve_stream(stream, &state));
    }
}

fn serve_stream(mut stream: TcpStream, state: &State) {
    let ready = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(TCP_LIMIT)));
    let mut length = [0; 2];
    while ready.is_ok() && !state.stopped() && stream.read_exact(&mut length).is_ok() {
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        state.tcp.fetch_add(1, Ordering::Relaxed);
        let Some((answer, delay)) = state.play(&query, true) else {
            continue;
        };
        thread::sleep(delay);
        let length = u16::try_from(answer.len()).expect("the script's answers fit a message");
        if stream
            .write_all(&[&length.to_be_bytes()[..], &answer].concat())
            .is_err()
        {
            return;
        }
    }
}

/// The address on which an upstream can be reached by name in a configuration: `192.0.2.1@53`.
impl std::fmt::Display for Upstream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.address.ip(), self.address.port())
    }
}
