//! Unbound's scenario files (`.rpl`), read and played over real sockets.
//!
//! A scenario is a configuration, what authoritative servers answer ([`Range`]: between two steps, at these addresses),
//! and steps: ask, compare an answer, let time pass. Unbound's own test program plays them inside of one process, with
//! a clock of its own; here [`World`] is a network namespace in which every address is local, [`Responder`] answers at
//! all of them, and [`play()`] is the client. The server under test is started by the caller, on [`setting()`]'s
//! configuration, and knows nothing of it.
//!
//! The parser is our own: the one in the `domain` crate ends the program at entries without sections, at `ede=`, and
//! at the steps `REPLY`, `TIMEOUT` and `CHECK_OUT_QUERY`, and comes with that crate's own client and server.

mod compare;
mod entry;
mod lines;
mod packet;
mod play;
mod record;
mod responder;
mod scenario;
mod setting;
mod sockets;

pub use entry::{Adjust, Entry, Rule};
pub use packet::Packet;
pub use play::{World, play};
pub use responder::Responder;
pub use scenario::{Event, File, Range, Scenario, Step};
pub use setting::{Setting, setting};
