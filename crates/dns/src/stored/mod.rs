//! Answers in the form in which they are kept.
//!
//! ```text
//! 0      1      2    4    6    8            10    12        14
//! |rcode |flags |AN  |NS  |AR  |additional at|body |TTL count|body ... |TTL offsets, 2 octets each|
//! ```
//!
//! The counts are in network order, as in a message; other numbers are in the machine's. The body is what follows the
//! question in the message: answer, authority and additional section without OPT. Names in it are compressed against
//! the question, which begins at offset 12 of every message, and against each other. `additional at` and the TTL
//! offsets count from the start of the body.

mod amend;
mod builder;
mod compile;
mod expired;
mod layout;
mod message;
mod names;
mod rdata;
mod rotate;
mod writer;

pub use builder::{Owner, StoredBuilder};
#[cfg(test)]
pub(crate) use compile::compiled;
pub use compile::{CompileError, CompileOptions, StoredInfo, compile};
pub use expired::set_ttls;
pub use layout::{Section, Stored};
pub use rotate::rotate_addresses;
