//! AF_XDP sockets with owned frames and a fully safe API.
//!
//! - [`Queue`]: a bound socket for one thread: packets in, replies out, in place;
//! - [`QueueBuilder`]: how one is opened, and what to do when zero-copy can't be had;
//! - [`nic`]: what an interface can do, and when it changes; needs no privileges;
//! - [`prog`] (feature `loader`): XDP programs loaded and attached by `bpf_link`, and the ladder from zero-copy to
//!   "not available" ([`negotiate`]);
//! - `testing` (feature `testing`): a queue over a kernel made of plain memory, which misbehaves when told to.
//!
//! The XSKMAP that a queue enters itself into is anything that is [`AsFd`](std::os::fd::AsFd), so programs of any other
//! loader fit.
//!
//! # Bounds
//! Nothing here waits for the network, a lock or another thread. A full TX ring loses the reply and counts it; a fill
//! ring without frames loses packets, which [`Queue::statistics`] tells; waits are 100 ms at most.
#![deny(unsafe_code)]

#[cfg(loom)]
#[allow(
    dead_code,
    reason = "under loom only the rings are built, for their tests"
)]
mod ring;

#[cfg(not(loom))]
pub mod nic;
#[cfg(all(not(loom), feature = "loader"))]
pub mod prog;

#[cfg(all(not(loom), any(test, feature = "testing")))]
pub mod testing;

#[cfg(not(loom))]
mod privileges;
#[cfg(not(loom))]
mod queue;
#[cfg(not(loom))]
mod ring;
#[cfg(not(loom))]
mod socket;
#[cfg(not(loom))]
mod sys;
#[cfg(not(loom))]
mod umem;

#[cfg(all(not(loom), feature = "loader"))]
pub use socket::{
    Climbed, Fall, Footing, Ladder, NegotiateError, Negotiated, Rung, RungFailure, Setback,
    negotiate,
};
#[cfg(not(loom))]
pub use {
    privileges::{Capability, MissingCapabilities},
    queue::{Handler, Queue, QueueCounters, QueueError, RxPacket, Woken, XdpStatistics},
    socket::{
        BindError, BindReport, BusyPoll, Holder, Mode, QueueBuilder, UnboundSocket, try_socket,
    },
    sys::Errno,
    umem::{Census, HugePages, MemoryReport},
};
