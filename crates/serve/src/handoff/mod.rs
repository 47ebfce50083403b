//! The way of a miss: from the worker that took the query to the engine, and back to that worker.
//!
//! Each worker owns a [`HandoffPort`]: one bounded single-producer ring to the hand-off thread, one back,
//! and an eventfd to be polled beside its sockets. Only a [`Token`](crate::Token) travels with the question;
//! the reply's whole context (addresses, ports, link header, the query itself) stays in the worker's own
//! [`Pending`](crate::Pending) table.

mod errands;
mod hub;
mod patience;
mod port;
mod refresh;
mod resolve;
mod status;

pub use hub::HubError;
pub(crate) use hub::HubHandle;
#[cfg(test)]
pub(crate) use port::{Ask, HubEnd, PortEnd};
pub use port::{Failure, HandoffFull, HandoffPort, Outcome, Settled};
pub(crate) use port::{Lane, PortFactory, TaskPort};
pub(crate) use refresh::Refresher;
