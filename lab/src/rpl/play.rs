use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use socket2::{Domain, Protocol, Socket, Type};

use super::compare::{Transport, mismatch};
use super::setting::PORT;
use super::{Entry, Event, Responder, Scenario, Setting};
use crate::netns::Netns;
use crate::wire::{Message, ask_tcp_on};

/// The network of a scenario: every address is local, and port 53 of each is answered by the scenario's ranges.
pub struct World {
    // Fields are dropped in this order: the threads inside before the namespace.
    responder: Responder,
    netns: Netns,
}

/// What came back for a query.
struct Answer {
    from: IpAddr,
    transport: Transport,
    message: Vec<u8>,
}

/// The client's side while a scenario is played.
struct Play<'p> {
    world: &'p World,
    setting: &'p Setting,
    /// Each query's outcome, `None` for silence.
    outcomes: Receiver<Option<Answer>>,
    sender: Sender<Option<Answer>>,
    /// The connection of all queries over TCP.
    stream: Stream,
    open: usize,
    asked: u16,
    /// Answers that no step has expected yet.
    answers: Vec<Answer>,
}

type Stream = Arc<Mutex<Option<TcpStream>>>;

/// How long a server may take for an answer, or for a query of its own: it may have to wait for others that are silent.
const LIMIT: Duration = Duration::from_secs(12);
/// How long nothing is asked before a server counts as having nothing more to do.
const QUIET: Duration = Duration::from_millis(250);
const ARRIVAL: Duration = Duration::from_millis(20);
const TURN_QUIET: Duration = Duration::from_millis(150);
const START_QUIET: Duration = Duration::from_millis(50);
const TRAFFIC_LIMIT: Duration = Duration::from_secs(3);
/// How long the end of a scenario waits for answers that it doesn't expect.
const END_WAIT: Duration = Duration::from_millis(500);

impl World {
    /// Makes the namespace and starts to answer in it.
    pub fn new(scenario: &Scenario) -> Result<Self> {
        let netns = Netns::new()?;
        netns.ip("route add local 0.0.0.0/0 dev lo")?;
        netns.ip("addr add 2001:db8:53::1/128 dev lo nodad")?;
        netns.ip("-6 route add local ::/0 dev lo")?;
        netns.sysctl("net/ipv6/ip_nonlocal_bind", "1")?;
        Ok(Self {
            responder: Responder::start(&netns, scenario)?,
            netns,
        })
    }

    /// The namespace, for the server under test.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }
}

/// Plays a scenario against the server that answers in the world.
///
/// # Errors
/// What the server did otherwise than the scenario says, and what it had asked by then.
pub fn play(scenario: &Scenario, setting: &Setting, world: &World) -> Result<()> {
    let (sender, outcomes) = mpsc::channel();
    let mut play = Play {
        world,
        setting,
        outcomes,
        sender,
        stream: Stream::default(),
        open: 0,
        asked: 0,
        answers: Vec::new(),
    };
    play.steps(scenario).map_err(|error| {
        anyhow!(
            "{error:#}\n  the server asked:\n{}",
            world.responder.story()
        )
    })
}

