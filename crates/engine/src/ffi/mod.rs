//! libunbound: the only unsafe code of this crate.
//!
//! `sys` mirrors the parts of `unbound.h` and `unbound-event.h` that are used; `base` is an event base of
//! our own over [`crate::reactor::Reactor`]; `context` is a safe wrapper around one context. No function that C
//! calls can unwind into it: they are `extern "C"`, for which Rust turns a panic into an abort, and an abort
//! here ends the engine process only, which is restarted.

#![allow(unsafe_code)]

use std::sync::{LazyLock, Mutex, PoisonError};

mod base;
mod context;
mod process;
mod sys;

pub(crate) use context::{Context, ContextError};
pub use process::forget_inherited_files;
pub(crate) use process::{exit_at_once, holds_socket, ignore_signals};

/// Whether the libunbound that is loaded knows an option of `server:`, whatever its version. Asking makes a
/// context, which stays: it has no sockets and no threads.
pub fn knows(option: &str) -> bool {
    static CONTEXT: LazyLock<Mutex<Option<Context>>> =
        LazyLock::new(|| Mutex::new(Context::new().ok()));
    let context = CONTEXT.lock().unwrap_or_else(PoisonError::into_inner);
    context
        .as_ref()
        .is_some_and(|context| context.option(option).is_ok())
}

/// The version of the libunbound that is loaded, such as `1.17.1`; options newer than it must not be
/// handed to it. Nothing of libunbound is initialised by asking.
pub fn version() -> &'static str {
    context::version()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_asked_what_it_knows() {
        assert!(knows("msg-cache-size") && knows("val-log-level"));
        assert!(!knows("no-such-option") && !knows("bad\0name"));
    }
}
