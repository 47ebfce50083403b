//! The fast path: XDP programs, AF_XDP queues and their workers.
//!
//! The [`Gate`] thread joins three things: what is listened on, where packets for those addresses come in
//! (`sluicegate-places`), and what runs. It looks when rtnetlink says that something changed, when a worker ends, and once a
//! second. Each interface has a program of its own and one worker for each queue that is served: all that have
//! both an RX and a TX side, or the first of them, as many as `queues:` says. Either all of these run or none;
//! whatever is not (yet) served so is served by the kernel's sockets, which are always read.
//!
//! Starting an interface, on the best rung that holds (zero-copy, copy, generic):
//! load the program, all queues disabled; attach it by a `bpf_link`; each worker opens its queue on its own
//! thread; fill in what is listened on; enable the queues. A rung that attaches in the same way as the
//! one before goes on with its program.
//!
//! With `pinned-maps:` the program is somebody else's, and it has to be there first: the maps are pinned for it, and
//! nothing is attached.
//!
//! Members of one bond are attached to one after the other, each when the one before is back ([`turns`]): attaching
//! resets some cards.
//!
//! Ending one: disable the queues; wait for the last batch; each worker answers what it has, then empties its
//! slot of the map; detach; close the sockets.

mod entry;
mod forecast;
mod gate;
mod interface;
mod notice;
mod opening;
mod pins;
mod reason;
mod report;
mod retry;
mod route;
mod service;
mod stats;
mod steering;
#[cfg(test)]
mod tests;
mod turns;
mod watch;
mod worker;

use std::net::SocketAddr;

use sluicegate_conf::XdpConfig;
/// An interface that queries may come in by, and what is to be taken there.
use sluicegate_places::Place as Target;

pub(crate) use forecast::{forecast, place_of};
pub(crate) use gate::Gate;
pub(crate) use interface::busy_poll;
pub(crate) use opening::takes_frags;
pub use reason::{Failures, Reason};
pub use sluicegate_xsk::Rung;

/// What the gate is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GateSettings {
    /// The clause `xdp:`.
    pub(crate) xdp: XdpConfig,
    /// The listen addresses; a wildcard stands for every address of its family.
    pub(crate) listen: Vec<SocketAddr>,
}

/// Why the gate did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Too many open files or threads.
    #[error("the XDP gate could not be started: {0}")]
    Os(#[from] std::io::Error),
    /// `enable: yes`, and an interface could not be started.
    #[error("enable: yes, but interface {interface} can't be served: {reason}")]
    Required {
        /// The interface.
        interface: String,
        /// Why not.
        reason: Reason,
    },
}
