//! The parent's side: starts the engine, asks it, keeps it alive.
//!
//! `front` is the [`Client`], `turn` takes its events, `supervise` keeps an engine alive, `candidate` is the one
//! that is to take over, `restart` is the
//! back-off, `timer` the clock that wakes the caller, `table` the questions in flight,
//! `pace` when they may leave, `process` one engine
//! process, `link` the socket of one of its threads, `log` its standard error, `bogus_log` what `val-log-level`
//! asks for, `anchor_watch` looks whether trust anchors have changed.

mod anchor_watch;
mod bogus_log;
mod candidate;
mod front;
mod link;
mod log;
mod pace;
mod process;
mod restart;
mod supervise;
mod table;
mod timer;
mod tunables;
mod turn;

pub use front::{Client, Overloaded, Stats};
pub(crate) use log::strip_prefix as strip_log_prefix;
pub use process::StartError;
