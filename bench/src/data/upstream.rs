use std::iter;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use sluicegate_lab::netns::Netns;

use super::Name;
use crate::measure::pin_thread;
use crate::site::CLIENT_CORE;

/// A server that knows every [`Name`], as fast as one socket and one thread can.
pub(crate) struct Upstream {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// How often the thread looks whether it shall end.
const LOOK: Duration = Duration::from_millis(200);
const MAX_QUERY_BYTES: usize = 512;
const RRSIG: u16 = 46;

impl Upstream {
    /// Starts it in the namespace, on the generator's processor.
    pub(crate) fn start(netns: &Netns, address: SocketAddr) -> Result<Self> {
        let socket = netns.enter(|| UdpSocket::bind(address))?;
        socket.set_read_timeout(Some(LOOK))?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = netns.spawn_thread("upstream", move || {
            // A thread that may not be bound to a processor is slower to no one's harm.
            let _ = pin_thread(&[CLIENT_CORE]);
            while !stopped.load(Ordering::Relaxed) {
                serve(&socket);
            }
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Answers one query, or waits until [`LOOK`] is over.
fn serve(socket: &UdpSocket) {
    let mut buffer = [0; MAX_QUERY_BYTES];
    let Ok((length, client)) = socket.recv_from(&mut buffer) else {
        return;
    };
    if let Some(answer) = answer(&buffer[..length]) {
        let _ = socket.send_to(&answer, client);
    }
}

/// The answer to a query: the name's record, NXDOMAIN for a name that is none of ours, no record for another type.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let label_len = usize::from(*query.get(12)?);
    let label = query.get(13..13 + label_len)?;
    let mut end = 12;
    while *query.get(end)? != 0 {
        end += 1 + usize::from(query[end]);
    }
    let question = query.get(12..end + 5)?;
    let qtype = u16::from_be_bytes([*query.get(end + 1)?, *query.get(end + 2)?]);
    let name = Name::from_label(label);
    let found = name.filter(|name| name.qtype() == qtype);
    let rcode = if name.is_none() { 3 } else { 0 };
    let edns = query.get(11).is_some_and(|count| *count > 0);
    // After the question the OPT record: a name, type, size, extended RCODE and version, and then DO.
    let dnssec_ok = edns
        && query
            .get(end + 5 + 7)
            .is_some_and(|flags| flags & 0x80 != 0);
    let records: Vec<(u16, Vec<u8>)> = found
        .map(|name| {
            let signature = name.signature().filter(|_| dnssec_ok);
            let signature = signature.map(|rdata| (RRSIG, rdata));
            iter::once((name.qtype(), name.rdata())).chain(signature)
        })
        .into_iter()
        .flatten()
        .collect();
    let mut answer = query.get(..2)?.to_vec();
    answer.extend([0x84 | (query[2] & 1), 0x80 | rcode, 0, 1]);
    answer.extend([0, records.len() as u8, 0, 0, 0, u8::from(edns)]);
    answer.extend_from_slice(question);
    for (rtype, rdata) in records {
        answer.extend([0xc0, 12]);
        answer.extend(rtype.to_be_bytes());
        answer.extend([0, 1]);
        answer.extend(name.map_or(0, Name::ttl_secs).to_be_bytes());
        answer.extend((rdata.len() as u16).to_be_bytes());
        answer.extend(rdata);
    }
    if edns {
        answer.extend([
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
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluicegate_lab::wire::{Message, query};

    #[test]
    fn names_are_answered_and_others_are_not_there() {
        let known =
            Message::parse(&answer(&query("h0000258.bench.lab", 1).build()).unwrap()).unwrap();
        assert_eq!(known.answer[0].rdata, [10, 0, 1, 2]);
        let none =
            Message::parse(&answer(&query("www.bench.lab", 1).edns(1232, true).build()).unwrap())
                .unwrap();
        assert_eq!(none.rcode(), 3);
        assert!(answer(b"short").is_none());
    }

    #[test]
    fn signatures_are_for_those_who_ask_with_do() {
        let types = |dnssec_ok| {
            let query = query("d0000258.bench.lab", 1).edns(1232, dnssec_ok).build();
            let message = Message::parse(&answer(&query).unwrap()).unwrap();
            message
                .answer
                .iter()
                .map(|record| record.rtype)
                .collect::<Vec<_>>()
        };
        assert_eq!(types(false), [1]);
        assert_eq!(types(true), [1, RRSIG]);
    }
}
