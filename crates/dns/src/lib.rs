//! The fast DNS wire codec: queries checked once, answers stored in a form that is patched, not rebuilt.
//!
//! | step | type | cost |
//! |---|---|---|
//! | bytes become a question | [`Query::parse`] | no allocation |
//! | a resolver's message becomes a stored answer | [`compile`] | off the packet path; allocates |
//! | records become a stored answer | [`StoredBuilder`] | off the packet path; allocates |
//! | a stored answer becomes a reply, in the query's own buffer | [`render()`] | a copy and one store for each TTL |
//!
//! Whatever is rarer (zone files, transfers, signatures) is the work of the `domain` crate.

#![forbid(unsafe_code)]

mod brief;
mod edns;
mod name;
mod query;
mod render;
mod stored;
mod types;

pub use brief::{Brief, BriefName, BriefOptions};
pub use edns::{Cookie, Ede, Edns};
pub use name::{Name, NameError};
pub use query::{Query, QueryError};
pub use render::{RenderOptions, Rendered, render, write_error, write_rcode};
pub use stored::{
    CompileError, CompileOptions, Owner, Section, Stored, StoredBuilder, StoredInfo, compile,
    rotate_addresses, set_ttls,
};
pub use types::{class, rcode, rtype};

/// Length of a DNS header (RFC 1035, 4.1.1).
pub const HEADER_BYTES: usize = 12;
