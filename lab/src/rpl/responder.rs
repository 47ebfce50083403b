use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::compare::{Transport, mismatch, option_bytes, split_options};
use super::packet::with_question_of;
use super::sockets::{AnyUdp, listen};
use super::{Adjust, Entry, Packet, Range, Rule, Scenario};
use crate::netns::Netns;
use crate::wire::{Message, rtype};

/// All authoritative servers of a scenario: answers at port 53 of every address of a namespace in which all addresses
/// are local. What no range answers is kept: a later step may.
pub struct Responder {
    shared: Arc<Shared>,
    wake: UnixStream,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    ranges: Vec<Range>,
    udp: [AnyUdp; 2],
    book: Mutex<Book>,
    changed: Condvar,
}

/// What was asked so far.
struct Book {
    step: u32,
    /// What belongs to zone transfers stays without an answer: in the program that scenarios are written for their
    /// timers go off only when time passes.
    holds_transfers: bool,
    seen: Vec<Seen>,
    last: Instant,
    /// What a step has looked at already, and all before it.
    checked: usize,
}

struct Seen {
    to: IpAddr,
    message: Vec<u8>,
    asker: Asker,
    done: bool,
}

#[derive(Clone)]
enum Asker {
    Udp(SocketAddr),
    Tcp(Arc<TcpStream>),
}

/// A TCP connection and what came over it of a message that isn't whole yet.
struct Connection {
    stream: Arc<TcpStream>,
    to: IpAddr,
    buffer: Vec<u8>,
}

/// How many queries are kept; a scenario that leads to more has run wild.
const MAX_SEEN: usize = 5_000;
const MAX_CONNECTIONS: usize = 200;
const CLIENT_SUBNET: u16 = 8;
const IXFR: u16 = 251;
const AXFR: u16 = 252;

impl Responder {
    /// Starts answering in the namespace as the scenario says, at step 0.
    pub fn start(netns: &Netns, scenario: &Scenario) -> Result<Self> {
        let any: [SocketAddr; 2] = ["0.0.0.0:53".parse()?, "[::]:53".parse()?];
        let (udp, tcp) = netns.enter(|| -> Result<_> {
            let udp = [AnyUdp::bind(any[0])?, AnyUdp::bind(any[1])?];
            Ok((udp, [listen(any[0])?, listen(any[1])?]))
        })?;
        let shared = Arc::new(Shared {
            ranges: scenario.ranges.clone(),
            udp,
            book: Mutex::new(Book {
                step: 0,
                holds_transfers: scenario.transfers(),
                seen: Vec::new(),
                last: Instant::now(),
                checked: 0,
            }),
            changed: Condvar::new(),
        });
        let (wake, woken) = UnixStream::pair()?;
        let inside = Arc::clone(&shared);
        let thread = netns.spawn_thread("responder", move || serve(&inside, &tcp, &woken))?;
        Ok(Self {
            shared,
            wake,
            thread: Some(thread),
        })
    }

    /// Goes to a step: what it answers of what was asked before is answered now.
    pub fn set_step(&self, step: u32) {
        let mut book = self.shared.lock();
        book.step = step;
        self.shared.answer_open(&mut book);
    }

    /// From here on only later queries count for [`Self::expect`].
    pub(super) fn forget(&self) {
        let mut book = self.shared.lock();
        book.checked = book.seen.len();
    }

    /// Waits for a query that matches the entry, later than the last one that was expected.
    pub(super) fn expect(&self, to: Option<IpAddr>, entry: &Entry, limit: Duration) -> Result<()> {
        let from = self.shared.lock().checked;
        let (index, mut book) = self.find(from, limit, |seen| {
            to.is_none_or(|to| to == seen.to) && seen.is_like(entry)
        })?;
        book.checked = index + 1;
        Ok(())
    }

    /// Answers the first open query that matches the entry, with the entry; waits for one.
    pub(super) fn reply(&self, to: Option<IpAddr>, entry: &Entry, limit: Duration) -> Result<()> {
        let (index, mut book) = self.find(0, limit, |seen| {
            !seen.done && to.is_none_or(|to| to == seen.to) && seen.is_like(entry)
        })?;
        book.seen[index].done = true;
        self.shared.send(entry, &book.seen[index])
    }

    /// From here on zone transfers are answered.
    pub(super) fn release_transfers(&self) {
        let mut book = self.shared.lock();
        book.holds_transfers = false;
        self.shared.answer_open(&mut book);
    }

