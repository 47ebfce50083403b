use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::Result;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::Manners;
use super::manners::{From, Turn};
use crate::netns::Netns;
use crate::wire::{ask_tcp, ask_udp};

/// A server of ours in front of Knot that behaves as told. It ends when the value is dropped.
pub(super) struct Front {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    manners: Manners,
    behind: SocketAddr,
    stop: AtomicBool,
    queries: AtomicU64,
}

struct Sockets {
    udp: Option<UdpSocket>,
    /// For forged answers.
    other_port: Option<UdpSocket>,
    other_address: Option<UdpSocket>,
    tcp: Option<TcpListener>,
}

/// An answer that waits for its time.
struct Late {
    due: Instant,
    message: Vec<u8>,
    to: SocketAddr,
}

const PORT: u16 = 53;
/// An address that is no zone's: 10.55.255.1. At most one front of a world lies.
const STRANGER: u32 = 0x0a37_ff01;
/// How soon the thread sees that it shall stop, in milliseconds.
const TICK_MILLIS: u8 = 50;
/// How long Knot may take, and a client over TCP.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most late answers that wait at once; beyond that they are never sent.
const MAX_LATE: usize = 10_000;

impl Front {
    pub(super) fn start(
        netns: &Netns,
        address: IpAddr,
        behind: IpAddr,
        manners: Manners,
    ) -> Result<Self> {
        let sockets = netns.enter(|| Sockets::bind(address, manners))?;
        let state = Arc::new(State {
            manners,
            behind: SocketAddr::new(behind, PORT),
            stop: AtomicBool::new(false),
            queries: AtomicU64::new(0),
        });
        let for_thread = Arc::clone(&state);
        let thread = netns.spawn_thread("front", move || serve(&sockets, &for_thread))?;
        Ok(Self {
            state,
            thread: Some(thread),
        })
    }

    /// Tells it to end soon.
    pub(super) fn stop(&self) {
        self.state.stop.store(true, Ordering::Relaxed);
    }

    /// How many queries have come.
    pub(super) fn queries(&self) -> u64 {
        self.state.queries.load(Ordering::Relaxed)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Sockets {
    fn bind(address: IpAddr, manners: Manners) -> Result<Self> {
        let (wants_udp, wants_tcp) = manners.listens();
        let udp = wants_udp
            .then(|| UdpSocket::bind((address, PORT)))
            .transpose()?;
        let lies = manners == Manners::Spoofed;
        let other_port = lies.then(|| UdpSocket::bind((address, 0))).transpose()?;
        let elsewhere = (Ipv4Addr::from_bits(STRANGER), PORT);
        let other_address = lies.then(|| UdpSocket::bind(elsewhere)).transpose()?;
        let tcp = wants_tcp
            .then(|| TcpListener::bind((address, PORT)))
            .transpose()?;
        if let Some(tcp) = &tcp {
            tcp.set_nonblocking(true)?;
        }
        if let Some(udp) = &udp {
            udp.set_nonblocking(true)?;
        }
        Ok(Self {
            udp,
            other_port,
            other_address,
            tcp,
        })
    }

    /// Waits until something has come, or for one tick.
    fn wait(&self, millis: u8) {
        let udp = self.udp.as_ref().map(AsFd::as_fd);
        let tcp = self.tcp.as_ref().map(AsFd::as_fd);
        let mut waited: Vec<_> = [udp, tcp]
            .into_iter()
            .flatten()
            .map(|socket| PollFd::new(socket, PollFlags::POLLIN))
            .collect();
        let _ = poll(&mut waited, PollTimeout::from(millis));
    }
}

fn serve(sockets: &Sockets, state: &Arc<State>) {
    let mut late: Vec<Late> = Vec::new();
    let mut buffer = vec![0; 65_535];
    while !state.stop.load(Ordering::Relaxed) {
        sockets.wait(until_next(&late));
        if let Some(udp) = &sockets.udp {
            while let Ok((length, from)) = udp.recv_from(&mut buffer) {
                answer_udp(sockets, state, (&buffer[..length], from), &mut late);
            }
            send_due(udp, &mut late);
        }
        if let Some(tcp) = &sockets.tcp {
            while let Ok((stream, _)) = tcp.accept() {
                let state = Arc::clone(state);
                thread::spawn(move || serve_stream(stream, &state));
            }
        }
    }
}

fn until_next(late: &[Late]) -> u8 {
    let now = Instant::now();
    let next = late.iter().map(|late| late.due.duration_since(now)).min();
    // One millisecond more, so that it is due then.
    next.and_then(|left| u8::try_from(left.as_millis() + 1).ok())
        .map_or(TICK_MILLIS, |millis| millis.min(TICK_MILLIS))
}

fn answer_udp(
    sockets: &Sockets,
    state: &State,
    (query, from): (&[u8], SocketAddr),
    late: &mut Vec<Late>,
) {
    state.queries.fetch_add(1, Ordering::Relaxed);
    let known = || ask_udp(state.behind, query, PATIENCE).ok().flatten();
    let answer = state.manners.knows_zone().then(known).flatten();
    let Turn::Send(messages, delay_millis) = state.manners.play(query, answer, true) else {
        return;
    };
    for (message, source) in messages {
        let socket = match source {
            From::Here => &sockets.udp,
            From::OtherPort => &sockets.other_port,
            From::OtherAddress => &sockets.other_address,
        };
        if delay_millis > 0 && late.len() < MAX_LATE {
            let due = Instant::now() + Duration::from_millis(delay_millis.into());
            late.push(Late {
                due,
                message,
                to: from,
            });
        } else if let Some(socket) = socket {
            let _ = socket.send_to(&message, from);
        }
    }
}

fn send_due(udp: &UdpSocket, late: &mut Vec<Late>) {
    let now = Instant::now();
    for due in late.extract_if(.., |late| late.due <= now) {
        let _ = udp.send_to(&due.message, due.to);
    }
}

/// Answers one query, which is all that a resolver sends on a connection here, and those behind it.
fn serve_stream(mut stream: TcpStream, state: &State) {
    let ready = stream
        .set_nonblocking(false)
        .and_then(|()| stream.set_read_timeout(Some(PATIENCE)));
    let mut length = [0; 2];
    while ready.is_ok() && stream.read_exact(&mut length).is_ok() {
        let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
        if stream.read_exact(&mut query).is_err() {
            return;
        }
        state.queries.fetch_add(1, Ordering::Relaxed);
        let known = || ask_tcp(state.behind, &query, PATIENCE).ok().flatten();
        let answer = state.manners.knows_zone().then(known).flatten();
        let Turn::Send(messages, delay_millis) = state.manners.play(&query, answer, false) else {
            continue;
        };
        thread::sleep(Duration::from_millis(delay_millis.into()));
        for (message, _) in messages {
            let length = u16::try_from(message.len()).expect("it came in a message");
            let framed = [&length.to_be_bytes()[..], &message].concat();
            if stream.write_all(&framed).is_err() {
                return;
            }
        }
    }
}
