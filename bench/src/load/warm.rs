use std::net::UdpSocket;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use sluicegate_lab::wire::encode_name;

use crate::data::Name;
use crate::measure::pin_thread;
use crate::plan::Case;
use crate::site::{CLIENT_CORE, Site};

/// How many queries are on their way at once.
const WINDOW: usize = 64;
/// How long an answer may take before its query is sent again.
const AGAIN: Duration = Duration::from_millis(250);
/// How often a query is sent.
const TRIES: usize = 20;

/// Asks for every name once, so that a cache knows them all.
pub(crate) fn warm(case: &Case, site: &Site) -> Result<()> {
    // With and without DO: some remember the two apart.
    let ways: &[bool] = if case.queries.dnssec_percent > 0 {
        &[true, false]
    } else {
        &[false]
    };
    let queries = case
        .queries
        .all()
        .flat_map(|name| ways.iter().map(move |dnssec_ok| query(name, *dnssec_ok)));
    site.client.enter(|| {
        pin_thread(&[CLIENT_CORE])?;
        let socket = UdpSocket::bind(if case.v6 { "[::]:0" } else { "0.0.0.0:0" })?;
        socket.connect(Site::service(case.v6))?;
        let mut batch = Vec::with_capacity(WINDOW);
        for query in queries {
            batch.push(query);
            if batch.len() == WINDOW {
                ask_all(&socket, &mut batch)?;
            }
        }
        ask_all(&socket, &mut batch)
    })
}

/// Sends the queries until each has its answer. The ID is the query's place in the batch.
fn ask_all(socket: &UdpSocket, batch: &mut Vec<Vec<u8>>) -> Result<()> {
    let mut waiting = vec![true; batch.len()];
    for _ in 0..TRIES {
        let open = (0..batch.len()).filter(|at| waiting[*at]);
        for at in open {
            batch[at][..2].copy_from_slice(&(at as u16).to_be_bytes());
            socket.send(&batch[at])?;
        }
        collect(socket, &mut waiting)?;
        if !waiting.contains(&true) {
            batch.clear();
            return Ok(());
        }
    }
    bail!("a name got no answer in {TRIES} tries");
}

fn collect(socket: &UdpSocket, waiting: &mut [bool]) -> Result<()> {
    let end = Instant::now() + AGAIN;
    let mut buffer = [0; 4096];
    let mut open = waiting.iter().filter(|open| **open).count();
    while open > 0 {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        socket.set_read_timeout(Some(left))?;
        let Ok(length) = socket.recv(&mut buffer) else {
            break;
        };
        let at = usize::from(u16::from_be_bytes([buffer[0], buffer[1]]));
        let failed = length < 12 || buffer[3] & 15 == 2;
        if let Some(slot) = waiting.get_mut(at).filter(|open| **open && !failed) {
            *slot = false;
            open -= 1;
        }
    }
    Ok(())
}

fn query(name: Name, dnssec_ok: bool) -> Vec<u8> {
    let edns = name.kind == crate::data::Kind::Large || dnssec_ok;
    let mut message = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, u8::from(edns)];
    message.extend(encode_name(&name.to_string()));
    message.extend(name.qtype().to_be_bytes());
    message.extend([0, 1]);
    if edns {
        message.extend([
            0,
            0,
            41,
            0x04,
            0xd0,
            0,
            0,
            u8::from(dnssec_ok) << 7,
            0,
            0,
            0,
        ]);
    }
    message
}