    /// Waits until nothing was asked for the time of `quiet` from now on, for at most `limit`.
    pub(super) fn settle(&self, quiet: Duration, limit: Duration) {
        let start = Instant::now();
        let end = start + limit;
        let mut book = self.shared.lock();
        loop {
            let now = Instant::now();
            let until = (book.last.max(start) + quiet).min(end);
            if until <= now {
                return;
            }
            book = self.shared.wait(book, until.saturating_duration_since(now));
        }
    }

    /// What was asked, for messages.
    pub(super) fn story(&self) -> String {
        let book = self.shared.lock();
        let lines = book.seen.iter().map(|seen| {
            let state = if seen.done { "" } else { " (no answer)" };
            match Message::parse(&seen.message) {
                Ok(message) => {
                    let asked = message
                        .questions
                        .iter()
                        .map(|(name, qtype, _)| format!("{} TYPE{qtype}", name.escape_ascii()));
                    let asked: Vec<String> = asked.collect();
                    format!("    {} {}{state}\n", seen.to, asked.join(", "))
                }
                Err(error) => format!("    {} {error:#}\n", seen.to),
            }
        });
        lines.collect()
    }

    /// Waits for a query that is as wanted, among those from index `from` on.
    fn find(
        &self,
        from: usize,
        limit: Duration,
        wanted: impl Fn(&Seen) -> bool,
    ) -> Result<(usize, MutexGuard<'_, Book>)> {
        let end = Instant::now() + limit;
        let mut book = self.shared.lock();
        loop {
            let found = book.seen[from..].iter().position(&wanted);
            if let Some(index) = found {
                return Ok((from + index, book));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("the server asks for nothing like it");
            }
            book = self.shared.wait(book, left);
        }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // The thread ends when the other end of the pair is closed, or says something.
        let _ = self.wake.write_all(b"x");
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Seen {
    fn transport(&self) -> Transport {
        match self.asker {
            Asker::Udp(_) => Transport::Udp,
            Asker::Tcp(_) => Transport::Tcp,
        }
    }

    fn is_of_transfer(&self) -> bool {
        let asks = |message: Message| message.questions.first().map(|question| question.1);
        let qtype = Message::parse(&self.message).ok().and_then(asks);
        qtype.is_some_and(|qtype| matches!(qtype, rtype::SOA | IXFR | AXFR))
    }

    fn is_like(&self, entry: &Entry) -> bool {
        mismatch(entry, &self.message, self.transport()).is_none()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'b>(&self, book: MutexGuard<'b, Book>, time: Duration) -> MutexGuard<'b, Book> {
        self.changed
            .wait_timeout(book, time)
            .unwrap_or_else(PoisonError::into_inner)
            .0
    }

    fn take(&self, message: Vec<u8>, to: IpAddr, asker: Asker) {
        let mut book = self.lock();
        book.last = Instant::now();
        if book.seen.len() < MAX_SEEN {
            book.seen.push(Seen {
                to,
                message,
                asker,
                done: false,
            });
            let index = book.seen.len() - 1;
            self.answer(&mut book, index);
        }
        self.changed.notify_all();
    }

    fn answer_open(&self, book: &mut Book) {
        for index in 0..book.seen.len() {
            if !book.seen[index].done {
                self.answer(book, index);
            }
        }
    }

    /// Answers a query if a range does at this step.
    fn answer(&self, book: &mut Book, index: usize) {
        let step = book.step;
        let seen = &mut book.seen[index];
        if book.holds_transfers && seen.is_of_transfer() {
            return;
        }
        let ranges = self
            .ranges
            .iter()
            .filter(|range| range.covers(step, seen.to));
        let entry = ranges
            .flat_map(|range| &range.entries)
            .find(|entry| seen.is_like(entry));
        if let Some(entry) = entry {
            seen.done = true;
            // The server may have closed its socket in the meantime: that is its own business.
            let _ = self.send(entry, seen);
        }
    }

    fn send(&self, entry: &Entry, seen: &Seen) -> Result<()> {
        for packet in &entry.packets {
            let message = adjusted(entry, packet, &seen.message)?;
            match &seen.asker {
                Asker::Udp(from) => {
                    self.udp[usize::from(from.is_ipv6())].send(&message, seen.to, *from)?;
                }
                Asker::Tcp(stream) => {
                    let length = u16::try_from(message.len())?.to_be_bytes();
                    (&**stream).write_all(&[&length[..], &message].concat())?;
                }
            }
        }
        Ok(())
    }
}

/// A packet of an entry as the answer to a query.
fn adjusted(entry: &Entry, packet: &Packet, query: &[u8]) -> Result<Vec<u8>> {
    let has = |adjust: Adjust| entry.adjust.contains(&adjust);
    let mut packet = packet.clone();
    if has(Adjust::CopyClientSubnet) {
        packet.options = Some(subnet_of(query, has(Adjust::IncrementScope))?);
    }
    let mut message = match &packet.raw {
        Some(raw) => raw.clone(),
        None => packet.encode(0)?,
    };
    if has(Adjust::CopyQuery) {
        // Bytes that are no message on purpose are sent as they are.
        message = with_question_of(query, &message).unwrap_or(message);
    }
    // Entries may leave this out: the program that they are written for looks at no ID.
    if let (Some(id), Some(place)) = (query.get(..2), message.get_mut(..2)) {
        place.copy_from_slice(id);
    }
    Ok(message)
}

/// The client subnet option (RFC 7871) of a query, the scope as long as its source mask, or one more.
fn subnet_of(query: &[u8], increment: bool) -> Result<Vec<u8>> {
    let edns = Message::parse(query)?.edns;
    let options = split_options(&edns.map(|edns| edns.options).unwrap_or_default());
    let adjusted = options.into_iter().map(|(code, mut value)| {
        if code == CLIENT_SUBNET && value.len() >= 4 {
            value[3] = value[2] + u8::from(increment);
        }
        option_bytes(&(code, value))
    });
    Ok(adjusted.flatten().collect())
}

fn serve(shared: &Shared, listeners: &[TcpListener; 2], woken: &UnixStream) {
    let mut connections: Vec<Connection> = Vec::new();
    loop {
        let fixed = [
            woken.as_fd(),
            shared.udp[0].as_fd(),
            shared.udp[1].as_fd(),
            listeners[0].as_fd(),
            listeners[1].as_fd(),
        ];
        let streams = connections
            .iter()
            .map(|connection| connection.stream.as_fd());
        let mut fds: Vec<PollFd<'_>> = fixed
            .into_iter()
            .chain(streams)
            .map(|fd| PollFd::new(fd, PollFlags::POLLIN))
            .collect();
        if poll(&mut fds, PollTimeout::NONE).is_err() {
            continue;
        }
        let ready: Vec<bool> = fds.iter().map(|fd| fd.any().unwrap_or(false)).collect();
        if ready[0] {
            return;
        }
        for (udp, ready) in shared.udp.iter().zip(&ready[1..3]) {
            if *ready && let Ok(datagram) = udp.receive() {
                shared.take(datagram.message, datagram.to, Asker::Udp(datagram.from));
            }
        }
        let mut still_open = ready[5..].iter();
        connections.retain_mut(|connection| {
            !*still_open.next().expect("one for each") || connection.read(shared)
        });
        for (listener, ready) in listeners.iter().zip(&ready[3..5]) {
            if *ready && connections.len() < MAX_CONNECTIONS {
                connections.extend(accept(listener));
            }
        }
    }
}

fn accept(listener: &TcpListener) -> Option<Connection> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(true).ok()?;
    Some(Connection {
        to: stream.local_addr().ok()?.ip(),
        stream: Arc::new(stream),
        buffer: Vec::new(),
    })
}

impl Connection {
    /// Reads what is there; false when the connection is over.
    fn read(&mut self, shared: &Shared) -> bool {
        let mut bytes = [0; 4096];
        match (&*self.stream).read(&mut bytes) {
            Ok(0) => return false,
            Ok(length) => self.buffer.extend_from_slice(&bytes[..length]),
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
        while let [high, low, rest @ ..] = &self.buffer[..] {
            let length = usize::from(u16::from_be_bytes([*high, *low]));
            let Some(message) = rest.get(..length) else {
                break;
            };
            let asker = Asker::Tcp(Arc::clone(&self.stream));
            shared.take(message.to_vec(), self.to, asker);
            self.buffer.drain(..2 + length);
        }
        true
    }
}

impl Entry {
    /// Whether it can only be meant for TCP.
    pub(super) fn is_tcp(&self) -> bool {
        self.has(Rule::Tcp)
    }
}
