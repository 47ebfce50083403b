//! What is taken, and what of that only when the maps say so.
#![expect(clippy::too_many_lines, reason = "flat tables")]

use sluicegate_bpf::Exit;

use crate::frame::{Frame, V6, v4, v6};
use crate::rows::{Row, State, V4_HEADERS, V6_HEADERS, fill, row};

pub(crate) fn taken() -> Vec<Row> {
    use Exit::Redirected as Taken;
    vec![
        row("taken: IPv4 query", Taken, &v4()),
        row("taken: IPv6 query", Taken, &v6()),
        row(
            "taken: IPv4 padded to 60 bytes",
            Taken,
            &v4().with(root_query).with(|f| f.padding = 1),
        ),
        row(
            "taken: IPv4 with 400 bytes behind the packet",
            Taken,
            &v4().with(|f| f.padding = 400),
        ),
        row(
            "taken: IPv6 with padding",
            Taken,
            &v6().with(|f| f.padding = 6),
        ),
        row(
            "taken: IPv4 bare DNS header",
            Taken,
            &v4().with(|f| f.payload.truncate(12)),
        ),
        row(
            "taken: IPv6 bare DNS header",
            Taken,
            &v6().with(|f| f.payload.truncate(12)),
        ),
        row(
            "taken: IPv4 may be fragmented (DF=0)",
            Taken,
            &v4().ip4(|ip| ip.fragment = 0),
        ),
        row("taken: IPv4 TTL 1", Taken, &v4().ip4(|ip| ip.ttl = 1)),
        row(
            "taken: IPv6 hop limit 1",
            Taken,
            &v6().ip6(|ip| ip.hop_limit = 1),
        ),
        row(
            "taken: IPv4 from source port 53",
            Taken,
            &v4().with(|f| f.udp.source = 53),
        ),
        row(
            "taken: IPv4 second port of the table",
            Taken,
            &v4().with(|f| f.udp.destination = 5353),
        ),
        row(
            "taken: IPv6 link-local source and destination",
            Taken,
            &v6().ip6(link_local),
        ),
        row(
            "taken: IPv4 frame of the greatest length",
            Taken,
            &v4().with(|f| fill(f, V4_HEADERS, 0)),
        ),
        row(
            "taken: IPv6 frame of the greatest length",
            Taken,
            &v6().with(|f| fill(f, V6_HEADERS, 0)),
        ),
        row(
            "taken: opcode NOTIFY is still a query",
            Taken,
            &v4().with(|f| f.payload[2] = 0x20),
        ),
        row(
            "taken: garbage behind a DNS header with QR=0",
            Taken,
            &v4().with(garbage),
        ),
        row(
            "taken: ends like a broadcast address, is none",
            Taken,
            &v4().ip4(|ip| ip.source = [192, 0, 2, 127].into()),
        ),
    ]
}

pub(crate) fn states() -> Vec<Row> {
    let state = |name, state, exit, frame: &Frame| Row {
        name,
        state,
        frame: frame.bytes(),
        exit,
    };
    vec![
        state(
            "state: interface not filled in, IPv4",
            State::NotReady,
            Exit::NotReady,
            &v4(),
        ),
        state(
            "state: interface not filled in, IPv6",
            State::NotReady,
            Exit::NotReady,
            &v6(),
        ),
        state(
            "state: queue not enabled, IPv4",
            State::QueueOff,
            Exit::QueueOff,
            &v4(),
        ),
        state(
            "state: queue not enabled, IPv6",
            State::QueueOff,
            Exit::QueueOff,
            &v6(),
        ),
        state(
            "state: no socket, IPv4",
            State::NoSocket,
            Exit::NoSocket,
            &v4(),
        ),
        state(
            "state: no socket, IPv6",
            State::NoSocket,
            Exit::NoSocket,
            &v6(),
        ),
    ]
}

/// The question `. NS`: 17 bytes, so that an IPv4 frame has 59.
fn root_query(f: &mut Frame) {
    f.payload.truncate(12);
    f.payload.extend_from_slice(&[0, 0, 2, 0, 1]);
}

fn garbage(f: &mut Frame) {
    f.payload = vec![0x55; 100];
}

fn link_local(ip: &mut V6) {
    ip.source = "fe80::100".parse().expect("an address");
    ip.destination = "fe80::1".parse().expect("an address");
}
