use std::collections::HashMap;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::wire::{Message, QuerySpec, ask_tcp_on};

/// How many questions are under way at once.
const WINDOW: usize = 48;
/// How long an answer may take: both resolvers give up on dead servers after some seconds.
const PATIENCE: Duration = Duration::from_secs(20);
const TICK: Duration = Duration::from_millis(100);

/// Asks over UDP, many at once, and once more what isn't answered soon, as clients do; the answers in the order of the
/// questions.
pub(crate) fn ask_together(server: SocketAddr, queries: &[QuerySpec]) -> Result<Vec<Message>> {
    let any = if server.is_ipv4() {
        "0.0.0.0:0"
    } else {
        "[::]:0"
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(TICK))?;
    let mut answers: HashMap<u16, Message> = HashMap::new();
    let mut unasked = (0_u16..).zip(queries);
    let mut open = 0;
    let end = Instant::now() + PATIENCE;
    let mut buffer = vec![0; 65_535];
    while answers.len() < queries.len() {
        for (id, query) in unasked.by_ref().take(WINDOW - open) {
            socket.send(&query.clone().id(id).build())?;
            open += 1;
        }
        match socket.recv(&mut buffer) {
            Ok(length) => {
                let message = Message::parse(&buffer[..length])?;
                if answers.insert(message.id, message).is_none() {
                    open -= 1;
                }
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => return Err(error).context("waiting for answers"),
        }
        if Instant::now() >= end {
            let missing: Vec<_> = (0_u16..)
                .zip(queries)
                .filter(|(id, _)| !answers.contains_key(id))
                .map(|(_, query)| &query.name)
                .collect();
            bail!("not answered within {PATIENCE:?}: {missing:?}");
        }
    }
    (0_u16..)
        .zip(queries)
        .map(|(id, _)| answers.remove(&id).context("an answer to another ID"))
        .collect()
}

/// Asks over one TCP connection, one question after the other.
pub(crate) fn ask_in_turn(server: SocketAddr, queries: &[QuerySpec]) -> Result<Vec<Message>> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    let mut answers = Vec::with_capacity(queries.len());
    for (id, query) in (0_u16..).zip(queries) {
        let answer = ask_tcp_on(&mut stream, &query.clone().id(id).build())?
            .with_context(|| format!("{}: the connection was closed", query.name))?;
        let answer = Message::parse(&answer)?;
        ensure!(answer.id == id, "{}: another ID", query.name);
        answers.push(answer);
    }
    Ok(answers)
}
