//! A bound AF_XDP socket as one value for one thread: [`Queue`].
//!
//! The rules that it keeps:
//! - whether to wake the kernel depends on what is outstanding, never on what was just queued;
//! - completions are taken at every turn, also while waking (a full completion ring stops transmission);
//! - the fill ring never gets the frames kept for transmission;
//! - no call waits or spins without a bound, and nothing that the kernel writes makes it panic.

mod batch;
mod counters;
mod error;
mod kernel;
mod outlet;
mod packet;
mod slot;
mod turn;
mod wake;

pub use batch::Handler;
pub use counters::{QueueCounters, XdpStatistics};
pub use error::QueueError;
#[cfg(any(test, feature = "testing"))]
pub(crate) use kernel::Kernel;
pub(crate) use kernel::KernelRings;
pub use packet::RxPacket;
pub(crate) use slot::MapSlot;
pub use turn::{Queue, Woken};
pub(crate) use turn::{QueueLimits, QueueParts, refill};
