//! Who opens what needs privileges: the server itself, or a small process beside it.
//!
//! With `username`, the serving process has no capability at all. Before it has any thread or memory worth reading it
//! starts `sluicegate privileges`, a process that keeps the few capabilities which opening takes, and gives up its
//! own. From then on everything that needs one is asked of that process, at the start as well as later, so that there
//! is one way and it is used every day:
//!
//! ```text
//!   the server, no capability                     `sluicegate privileges`, four capabilities, walled in
//!   Opener::Broker --- Request (32 bytes) ------> entry: decode, rights, rate, open
//!                  <-- Reply + SCM_RIGHTS -------
//! ```
//!
//! It hands over sockets bound to listen addresses, AF_XDP sockets, and the XDP program on an interface, and nothing
//! else: `protocol` has no path, no text, no length in a request. What it may open is what the configuration lists,
//! and it reads that itself (`rights`), at the start and when the server says that there is a new one. It takes its
//! time when asked too often (`pace`).
//!
//! Either ends with the other's socket, but not alike: the process ends when the server is gone; the server goes on
//! when the process is gone, says so in the log, and can no longer open what comes later, until it is restarted.
//! Without `username`, `Opener::Direct` does the same with whatever capabilities the server has.

mod broker;
mod entry;
mod exit;
mod opener;
mod pace;
mod probe;
mod program;
pub mod protocol;
mod rights;
mod self_test;

pub(crate) use broker::Broker;
pub use broker::BrokerError;
pub use entry::privileges_main;
pub(crate) use opener::Opener;
pub(crate) use program::ProgramError;
