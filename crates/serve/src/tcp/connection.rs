use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::frame::{Deframer, Outbox};
use super::service::{Answered, Peers, Service, Step};

/// Queries of one connection that may wait for the engine at a time; no more is read meanwhile.
pub(super) const IN_FLIGHT: usize = 64;

/// Replies that may wait for a slow reader; no more is read meanwhile. One reply may go beyond it.
const OUTBOX_BYTES: usize = 64 * 1024;

/// How long a client may take for each [`PROGRESS_BYTES`] of its replies.
const WRITE_LIMIT: Duration = Duration::from_secs(10);

/// See [`WRITE_LIMIT`].
const PROGRESS_BYTES: usize = 16 * 1024;

/// How long a closing connection reads on, so that a reset does not overtake the last replies.
const LINGER: Duration = Duration::from_millis(250);

/// One client's connection.
pub(super) struct Connection {
    service: Rc<Service>,
    stream: TcpStream,
    peers: Peers,
    draining: watch::Receiver<bool>,
    /// Nothing more is read; what has come is still answered.
    reads_no_more: bool,
    sender: mpsc::Sender<Answered>,
    answers: mpsc::Receiver<Answered>,
    deframer: Deframer,
    outbox: Outbox,
    in_flight: usize,
    input: Input,
    deadline: Instant,
    /// Bytes sent since the write deadline was set.
    progress: usize,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.service.lost(self.in_flight);
    }
}

/// What may still come from the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Input {
    /// More queries.
    Open,
    /// There may be whole queries in the buffer that must wait for room.
    Stalled,
    /// Nothing: it has closed its side.
    Ended,
    /// Nothing that we would read: the server ends, or the client misbehaves.
    Refused,
}

impl Connection {
    /// Takes over an accepted stream.
    ///
    /// # Errors
    /// The client has already gone.
    pub(super) fn new(service: Rc<Service>, stream: TcpStream, peers: Peers) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let (sender, answers) = mpsc::channel(IN_FLIGHT);
        let draining = service.draining.subscribe();
        let deadline = Instant::now() + service.limits.idle_limit();
        Ok(Self {
            service,
            stream,
            peers,
            draining,
            reads_no_more: false,
            sender,
            answers,
            deframer: Deframer::new(),
            outbox: Outbox::default(),
            in_flight: 0,
            input: Input::Open,
            deadline,
            progress: 0,
        })
    }

    /// Serves the client until it has all its answers and has gone, or has been idle for too long.
    pub(super) async fn run(mut self) {
        while !self.is_done() {
            match self.step().await {
                Ok(true) => {}
                Ok(false) | Err(_) => break, // time is up; or the client has gone: nobody to tell
            }
        }
        if self.input == Input::Refused {
            let _ = timeout(LINGER, self.linger()).await;
        }
    }

    fn is_done(&self) -> bool {
        let no_more = matches!(self.input, Input::Ended | Input::Refused)
            || (self.reads_no_more && self.input == Input::Open);
        no_more && self.in_flight == 0 && self.outbox.is_empty()
    }

    /// Waits for one thing to happen and does what follows from it; `false` when the time is up.
    pub(super) async fn step(&mut self) -> io::Result<bool> {
        let is_idle = self.in_flight == 0 && self.outbox.is_empty();
        let has_deadline = is_idle || !self.outbox.is_empty();
        let (mut reader, mut writer) = self.stream.split();
        tokio::select! {
            biased;
            Some(answered) = self.answers.recv(), if self.in_flight > 0 => self.answered(&answered),
            sent = writer.write(self.outbox.pending()), if !self.outbox.is_empty() => self.sent(sent?),
            Ok(()) = self.draining.changed(), if !self.reads_no_more => self.drain(),
            count = reader.read(self.deframer.space()), if self.input == Input::Open && !self.reads_no_more => self.received(count?),
            () = self.service.limits.must_leave(), if is_idle => return Ok(false),
            () = sleep_until(self.deadline), if has_deadline => return Ok(false),
        }
        Ok(true)
    }

    fn answered(&mut self, answered: &Answered) {
        self.in_flight -= 1;
        let was_empty = self.outbox.is_empty();
        let step = self
            .service
            .finish(self.peers, answered, |reply| self.outbox.push(reply));
        self.after(step, was_empty);
        self.take_queries();
    }

    fn sent(&mut self, count: usize) {
        self.outbox.sent(count);
        self.progress += count;
        if self.outbox.is_empty() {
            self.deadline = Instant::now() + self.service.limits.idle_limit();
        } else if self.progress >= PROGRESS_BYTES {
            self.start_write_limit();
        }
        self.take_queries();
    }

    fn received(&mut self, count: usize) {
        if count == 0 {
            self.input = Input::Ended;
            return;
        }
        self.deframer.filled(count);
        self.take_queries();
    }

    /// Takes what has already come, then reads no more. Queries that found no room yet are answered later.
    fn drain(&mut self) {
        while self.input == Input::Open {
            match self.stream.try_read(self.deframer.space()) {
                Ok(count) => self.received(count),
                Err(_) => break, // nothing more, or the client has gone
            }
        }
        self.reads_no_more = true;
    }

    /// Answers the whole queries in the buffer, as far as there is room.
    fn take_queries(&mut self) {
        if !matches!(self.input, Input::Open | Input::Stalled) {
            return;
        }
        loop {
            if self.in_flight >= IN_FLIGHT || self.outbox.pending().len() >= OUTBOX_BYTES {
                self.input = Input::Stalled;
                return;
            }
            let was_empty = self.outbox.is_empty();
            let Self {
                deframer,
                service,
                peers,
                sender,
                outbox,
                ..
            } = self;
            let Some(query) = deframer.next() else { break };
            let step = service.query(peers, query, sender, |reply| outbox.push(reply));
            self.after(step, was_empty);
            if step == Step::Close {
                return;
            }
        }
        self.input = Input::Open;
    }

    fn after(&mut self, step: Step, outbox_was_empty: bool) {
        match step {
            Step::Replied if outbox_was_empty => self.start_write_limit(),
            Step::Replied => {}
            Step::Waits => self.in_flight += 1,
            Step::Close => self.input = Input::Refused,
        }
    }

    fn start_write_limit(&mut self) {
        self.progress = 0;
        self.deadline = Instant::now() + WRITE_LIMIT;
    }

    /// Ends our side, then reads and throws away until the client ends its.
    async fn linger(&mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        let mut waste = [0; 4096];
        while self.stream.read(&mut waste).await? > 0 {}
        Ok(())
    }
}
