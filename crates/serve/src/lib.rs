//! Workers and listeners, the hand-off of misses, supervision, reload, drain and the control socket.
//!
//! [`Server::start`] brings up, in this order: configuration and policy, kernel sockets, the change of
//! user, the hand-off thread with the engine process, the XDP gate, the UDP and TCP workers. Threads:
//!
//! | thread | what it does |
//! |---|---|
//! | `udp.N` | reads every listen address (SO_REUSEPORT), one for each core |
//! | `tcp` | all TCP connections, on one single-threaded tokio runtime |
//! | `xdp.IF.Q` | one AF_XDP queue |
//! | `gate` | attaches XDP programs, follows the interfaces, starts and ends the XDP workers |
//! | `handoff` | owns the engine process; joins, caches and returns answers |
//! | `control` | the control socket |
//! | main | signals, reload, listen addresses that come and go, statistics |

#![forbid(unsafe_code)]

pub mod control;
mod decide;
mod handoff;
mod listen;
mod load;
mod outlook;
mod pending;
pub mod privileges;
mod process;
mod registry;
mod server;
mod shared;
mod stats;
mod tcp;
#[cfg(test)]
mod testing;
mod udp;
mod wake;
mod xdp;

use std::time::Duration;

pub use handoff::{Failure, HandoffFull, HandoffPort, HubError, Outcome, Settled};
pub use listen::{BindError, Holder, Transport};
pub use load::{Checked, LoadError, Loaded, check, load};
pub use pending::{Pending, Token};
pub use process::{PrivilegeError, Signals, raise_permitted};
pub use registry::{Registry, StatSource};
pub use server::{
    Ended, ReloadError, RunningServer, Server, ServerOptions, StartError, UsePidFile, UseXdp,
};
pub use shared::Shared;
pub use wake::Waker;
pub use xdp::{Failures, GateError, Reason, Rung};

/// How many clients of one worker may wait for the engine at a time.
pub const PENDING_PER_WORKER: u32 = 4096;

/// How long a client waits for the engine before it gets SERVFAIL. Stub resolvers give up after about as
/// long; the engine's own limit is a little shorter, so that normally it is the one to say why.
pub const ANSWER_DEADLINE: Duration = Duration::from_secs(10);

/// How long an ending worker goes on answering those who wait.
pub const DRAIN_LIMIT: Duration = Duration::from_secs(2);
