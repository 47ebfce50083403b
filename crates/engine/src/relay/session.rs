use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::frame::{id, push_message, read_message, set_id};
use super::gate::Query;
use super::upstream::Upstream;

/// A connection must be made and secured within this, so that libunbound, which waits 3 s, hears of it.
const CONNECT_LIMIT: Duration = Duration::from_millis(2500);
/// An answer later than this is of no use: libunbound has given up.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// A connection that is silent for this long while queries wait gets no more of them.
const DOUBT_AFTER: Duration = Duration::from_millis(1500);
/// How late a time limit may be noticed.
const TICK: Duration = Duration::from_millis(250);
/// How long a closing connection has to say so.
const CLOSE_LIMIT: Duration = Duration::from_millis(100);
/// Queries written at once.
const BATCH: usize = 64;

/// A connection to an upstream, from before it is open.
pub(super) struct Session {
    queue: mpsc::UnboundedSender<Vec<u8>>,
    /// Queries without an answer, by the ID they have on this connection.
    pending: RefCell<HashMap<u16, Query>>,
    next_id: Cell<u16>,
    is_open: Cell<bool>,
    answered: Cell<bool>,
    /// The last answer, or since when there is a query without one.
    waiting_since: Cell<Instant>,
}

/// Why a session is over.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// Nothing was asked for a while.
    Idle,
    /// It was never open.
    NotOpened(String),
    /// It was open.
    Lost(String),
    /// It was open, and for long nothing has come: the names may be slow, or the other end gone.
    Unanswered,
}

impl Session {
    /// A session, and what is to be written on it; [`Session::run`] is to follow.
    pub(super) fn new() -> (Rc<Self>, mpsc::UnboundedReceiver<Vec<u8>>) {
        let (queue, written) = mpsc::unbounded_channel();
        let session = Self {
            queue,
            pending: RefCell::default(),
            next_id: Cell::new(0),
            is_open: Cell::new(false),
            answered: Cell::new(false),
            waiting_since: Cell::new(Instant::now()),
        };
        (Rc::new(session), written)
    }

    /// Queries without an answer.
    pub(super) fn load(&self) -> usize {
        self.pending.borrow().len()
    }

    pub(super) fn is_open(&self) -> bool {
        self.is_open.get()
    }

    /// Whether it may have died unseen.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_open.get() && self.load() > 0 && self.waiting_since.get().elapsed() > DOUBT_AFTER
    }

    /// Whether it ever had an answer.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.get()
    }

    /// Sends a query, now or as soon as the session is open. Upstreams have fewer places than there are IDs.
    pub(super) fn send(&self, query: Query) {
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            self.waiting_since.set(Instant::now());
        }
        let mut id = self.next_id.get();
        while pending.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.next_id.set(id.wrapping_add(1));
        let mut message = query.message.clone();
        set_id(&mut message, id);
        pending.insert(id, query);
        // The queue is closed only when the session is over, and what is pending is taken back then.
        let _ = self.queue.send(message);
    }

    /// What was not answered.
    pub(super) fn take_pending(&self) -> Vec<Query> {
        self.pending
            .borrow_mut()
            .drain()
            .map(|(_, query)| query)
            .collect()
    }

    /// Opens the connection, not before its time, and keeps it until it ends.
    pub(super) async fn run(
        self: &Rc<Self>,
        upstream: &Upstream,
        mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
        not_before: Instant,
    ) -> Ended {
        sleep_until(not_before).await;
        let stream = match timeout(CONNECT_LIMIT, connect(upstream)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Ended::NotOpened(error.to_string()),
            Err(_) => return Ended::NotOpened("no connection in time".to_owned()),
        };
        let resumed = stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
        upstream.opened(resumed);
        self.is_open.set(true);
        self.waiting_since.set(Instant::now());
        let (mut reader, mut writer) = tokio::io::split(stream);
        let ended = tokio::select! {
            error = self.read_answers(&mut reader, upstream) => Ended::Lost(describe(&error)),
            error = write_queries(&mut writer, &mut queue) => Ended::Lost(describe(&error)),
            ended = self.watch(upstream.idle_limit) => ended,
        };
        upstream.forget(self);
        if ended == Ended::Idle {
            let _ = timeout(CLOSE_LIMIT, reader.unsplit(writer).shutdown()).await;
        }
        ended
    }

    async fn read_answers(
        &self,
        reader: &mut (impl AsyncRead + Unpin),
        upstream: &Upstream,
    ) -> io::Error {
        let mut reader = BufReader::new(reader);
        loop {
            match read_message(&mut reader).await {
                Ok(message) => {
                    // Nobody waits for an unknown ID: the answer is too late.
                    let query = self.pending.borrow_mut().remove(&id(&message));
                    if let Some(query) = query {
                        self.waiting_since.set(Instant::now());
                        self.answered.set(true);
                        upstream.answered();
                        query.answer(message);
                    }
                }
                Err(error) => return error,
            }
        }
    }

    /// Forgets queries that are too old; ends when all are, or when there have been none for `idle_limit`.
    async fn watch(&self, idle_limit: Duration) -> Ended {
        loop {
            sleep(TICK).await;
            let silent = self.waiting_since.get().elapsed();
            let mut pending = self.pending.borrow_mut();
            if pending.is_empty() {
                if silent >= idle_limit {
                    return Ended::Idle;
                }
                continue;
            }
            pending.retain(|_, query| query.since.elapsed() < ANSWER_LIMIT);
            if silent >= ANSWER_LIMIT {
                return Ended::Unanswered;
            }
        }
    }
}

async fn write_queries(
    writer: &mut (impl AsyncWrite + Unpin),
    queue: &mut mpsc::UnboundedReceiver<Vec<u8>>,
) -> io::Error {
    let mut batch = Vec::new();
    let mut out = Vec::new();
    while queue.recv_many(&mut batch, BATCH).await > 0 {
        out.clear();
        for message in batch.drain(..) {
            push_message(&message, &mut out);
        }
        let written = match writer.write_all(&out).await {
            Ok(()) => writer.flush().await,
            Err(error) => Err(error),
        };
        if let Err(error) = written {
            return error;
        }
    }
    io::ErrorKind::BrokenPipe.into()
}

async fn connect(upstream: &Upstream) -> io::Result<TlsStream<TcpStream>> {
    let address = upstream.address().map_err(io::Error::other)?;
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    if let Some(source) = upstream.source() {
        socket.bind(source)?;
    }
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    let tls = upstream.tls.clone();
    TlsConnector::from(tls.config)
        .connect(tls.server, stream)
        .await
}

fn describe(error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        "closed by the server".to_owned()
    } else {
        error.to_string()
    }
}
