//! The engine process.
//!
//! `setup` takes the configuration and makes the contexts, `share` says what each of them gets,
//! `keeper` which of them keeps the trust anchors, `worker` runs
//! one of them on its thread, `outbox` carries its answers.

mod entry;
mod keeper;
mod outbox;
mod setup;
mod share;
mod worker;

pub use entry::child_main;
pub(crate) use outbox::Outbox;
