use std::net::SocketAddr;

use sluicegate_dns::Name;
use sluicegate_telemetry::DropReason;

/// Where a query came from, and what its reply may be.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The client.
    pub client: SocketAddr,
    /// Our address that it asked.
    pub local: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The longest DNS message that the way back takes, in bytes.
    pub path_limit_bytes: usize,
}

/// How a query came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a datagram: the reply is bounded by what the client takes, and by `max-udp-size`.
    Udp,
    /// Over a stream: the reply is bounded by what a message can be.
    Tcp {
        /// A former query of the connection asked how long it may stay open (RFC 7828): so each reply with an OPT record
        /// tells.
        keepalive: bool,
    },
}

/// The time, as handed in by the worker; read once for each batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Now {
    /// Seconds of a clock that never goes back.
    pub secs: u32,
}

/// What becomes of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "a miss must not allocate either")]
pub enum Verdict {
    /// The reply stands in the buffer, so many bytes long.
    Reply(usize),
    /// No reply.
    Drop(DropReason),
    /// The answer must be found first; the buffer holds the query as it came.
    Miss(Question),
}

/// What a miss asks the engine.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    /// The name; not the client's, where a local CNAME leads elsewhere.
    pub name: Name,
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS.
    pub qclass: u16,
    /// DO: the client wants signatures. The engine is asked the same; of its answer the cache keeps what was wanted.
    pub dnssec_ok: bool,
    /// CD: the client wants the answer even if it is bogus.
    pub cd: bool,
    /// There is an expired answer, which the client gets if it would have to wait longer than
    /// `serve-expired-client-timeout` for a fresh one.
    pub stale: bool,
}
