//! How a queue is opened: memory, socket, rings, bind, XSKMAP; and what is tried when it doesn't work.

mod bind;
mod builder;
mod error;
mod holder;
#[cfg(feature = "loader")]
mod ladder;
mod unbound;

pub use builder::{BindReport, BusyPoll, Mode, QueueBuilder};
pub use error::BindError;
pub use holder::Holder;
#[cfg(feature = "loader")]
pub use ladder::{Ladder, NegotiateError, Negotiated, Rung, RungFailure, negotiate};
pub use unbound::UnboundSocket;
