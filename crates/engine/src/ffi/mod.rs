//! libunbound: the only unsafe code of this crate.
//!
//! `sys` mirrors the parts of `unbound.h` and `unbound-event.h` that are used; `base` is an event base of
//! our own over [`crate::reactor::Reactor`]; `context` is a safe wrapper around one context. No function that C
//! calls can unwind into it: they are `extern "C"`, for which Rust turns a panic into an abort, and an abort
//! here ends the engine process only, which is restarted.

#![allow(unsafe_code)]

mod base;
mod context;
mod process;
mod sys;

pub(crate) use context::{Context, ContextError};
pub(crate) use process::{exit_at_once, forget_inherited_files, ignore_signals};

/// The version of the libunbound that is loaded, such as `1.17.1`; options newer than it must not be
/// handed to it. Nothing of libunbound is initialised by asking.
pub fn version() -> &'static str {
    context::version()
}