impl Play<'_> {
    fn steps(&mut self, scenario: &Scenario) -> Result<()> {
        let steps = &scenario.steps;
        // What the server asks by itself at the start it has before the first client comes.
        self.world.responder.settle(START_QUIET, TRAFFIC_LIMIT);
        for (index, step) in steps.iter().enumerate() {
            // What a step leads to is answered as of the next one.
            let next = steps.get(index + 1).unwrap_or(step).number;
            let waits = matches!(
                step.event,
                Event::CheckAnswer(..) | Event::CheckOutQuery(..) | Event::Reply(..)
            );
            let number = if waits { step.number } else { next };
            self.world.responder.set_step(number);
            self.step(&step.event)
                .with_context(|| format!("step {}", step.number))?;
            let next_waits = matches!(
                steps.get(index + 1).map(|step| &step.event),
                Some(Event::CheckAnswer(..) | Event::CheckOutQuery(..)) | None
            );
            if matches!(step.event, Event::Query(..)) && !next_waits {
                // The query shall be there before what follows is.
                self.world.responder.settle(ARRIVAL, TRAFFIC_LIMIT);
            } else if waits && scenario.turns(step.number, next) {
                // What the server asks beside an answer is still answered by the ranges of this step.
                self.world.responder.settle(TURN_QUIET, TRAFFIC_LIMIT);
            }
            self.world.responder.set_step(next);
        }
        self.end()
    }

    fn step(&mut self, event: &Event) -> Result<()> {
        let responder = &self.world.responder;
        match event {
            Event::Nothing => {}
            Event::Query(from, entry) => self.ask(*from, entry)?,
            Event::CheckAnswer(from, entry) => self.expect(*from, entry)?,
            Event::CheckOutQuery(to, entry) => responder.expect(*to, entry, LIMIT)?,
            Event::Reply(to, entry) => responder.reply(*to, entry, LIMIT)?,
            Event::TimePasses(time) => {
                responder.release_transfers();
                thread::sleep(*time);
                responder.settle(QUIET, TRAFFIC_LIMIT);
            }
            Event::Traffic => {
                responder.release_transfers();
                responder.settle(QUIET, TRAFFIC_LIMIT);
            }
            Event::CheckFile(name, lines) => self.expect_file(name, lines)?,
            Event::Impossible(reason) => bail!("not applicable: {reason}"),
        }
        Ok(())
    }

    fn ask(&mut self, from: Option<IpAddr>, entry: &Entry) -> Result<()> {
        self.world.responder.forget();
        self.asked += 1;
        let from = from.unwrap_or(Ipv4Addr::LOCALHOST.into());
        let id = 0x5300 + self.asked;
        let message = match &entry.packets[0].raw {
            Some(raw) => [&id.to_be_bytes()[..], raw.get(2..).unwrap_or_default()].concat(),
            None => entry.packets[0].encode(id)?,
        };
        let transport = if entry.is_tcp() {
            Transport::Tcp
        } else {
            Transport::Udp
        };
        let sender = self.sender.clone();
        let stream = Arc::clone(&self.stream);
        self.world.netns.spawn_thread("client", move || {
            // A server that closes a connection or a port is as silent as one that drops.
            let message = match transport {
                Transport::Udp => ask_udp(from, &message),
                Transport::Tcp => ask_tcp(from, &message, &stream),
            };
            let message = message.unwrap_or_default();
            let outcome = message.map(|message| Answer {
                from,
                transport,
                message,
            });
            // The scenario may be over.
            let _ = sender.send(outcome);
        })?;
        self.open += 1;
        Ok(())
    }

    /// Waits for an answer that matches, among those that no step has had.
    fn expect(&mut self, to: Option<IpAddr>, entry: &Entry) -> Result<()> {
        let end = Instant::now() + LIMIT;
        let wrong = |answer: &Answer| {
            let other = to.is_some_and(|to| to != answer.from);
            let other = other.then(|| format!("it went to {}", answer.from));
            other.or_else(|| mismatch(entry, &answer.message, answer.transport))
        };
        loop {
            if let Some(index) = self
                .answers
                .iter()
                .position(|answer| wrong(answer).is_none())
            {
                self.answers.remove(index);
                return Ok(());
            }
            if self.open == 0 || !self.receive(end) {
                break;
            }
        }
        let wrongs: Vec<String> = self.answers.iter().filter_map(wrong).collect();
        ensure!(!wrongs.is_empty(), "line {}: no answer", entry.line);
        bail!("line {}: {}", entry.line, wrongs.join("\n  or "))
    }

    /// Takes one outcome; false when there is none by `end`.
    fn receive(&mut self, end: Instant) -> bool {
        let left = end.saturating_duration_since(Instant::now());
        match self.outcomes.recv_timeout(left) {
            Ok(outcome) => {
                self.open -= 1;
                self.answers.extend(outcome);
                true
            }
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => false,
        }
    }

    fn expect_file(&self, name: &str, expected: &[String]) -> Result<()> {
        let path = self.setting.file(name);
        let text = fs::read_to_string(&path).with_context(|| format!("the file {name}"))?;
        let said = |lines: &mut dyn Iterator<Item = &str>| -> Vec<String> {
            let lines = lines.filter(|line| !line.starts_with(';') && !line.trim().is_empty());
            lines.map(|line| line.trim_end().to_owned()).collect()
        };
        let found = said(&mut text.lines());
        let expected = said(&mut expected.iter().map(String::as_str));
        ensure!(
            found == expected,
            "{name} has {found:#?}, not {expected:#?}"
        );
        Ok(())
    }

    /// What nobody expects shall not come.
    fn end(&mut self) -> Result<()> {
        let end = Instant::now() + END_WAIT;
        while self.open > 0 && self.receive(end) {}
        ensure!(
            self.answers.is_empty(),
            "answers that the scenario doesn't expect: {:?}",
            self.answers
                .iter()
                .map(|answer| Message::parse(&answer.message))
                .collect::<Vec<_>>()
        );
        Ok(())
    }
}

fn server(from: IpAddr) -> SocketAddr {
    match from {
        IpAddr::V4(_) => (Ipv4Addr::LOCALHOST, PORT).into(),
        IpAddr::V6(_) => (Ipv6Addr::LOCALHOST, PORT).into(),
    }
}

/// Asks the server under test from an address; silence is an error.
fn ask_udp(from: IpAddr, message: &[u8]) -> Result<Option<Vec<u8>>> {
    let socket = UdpSocket::bind((from, 0))?;
    socket.connect(server(from))?;
    socket.set_read_timeout(Some(LIMIT))?;
    socket.send(message)?;
    let mut buffer = vec![0; usize::from(u16::MAX)];
    let length = socket.recv(&mut buffer)?;
    buffer.truncate(length);
    Ok(Some(buffer))
}

/// As [`ask_udp`], over the connection that is there, or the first.
fn ask_tcp(from: IpAddr, message: &[u8], stream: &Stream) -> Result<Option<Vec<u8>>> {
    let mut stream = stream.lock().unwrap_or_else(PoisonError::into_inner);
    if stream.is_none() {
        let server = server(from);
        let domain = Domain::for_address(server);
        let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
        socket.bind(&SocketAddr::new(from, 0).into())?;
        socket.connect_timeout(&server.into(), LIMIT)?;
        socket.set_read_timeout(Some(LIMIT))?;
        *stream = Some(socket.into());
    }
    let open = stream.as_mut().expect("made above");
    let answer = ask_tcp_on(open, message);
    if !matches!(answer, Ok(Some(_))) {
        *stream = None;
    }
    answer
}
