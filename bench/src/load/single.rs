use std::io::ErrorKind::WouldBlock;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::wire::query;

use super::Target;
use crate::data::Name;
use crate::measure::{Figure, Load, Round, pin_thread};
use crate::site::{CLIENT_CORE, Site};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(1);
/// Of so many round trips one may be lost.
const LOSABLE: usize = 1000;

/// How a client waits for its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wait {
    /// It sleeps; the time includes its own waking up, most of it all on a virtual machine.
    Blocking,
    /// It looks again and again.
    Polling,
}

/// One query at a time: `count` round trips for names of the case.
pub(crate) fn single(target: &Target<'_>, load: Load, wait: Wait, count: usize) -> Result<Round> {
    let names = target.case.queries.sequence().take(count);
    round_trips(target, load, wait, names.map(|(name, _)| name))
}

/// One query at a time, for each of the names.
pub(super) fn round_trips(
    target: &Target<'_>,
    load: Load,
    wait: Wait,
    names: impl Iterator<Item = Name>,
) -> Result<Round> {
    let queries: Vec<Vec<u8>> = names
        .map(|name| query(&name.to_string(), name.qtype()).build())
        .collect();
    let service = Site::service(target.case.v6);
    let times = target.site.client.enter(|| -> Result<Vec<Duration>> {
        pin_thread(&[CLIENT_CORE])?;
        let bind = if target.case.v6 {
            "[::]:0"
        } else {
            "0.0.0.0:0"
        };
        let socket = UdpSocket::bind(bind)?;
        socket.connect(service)?;
        socket.set_read_timeout(Some(LIMIT))?;
        socket.set_nonblocking(wait == Wait::Polling)?;
        Ok(queries
            .iter()
            .filter_map(|query| round_trip(&socket, query))
            .collect())
    })?;
    let lost = queries.len() - times.len();
    ensure!(
        lost <= queries.len() / LOSABLE,
        "{lost} of {} queries got no answer",
        queries.len()
    );
    figures(load, wait, times)
}

fn round_trip(socket: &UdpSocket, query: &[u8]) -> Option<Duration> {
    let mut buffer = [0; 4096];
    let start = Instant::now();
    socket.send(query).ok()?;
    let length = loop {
        match socket.recv(&mut buffer) {
            Ok(length) => break length,
            Err(error) if error.kind() == WouldBlock && start.elapsed() < LIMIT => {}
            Err(_) => return None,
        }
    };
    let time = start.elapsed();
    (length > 12 && buffer[..2] == query[..2]).then_some(time)
}

fn figures(load: Load, wait: Wait, mut times: Vec<Duration>) -> Result<Round> {
    times.sort();
    let last = times.len().checked_sub(1).context("no answer at all")?;
    let at = |percent: usize| times[last * percent / 100].as_secs_f64() * 1e6;
    let sum: Duration = times.iter().sum();
    let mean = sum.as_secs_f64() * 1e6 / f64::from(u32::try_from(times.len())?);
    let figures = [
        (Figure::P50Us, at(50)),
        (Figure::P90Us, at(90)),
        (Figure::P99Us, at(99)),
        (Figure::MeanUs, mean),
    ];
    Ok(Round {
        load,
        figures: figures.into(),
        command: format!(
            "bench: {} round trips from one {wait:?} socket",
            times.len()
        ),
    })
}
