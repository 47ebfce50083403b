//! DNS messages and Ethernet frames made and read by hand, so that tests share no code with what they test.

mod client;
mod frame;
mod message;
mod name;
mod open_loop;
mod query;
mod raw;

pub use client::{ask_tcp, ask_tcp_on, ask_udp, send_udp};
pub use frame::{FrameSpec, Tag, internet_checksum, udp_frame, udp_payload};
pub use message::{Edns, Message, Record, without_ttls};
pub use name::{encode_name, read_name};
pub use open_loop::{OpenLoop, ask_open_loop};
pub use query::{QuerySpec, query};
pub use raw::RawSocket;

/// Numbers of RR types that tests use often.
pub mod rtype {
    #![expect(missing_docs, reason = "the names are those of the IANA registry")]
    pub const A: u16 = 1;
    pub const NS: u16 = 2;
    pub const CNAME: u16 = 5;
    pub const SOA: u16 = 6;
    pub const PTR: u16 = 12;
    pub const MX: u16 = 15;
    pub const TXT: u16 = 16;
    pub const AAAA: u16 = 28;
    pub const SRV: u16 = 33;
    pub const DNAME: u16 = 39;
    pub const OPT: u16 = 41;
    pub const RRSIG: u16 = 46;
    pub const NSEC: u16 = 47;
    pub const DNSKEY: u16 = 48;
    pub const ANY: u16 = 255;
}

/// Numbers of response codes that tests use often.
pub mod rcode {
    #![expect(missing_docs, reason = "the names are those of the IANA registry")]
    pub const NOERROR: u16 = 0;
    pub const FORMERR: u16 = 1;
    pub const SERVFAIL: u16 = 2;
    pub const NXDOMAIN: u16 = 3;
    pub const NOTIMP: u16 = 4;
    pub const REFUSED: u16 = 5;
    pub const BADVERS: u16 = 16;
}
