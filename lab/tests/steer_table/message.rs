//! Rows about UDP and DNS headers.

use sluicegate_bpf::Exit;

use crate::frame::{Frame, TPID_8021Q, query, v4, v6};
use crate::rows::{Row, row};

pub(crate) fn udp() -> Vec<Row> {
    use Exit::UdpLength as Length;
    let right = (8 + query().len()) as u16;
    let length = |frame: Frame, bytes: u16| frame.with(|f| f.udp.length = Some(bytes));
    vec![
        row(
            "udp: length one more than IPv4's",
            Length,
            &length(v4(), right + 1),
        ),
        row(
            "udp: length one less than IPv4's",
            Length,
            &length(v4(), right - 1),
        ),
        row("udp: length 0 in IPv4", Length, &length(v4(), 0)),
        row("udp: length 7", Length, &length(v4(), 7)),
        row(
            "udp: length one more than IPv6's",
            Length,
            &length(v6(), right + 1),
        ),
        row(
            "udp: length one less than IPv6's",
            Length,
            &length(v6(), right - 1),
        ),
        row("udp: length 0 in IPv6", Length, &length(v6(), 0)),
        row(
            "udp: header cut off",
            Length,
            &v4()
                .ip4(|ip| ip.total_length = Some(27))
                .with(|f| f.cut = Some(41)),
        ),
        row(
            "udp: source port 0",
            Exit::SourcePort,
            &v4().with(|f| f.udp.source = 0),
        ),
        row(
            "udp: source port 0 over IPv6",
            Exit::SourcePort,
            &v6().with(|f| f.udp.source = 0),
        ),
        row(
            "udp: port that is not listened on",
            Exit::NotListening,
            &v4().with(|f| f.udp.destination = 54),
        ),
        row(
            "udp: port of another address",
            Exit::NotListening,
            &v6().with(|f| f.udp.destination = 5353),
        ),
        row(
            "udp: port 0",
            Exit::NotListening,
            &v4().with(|f| f.udp.destination = 0),
        ),
        row(
            "udp: port 53 in the wrong byte order",
            Exit::NotListening,
            &v4().with(|f| f.udp.destination = 0x3500),
        ),
    ]
}

pub(crate) fn dns() -> Vec<Row> {
    use Exit::{DnsShort as Short, NotQuery};
    vec![
        row(
            "dns: empty payload",
            Short,
            &v4().with(|f| f.payload.clear()),
        ),
        row(
            "dns: empty payload, padded",
            Short,
            &v4().with(|f| f.payload.clear()).with(|f| f.padding = 18),
        ),
        row(
            "dns: 11 bytes over IPv4",
            Short,
            &v4().with(|f| f.payload.truncate(11)),
        ),
        row(
            "dns: 11 bytes over IPv6",
            Short,
            &v6().with(|f| f.payload.truncate(11)),
        ),
        row(
            "dns: response over IPv4",
            NotQuery,
            &v4().with(|f| f.payload[2] |= 0x80),
        ),
        row(
            "dns: response over IPv6",
            NotQuery,
            &v6().with(|f| f.payload[2] |= 0x80),
        ),
        row(
            "dns: response in a VLAN",
            NotQuery,
            &v4()
                .with(|f| f.tags = vec![(TPID_8021Q, 5)])
                .with(|f| f.payload[2] = 0x85),
        ),
    ]
}
