//! The walls around the engine process: what parses the Internet's bytes can do little else.
//!
//! In this order, all of it before the first thread is made and the first question is taken, since each holds
//! for the calling thread and the threads made by it:
//!
//! - `privileges`: no capability, no way to a new one;
//! - `memory`: no more memory than the caches and the questions in flight explain, no core dump;
//! - `files`: landlock. Trust anchors, root hints and certificates are read before; after that no file can be
//!   opened but in the folders of `auto-trust-anchor-file`, which libunbound keeps writing; no TCP port can be
//!   listened on, no process outside signalled;
//! - `calls`: seccomp. Sockets of IPv4 and IPv6, memory, threads, clocks; what nobody calls by mistake
//!   (`execve`, `ptrace`, `setuid`...) ends the process on the spot.
//!
//! The user is the server's: `username`, to which the server has changed before it starts the engine.

mod calls;
mod files;
mod memory;
mod privileges;

use std::io;
use std::path::PathBuf;

pub use calls::HOSTILE_CALLS;

/// What the process still needs once it is walled in.
#[derive(Clone, Debug, Default)]
pub struct Sandbox {
    /// Folders in which files may be read, written, made, renamed and removed.
    pub writable: Vec<PathBuf>,
    /// How much private memory the process may have beyond what it has already, in bytes.
    pub memory_bytes: u64,
}

/// What of the sandbox holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Walls {
    /// The limit of private memory that was set, in bytes.
    pub memory_bytes: u64,
    /// What the kernel does not offer, to be told to the operator.
    pub missing: Vec<&'static str>,
}

/// A wall that should hold and doesn't.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// Capabilities, limits.
    #[error("{call}: {source}")]
    System {
        /// The system call.
        call: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// Landlock.
    #[error("landlock: {0}")]
    Files(#[from] landlock::RulesetError),
    /// seccomp.
    #[error("seccomp: {0}")]
    Calls(#[from] seccompiler::Error),
    /// seccomp, while the filter was made.
    #[error("seccomp: {0}")]
    Filter(#[from] seccompiler::BackendError),
}

impl Sandbox {
    /// Walls this thread in, and all threads it makes from now on. There is no way back.
    ///
    /// # Errors
    /// See [`SandboxError`]; some walls may stand then. What the kernel does not know is no error: see
    /// [`Walls::missing`].
    pub fn enter(&self) -> Result<Walls, SandboxError> {
        let mut missing = Vec::new();
        privileges::drop_all()?;
        let memory_bytes = memory::limit(self.memory_bytes)?;
        if let Some(what) = files::restrict(&self.writable)? {
            missing.push(what);
        }
        if let Some(what) = calls::restrict(!self.writable.is_empty())? {
            missing.push(what);
        }
        Ok(Walls {
            memory_bytes,
            missing,
        })
    }
}

fn system(call: &'static str) -> impl FnOnce(rustix::io::Errno) -> SandboxError {
    move |errno| SandboxError::System {
        call,
        source: errno.into(),
    }
}
