use std::time::Duration;

use super::builder::Mode;
use super::holder::Holder;
use crate::privileges::MissingCapabilities;
use crate::sys::Errno;

/// Why a queue could not be opened. Nothing is left behind: no socket, no memory, no XSKMAP entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// The options contradict each other.
    #[error("queue options: {0}")]
    Options(&'static str),
    /// The kernel forbids it.
    #[error("{call}: not permitted ({missing})")]
    NotPermitted {
        /// The system call.
        call: &'static str,
        /// What this thread lacks for it.
        missing: MissingCapabilities,
    },
    /// The UMEM is larger than this process may lock, and it lacks `CAP_IPC_LOCK`.
    #[error(
        "the queue needs {needed_bytes} bytes of locked memory, the limit is {limit_bytes} (ulimit -l; in systemd, \
         LimitMEMLOCK=; for containers, --ulimit memlock=-1); raise it, grant CAP_IPC_LOCK, or use fewer frames"
    )]
    MemLock {
        /// Bytes of the UMEM.
        needed_bytes: u64,
        /// `RLIMIT_MEMLOCK`.
        limit_bytes: u64,
    },
    /// Driver or kernel can't do this mode here.
    #[error("{mode} is not supported here{}", because(*.errno))]
    ModeUnsupported {
        /// What was asked for.
        mode: Mode,
        /// What `bind` said; `None` if it wasn't asked, since the driver doesn't claim to support it.
        errno: Option<Errno>,
    },
    /// Another socket holds the queue.
    #[error(
        "queue {queue} of {interface} was still held by another AF_XDP socket after {} ms{}", .waited.as_millis(),
        named(.holders)
    )]
    QueueBusy {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// How long it was tried.
        waited: Duration,
        /// Processes with AF_XDP sockets, one of which may be the one; as far as this process may see.
        holders: Vec<Holder>,
    },
    /// Another socket is in the queue's XSKMAP slot.
    #[error("slot {queue} of the XSKMAP holds another socket: is there a second instance?")]
    SlotTaken {
        /// The queue.
        queue: u32,
    },
    /// The XSKMAP has no slot for the queue.
    #[error("the XSKMAP has {slots} slots, none for queue {queue}")]
    NoSlot {
        /// The queue.
        queue: u32,
        /// The map's size.
        slots: u32,
    },
    /// The map is not an XSKMAP.
    #[error("the map given is not an XSKMAP")]
    NotXskMap,
    /// The interface has no such queue.
    #[error("{interface} has no queue {queue}: it has {queues}")]
    NoSuchQueue {
        /// The interface.
        interface: String,
        /// The queue.
        queue: u32,
        /// How many it has.
        queues: u32,
    },
    /// The interface is gone.
    #[error("interface {interface} is gone")]
    Gone {
        /// The interface.
        interface: String,
    },
    /// This kernel has no AF_XDP.
    #[error(
        "socket(AF_XDP): this kernel has no AF_XDP sockets (CONFIG_XDP_SOCKETS), or a service manager forbids them (add \
         AF_XDP to RestrictAddressFamilies=)"
    )]
    NoAfXdp,
    /// Another system call failed.
    #[error("{call}: {errno}")]
    Os {
        /// The system call.
        call: &'static str,
        /// What it said.
        errno: Errno,
    },
}

fn because(errno: Option<Errno>) -> String {
    errno.map_or_else(
        || ": the driver doesn't offer it".to_owned(),
        |errno| format!(": bind says {errno}"),
    )
}

/// The holders in words, and another reason that no list of processes shows.
fn named(holders: &[Holder]) -> String {
    let list: Vec<String> = holders.iter().map(Holder::to_string).collect();
    let users = if list.is_empty() {
        String::new()
    } else {
        format!(" (AF_XDP is used by {})", list.join(", "))
    };
    format!("{users}: another instance, or a child process that inherited a socket")
}
