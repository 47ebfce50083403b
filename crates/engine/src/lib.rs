//! The recursive engine: libunbound in a process of its own.
//!
//! ```text
//!   the server                                   `sluicegate engine`, walled in
//!   Client<W> --- control socket (stdin) -------> child_main: configuration, READY or REFUSED
//!     lane 0 ---- thread socket 0 --------------> thread 0: one libunbound context, one event loop
//!     lane 1 ---- thread socket 1 --------------> thread 1: ...
//!             <-- stderr (a pipe) ---------------  libunbound's log lines
//! ```
//!
//! The parent's side is [`Client`]: it starts and restarts the process, joins equal questions, bounds what
//! is in flight, and hands every waiter its [`Outcome`]. The child's side is [`child_main`]: one libunbound
//! context for each thread, driven through the public event API, with whole wire answers sent back.
//!
//! Upstreams over TLS are asked by a relay of our own in the child, since libunbound may have been built without TLS.
//!
//! Questions are spread over the engine's threads by the registrable part of their name, so that the
//! delegations, keys and round-trip times of a zone are learnt by one thread only.

#![deny(unsafe_code)] // only the module `ffi` allows it

mod anchors;
mod child;
mod client;
mod ede;
mod ffi;
mod options;
mod outcome;
mod question;
mod reactor;
mod relay;
mod sandbox;
mod spread;
mod wire;

pub use anchors::{ROOT_ANCHORS, trust_anchors};
pub use child::child_main;
pub use client::{Client, Overloaded, StartError, Stats};
pub use ffi::{forget_inherited_files, knows, version};
pub use options::{EngineOptions, Heartbeat};
pub use outcome::{Answer, Failure, Outcome, Security};
pub use question::{NameError, Question};
pub use relay::RelayCounts;
pub use sandbox::{HOSTILE_CALLS, Sandbox, SandboxError, Walls};
pub use wire::Summary;
