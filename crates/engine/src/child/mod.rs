//! The engine process.
//!
//! `setup` takes the configuration and makes the contexts, `worker` runs one of them on its thread,
//! `outbox` carries its answers.

mod entry;
mod outbox;
mod setup;
mod worker;

pub use entry::child_main;
pub(crate) use outbox::Outbox;
