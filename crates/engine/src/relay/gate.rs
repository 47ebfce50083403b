use std::ffi::c_int;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, sleep};

use super::count::{Event, count};
use super::frame::{id, push_message, read_message, servfail, set_id};
use super::pad::pad;
use super::upstream::Upstream;
use crate::ffi;

/// Connections of libunbound to one upstream; it opens `outgoing-num-tcp` at most, for each thread. The next one
/// waits in the listener's queue.
const MAX_CONNECTIONS: usize = 4096;
/// How long to wait when a connection can't be accepted, for want of descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A query on its way, with the ID that libunbound gave it.
pub(super) struct Query {
    pub(super) message: Vec<u8>,
    /// When libunbound sent it.
    pub(super) since: Instant,
    /// On how many connections it was lost.
    pub(super) losses: u8,
    answers: mpsc::UnboundedSender<Answer>,
    /// Held until the answer is written, so that the queue of answers is bounded too.
    place: OwnedSemaphorePermit,
}

struct Answer {
    message: Vec<u8>,
    _place: OwnedSemaphorePermit,
}

impl Query {
    pub(super) fn answer(self, mut message: Vec<u8>) {
        set_id(&mut message, id(&self.message));
        // If nobody listens any more, nobody misses it.
        let _ = self.answers.send(Answer {
            message,
            _place: self.place,
        });
    }

    /// Answers SERVFAIL: libunbound asks another upstream, if there is one. (Had it no answer at all, it would keep
    /// away from this one for up to two minutes, back or not. When to keep away the relay knows better.)
    pub(super) fn fail(self) {
        // Without a question there is nobody to answer.
        if let Some(message) = servfail(&self.message) {
            self.answer(message);
        }
    }
}

/// Takes libunbound's connections to one upstream. Descriptors of this process are below `files`.
pub(super) async fn admit(
    listener: TcpListener,
    local: SocketAddr,
    upstream: Rc<Upstream>,
    files: c_int,
) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let Ok((stream, peer)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // The other end is ours, or has been closed since.
        if ffi::holds_socket(peer, local, files) {
            let upstream = Rc::clone(&upstream);
            tokio::task::spawn_local(async move {
                serve(stream, &upstream).await;
                drop(place);
            });
        }
    }
}

/// One of libunbound's connections, until it is closed.
async fn serve(stream: TcpStream, upstream: &Rc<Upstream>) {
    // Without it answers are merely late.
    let _ = stream.set_nodelay(true);
    let (reader, writer) = stream.into_split();
    let (answers, queue) = mpsc::unbounded_channel();
    tokio::select! {
        () = read_queries(reader, answers, upstream) => {}
        () = write_answers(writer, queue) => {}
    }
}

async fn read_queries(
    reader: OwnedReadHalf,
    answers: mpsc::UnboundedSender<Answer>,
    upstream: &Rc<Upstream>,
) {
    let mut reader = BufReader::new(reader);
    while let Ok(mut message) = read_message(&mut reader).await {
        count(Event::Query);
        pad(&mut message, upstream.padding_bytes);
        let Ok(place) = Arc::clone(&upstream.places).acquire_owned().await else {
            return;
        };
        upstream.ask(Query {
            message,
            since: Instant::now(),
            losses: 0,
            answers: answers.clone(),
            place,
        });
    }
}

async fn write_answers(mut writer: OwnedWriteHalf, mut queue: mpsc::UnboundedReceiver<Answer>) {
    let mut out = Vec::new();
    while let Some(Answer { message, _place }) = queue.recv().await {
        out.clear();
        push_message(&message, &mut out);
        if writer.write_all(&out).await.is_err() {
            return;
        }
    }
}
