use std::path::PathBuf;

use crate::nic::AttachedMode;
use crate::privileges::MissingCapabilities;
use crate::sys::Errno;

/// Why a program could not be loaded. Nothing is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// The object can't be read, or its maps can't be made.
    #[error("the BPF object is not usable: {0}")]
    Object(Box<aya::EbpfError>),
    /// The object has no such program, or it isn't an XDP program.
    #[error("the BPF object has no XDP program {name:?}")]
    NoProgram {
        /// The name asked for.
        name: String,
    },
    /// The kernel forbids it.
    #[error("bpf: not permitted ({missing})")]
    NotPermitted {
        /// What this thread lacks for it.
        missing: MissingCapabilities,
    },
    /// The kernel's verifier refuses the program.
    #[error("the kernel refuses the XDP program ({errno}); the end of its log:\n{log_tail}")]
    Rejected {
        /// What `BPF_PROG_LOAD` said.
        errno: Errno,
        /// The last lines of the verifier's log.
        log_tail: String,
    },
}

/// Why a program could not be attached. The interface is as it was.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// Another program is there already; it has not been touched.
    #[error("another XDP program is attached{}", describe(*.id, .name.as_deref(), *.mode))]
    Foreign {
        /// Its number, if the kernel tells.
        id: Option<u32>,
        /// Its name, if the kernel tells this process.
        name: Option<String>,
        /// Where it runs, if the kernel tells.
        mode: Option<AttachedMode>,
    },
    /// The driver (or the generic hook) doesn't take it: no XDP there, an MTU too large, LRO on,
    /// too few queues...
    #[error("not supported by this interface: {errno}")]
    Unsupported {
        /// What the kernel said.
        errno: Errno,
    },
    /// The kernel forbids it.
    #[error("bpf(BPF_LINK_CREATE): not permitted ({missing})")]
    NotPermitted {
        /// What this thread lacks for it.
        missing: MissingCapabilities,
    },
    /// The interface is gone.
    #[error("the interface is gone")]
    Gone,
    /// What was made is no XDP link to this interface. It has been undone.
    #[error("the kernel made something else than an XDP link")]
    NotALink,
    /// Another failure.
    #[error("{call}: {errno}")]
    Os {
        /// The system call.
        call: &'static str,
        /// What it said.
        errno: Errno,
    },
}

fn describe(id: Option<u32>, name: Option<&str>, mode: Option<AttachedMode>) -> String {
    let name = name.map(|name| format!(" {name:?}"));
    let id = id.map(|id| format!(" number {id}"));
    let mode = mode.map(|mode| format!(" ({mode})"));
    let words: String = [name, id, mode].into_iter().flatten().collect();
    if words.is_empty() {
        words
    } else {
        format!(":{words}")
    }
}

/// Why a map could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MapError {
    /// The object has no such map.
    #[error("the BPF object has no map {name:?}")]
    NoMap {
        /// The name asked for.
        name: String,
    },
    /// The map is of another type.
    #[error("the map {name:?} is no XSKMAP")]
    NotXskMap {
        /// Its name.
        name: String,
    },
    /// Key or value are not as long as the map's.
    #[error("the map takes {expected_bytes} bytes, not {given_bytes}")]
    Length {
        /// The map's.
        expected_bytes: usize,
        /// What was given.
        given_bytes: usize,
    },
    /// The kernel refused: the map is full (`E2BIG`), for one.
    #[error("bpf: {errno}")]
    Os {
        /// What it said.
        errno: Errno,
    },
}

/// Why maps could not be shared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// The path lies somewhere else.
    #[error("{} is not in a BPF file system; `mount -t bpf bpf /sys/fs/bpf` makes one", .path.display())]
    NotBpfFileSystem {
        /// The part of it that exists.
        path: PathBuf,
    },
    /// Others than the owner may put maps of theirs there.
    #[error("{} may be written by others than its owner", .path.display())]
    Writable {
        /// The directory.
        path: PathBuf,
    },
    /// What is pinned there is no map, or a map of another type.
    #[error("{} is not a map of the type that is needed", .path.display())]
    Mismatch {
        /// What is there.
        path: PathBuf,
    },
    /// The kernel forbids it.
    #[error("{}: not permitted ({missing})", .path.display())]
    NotPermitted {
        /// The map or directory.
        path: PathBuf,
        /// What this thread lacks for it.
        missing: MissingCapabilities,
    },
    /// Another failure.
    #[error("{}: {errno}", .path.display())]
    Os {
        /// The map or directory.
        path: PathBuf,
        /// What the kernel said.
        errno: Errno,
    },
}

/// Why a program could not be tried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bpf(BPF_PROG_TEST_RUN): {errno}")]
pub struct TestError {
    /// What the kernel said; `EINVAL` for frames shorter than an Ethernet header.
    pub errno: Errno,
}
