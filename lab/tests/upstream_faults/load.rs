//! Clients that go on asking, and what they got.

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::scene::{Path, SERVER_V4, Scene};
use sluicegate_lab::wire::{Message, OpenLoop, ask_open_loop, query, rcode, rtype};

/// The server, as clients on the link see it.
pub(crate) fn server() -> SocketAddr {
    SocketAddr::new(SERVER_V4, 53)
}

/// Asks for the address of a name; `None` without an answer within `limit`.
pub(crate) fn ask(scene: &Scene, name: &str, limit: Duration) -> Result<Option<Message>> {
    let answer = scene.ask(Path::Xdp, &query(name, rtype::A).build(), limit)?;
    answer.map(|answer| Message::parse(&answer)).transpose()
}

/// Whether it is the answer with one record.
pub(crate) fn is_answer(message: Option<&Message>) -> bool {
    message.is_some_and(|message| message.rcode() == rcode::NOERROR && message.answer.len() == 1)
}

/// What became of the questions of an open loop.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) sent: usize,
    pub(crate) good: usize,
    pub(crate) servfail: usize,
    pub(crate) silent: usize,
}

impl Tally {
    fn of(open_loop: &OpenLoop) -> Self {
        let code = |answer: &Vec<u8>| u16::from(answer.get(3).copied().unwrap_or(0) & 0x0f);
        let codes: Vec<u16> = open_loop.answers.values().map(code).collect();
        let count = |wanted| codes.iter().filter(|code| **code == wanted).count();
        Self {
            sent: open_loop.sent.into(),
            good: count(rcode::NOERROR),
            servfail: count(rcode::SERVFAIL),
            silent: usize::from(open_loop.sent) - codes.len(),
        }
    }
}

/// How long answers are waited for when all is asked: longer than an engine waits for an upstream that is slow.
const LAST_ANSWERS: Duration = Duration::from_secs(4);

/// Asks `rate` questions a second from the client's host until `stop` is set: `name` makes the name from its number.
pub(crate) fn keep_asking(
    scene: &Scene,
    rate: u32,
    stop: &AtomicBool,
    name: impl Fn(u16) -> String + Sync,
) -> Result<Tally> {
    keep_asking_for(scene, rate, stop, LAST_ANSWERS, name)
}

/// The same, with another patience at the end.
pub(crate) fn keep_asking_for(
    scene: &Scene,
    rate: u32,
    stop: &AtomicBool,
    patience: Duration,
    name: impl Fn(u16) -> String + Sync,
) -> Result<Tally> {
    let question = |number: u16| {
        let mut message = query(&name(number), rtype::A).build();
        message[..2].copy_from_slice(&number.to_be_bytes());
        message
    };
    let asked = scene
        .client
        .enter(|| ask_open_loop(server(), rate, stop, patience, question))?;
    Ok(Tally::of(&asked))
}

/// Sets the flag when the value goes, also by an error: else the threads that look at it would never end.
pub(crate) struct StopAtEnd<'a>(pub(crate) &'a AtomicBool);

impl Drop for StopAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The time that a name in the cache takes, asked one by one for `length`: the median and the slowest.
pub(crate) fn hit_times(
    scene: &Scene,
    name: &str,
    length: Duration,
) -> Result<(Duration, Duration)> {
    let message = query(name, rtype::A).build();
    let mut times = scene.client.enter(|| -> Result<Vec<Duration>> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.connect(server())?;
        socket.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut times = Vec::new();
        let mut buffer = [0; 1232];
        let end = Instant::now() + length;
        while Instant::now() < end {
            let asked = Instant::now();
            socket.send(&message)?;
            let length = socket.recv(&mut buffer).context("no answer to a hit")?;
            times.push(asked.elapsed());
            let answer = Message::parse(&buffer[..length])?;
            ensure!(is_answer(Some(&answer)), "a hit, {answer:?}");
        }
        Ok(times)
    })?;
    times.sort_unstable();
    let slowest = times.last().copied().context("no hits in time")?;
    Ok((times[times.len() / 2], slowest))
}

/// The resident memory of a process, in bytes.
pub(crate) fn resident_bytes(pid: i32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let fields: HashMap<&str, &str> = status
        .lines()
        .filter_map(|line| line.split_once(':'))
        .collect();
    let kibibytes = fields.get("VmRSS").context("no VmRSS")?;
    let kibibytes = kibibytes.trim().trim_end_matches(" kB").parse::<u64>()?;
    Ok(kibibytes * 1024)
}
