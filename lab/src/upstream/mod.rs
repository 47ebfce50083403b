//! A server that answers what a test wants, over UDP and TCP, as a forwarder or authority would.
//!
//! What it answers is in the name that is asked: each label but the last two may be a word of the script.
//!
//! | label | answer |
//! |---|---|
//! | (none of these) | A `192.0.2.N` and AAAA `2001:db8::N`, with N from the name; TXT `"text"`; MX; other types: opaque bytes |
//! | `nx...` | NXDOMAIN with SOA |
//! | `nodata...` | NOERROR without records, with SOA |
//! | `cname...` | CNAME to the rest of the name behind this label, and that name's own answer |
//! | `big...` | for TXT: 3,000 bytes; for others 60 addresses |
//! | `tc...` | over UDP only TC; over TCP the answer |
//! | `servfail...`, `refused...` | that code |
//! | `ttlN` | the TTL is N seconds, else 300 |
//! | `delayN` | N milliseconds later |
//! | `drop...` | nothing |
//! | `lie...` | over UDP: first a forged answer (`203.0.113.66`) with another ID and one from another port, then the right one |
//!
//! On top of that [`Knobs`] can be turned while it runs. [`SecureUpstream`] plays the same over TLS.

mod script;
mod secure;
mod service;

pub use secure::{Authority, Identity, PemIdentity, SecureCounts, SecureKnobs, SecureUpstream};
pub use service::{Counts, Knobs, Seen, Upstream};
