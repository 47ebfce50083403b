use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What a client that does not wait for answers got: see [`ask_open_loop`].
pub struct OpenLoop {
    /// Questions sent; their IDs are the numbers from 0.
    pub sent: u16,
    /// The answers by ID.
    pub answers: HashMap<u16, Vec<u8>>,
}

/// Two polls of the receiver are this far apart, as are two batches of the sender.
const STEP: Duration = Duration::from_millis(2);

/// Sends `rate` questions a second over UDP from one socket, whether or not answers come, until `stop` is set or all
/// IDs are used up; then waits for what is missing, for at most `patience`.
///
/// Runs in the namespace of the calling thread. `question` makes the message with this ID.
pub fn ask_open_loop(
    server: SocketAddr,
    rate: u32,
    stop: &AtomicBool,
    patience: Duration,
    question: impl Fn(u16) -> Vec<u8>,
) -> Result<OpenLoop> {
    let socket = UdpSocket::bind("0.0.0.0:0")?;
    socket.connect(server)?;
    socket.set_read_timeout(Some(STEP))?;
    let total = OnceLock::new();
    thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&socket, &total, patience));
        let sent = send(&socket, rate, stop, question);
        let _ = total.set(sent.as_ref().map_or(0, |sent| usize::from(*sent)));
        let answers = receiver.join().expect("no panic")?;
        Ok(OpenLoop {
            sent: sent?,
            answers,
        })
    })
}

fn send(
    socket: &UdpSocket,
    rate: u32,
    stop: &AtomicBool,
    question: impl Fn(u16) -> Vec<u8>,
) -> Result<u16> {
    let (start, mut sent) = (Instant::now(), 0_u16);
    while !stop.load(Ordering::Relaxed) && sent < u16::MAX {
        let due = start.elapsed().as_micros() * u128::from(rate) / 1_000_000;
        while u128::from(sent) < due && sent < u16::MAX {
            socket.send(&question(sent)).context("sending a question")?;
            sent += 1;
        }
        thread::sleep(STEP);
    }
    Ok(sent)
}

/// Receives until the number of questions is known and all have their answers, or `patience` is over.
fn receive(
    socket: &UdpSocket,
    total: &OnceLock<usize>,
    patience: Duration,
) -> Result<HashMap<u16, Vec<u8>>> {
    let mut answers = HashMap::new();
    let mut buffer = vec![0; 65_535];
    let mut end = None;
    while total.get().is_none_or(|total| answers.len() < *total) {
        if total.get().is_some() && Instant::now() > *end.get_or_insert(Instant::now() + patience) {
            break;
        }
        let Ok(length) = socket.recv(&mut buffer) else {
            continue;
        };
        let id = buffer[..length].first_chunk().context("a short answer")?;
        answers.insert(u16::from_be_bytes(*id), buffer[..length].to_vec());
    }
    Ok(answers)
}
