use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use sluicegate_lab::wire::query;

use super::Target;
use crate::measure::{Figure, Load, Round, pin_thread};
use crate::site::{CLIENT_CORE, Site};

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(1);
/// Of so many round trips one may be lost.
const LOSABLE: usize = 1000;

/// One query at a time from one blocking socket: `count` round trips.
pub(crate) fn single(target: &Target<'_>, load: Load, count: usize) -> Result<Round> {
    let queries: Vec<Vec<u8>> = target
        .case
        .queries
        .sequence()
        .take(count)
        .map(|(name, _)| query(&name.to_string(), name.qtype()).build())
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
    figures(load, times)
}

fn round_trip(socket: &UdpSocket, query: &[u8]) -> Option<Duration> {
    let mut buffer = [0; 4096];
    let start = Instant::now();
    socket.send(query).ok()?;
    let length = socket.recv(&mut buffer).ok()?;
    let time = start.elapsed();
    (length > 12 && buffer[..2] == query[..2]).then_some(time)
}

fn figures(load: Load, mut times: Vec<Duration>) -> Result<Round> {
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
            "bench: {} round trips from one blocking socket",
            times.len()
        ),
    })
}
