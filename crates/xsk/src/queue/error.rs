use crate::sys::Errno;

/// Why a queue can't go on. Each is final: drop the queue, with all its frames, and open a new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueueError {
    /// The interface was deleted, or moved to another network namespace: the kernel has unbound the socket.
    #[error("the interface is gone: it was deleted or moved to another network namespace")]
    Gone,
    /// The kernel refuses what lies in the rings, or what it writes there can't be true, or it keeps most frames. A fault
    /// of this crate, the driver or the kernel.
    #[error("the queue's rings can't be used any longer")]
    Poisoned,
    /// A system call failed in a way that has no meaning of its own here.
    #[error("{call}: {errno}")]
    Os {
        /// The system call.
        call: &'static str,
        /// What it said.
        errno: Errno,
    },
}
