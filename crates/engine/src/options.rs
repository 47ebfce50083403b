//! How the engine is to be run.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// How the engine is to be run. [`EngineOptions::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// The program that calls [`crate::child_main`]; default `/proc/self/exe`, which stays right when the
    /// file is replaced or deleted.
    pub program: PathBuf,
    /// Its arguments; default `engine`.
    pub arguments: Vec<OsString>,
    /// `unbound.conf` text for libunbound, unchanged: lines in errors are lines of this text. Cache sizes
    /// in it (or Unbound's defaults) are for the whole engine and are divided by `threads`.
    pub conf_text: String,
    /// Threads of the engine, 1 to [`EngineOptions::MAX_THREADS`].
    pub threads: usize,
    /// How long a waiter waits for its outcome.
    pub deadline: Duration,
    /// Different questions in flight on one thread; beyond it [`crate::Client::ask`] is [`crate::Overloaded`].
    pub questions_per_thread: usize,
    /// Waiters in all, over all questions; beyond it [`crate::Client::ask`] is [`crate::Overloaded`].
    pub waiters: usize,
    /// When an engine counts as stuck.
    pub heartbeat: Heartbeat,
    /// How often the keys of `auto-trust-anchor-file` are asked for, and the files looked at.
    pub anchor_interval: Duration,
    /// How long a new engine may take to read its configuration.
    pub start_limit: Duration,
}

/// When an engine counts as stuck, and is killed and restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heartbeat {
    /// Each thread is pinged this often.
    pub interval: Duration,
    /// A thread silent for this long after a ping is stuck.
    pub limit: Duration,
}

impl EngineOptions {
    /// The most threads an engine may have (each socket is passed in one message; the kernel's limit for
    /// that is 253 descriptors).
    pub const MAX_THREADS: usize = 128;

    /// The defaults: one thread, 2048 questions in flight on it, 10 s until a waiter is told to give up.
    pub fn new(conf_text: impl Into<String>) -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            arguments: vec![OsString::from("engine")],
            conf_text: conf_text.into(),
            threads: 1,
            deadline: Duration::from_secs(10),
            questions_per_thread: 2048,
            waiters: 65_536,
            heartbeat: Heartbeat {
                interval: Duration::from_secs(1),
                limit: Duration::from_secs(5),
            },
            anchor_interval: Duration::from_hours(1),
            start_limit: Duration::from_mins(1),
        }
    }
}
