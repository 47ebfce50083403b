//! Frames as a network card delivers them: checked once, answered in place.
//!
//! [`Datagram::parse`] checks Ethernet, VLAN, IP and UDP headers and remembers where they stand.
//! [`reply_in_place`] turns the request's frame into its reply's. [`Headers`] keeps what a reply needs that is
//! sent later, in another frame.

#![forbid(unsafe_code)]

mod checksum;
mod datagram;
mod reply;

pub use datagram::{Datagram, Reject};
pub use reply::{Headers, reply_in_place};

/// The longest headers in front of a payload: Ethernet, two VLAN tags, IPv6, UDP.
pub const MAX_HEADER_BYTES: usize = 14 + 2 * 4 + 40 + 8;
