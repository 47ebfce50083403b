//! Sluicegate's XDP program, compiled from `steer.bpf.c`, and the layouts of its maps.
//!
//! | map | type | key | value |
//! |---|---|---|---|
//! | [`MAP_LINK`] | array of 1 | 0 | [`Link`] |
//! | [`MAP_LISTEN`] | hash of [`MAX_LISTEN`] | [`ListenKey`] | [`Owner`] |
//! | [`MAP_BROADCAST`] | hash of [`MAX_BROADCAST`] | 4 bytes, IPv4 address as on the wire | `u32`, any |
//! | [`MAP_QUEUES`] | array of [`MAX_QUEUES`] | RX queue | [`QueueEntry`] |
//! | [`MAP_XSKS`] | XSKMAP of [`MAX_QUEUES`] | RX queue | socket |
//! | [`MAP_COUNTERS`] | per-CPU array of [`Exit::ALL`] | [`Exit`] | `u64` |
//!
//! Numbers are in the machine's own byte order unless said otherwise. The object holds the program twice, with the same
//! instructions: [`PROGRAM`] gets every frame in one piece; [`PROGRAM_FRAGS`] is loaded with `BPF_F_XDP_HAS_FRAGS`, which
//! drivers ask for where frames may be longer than one of their buffers.

#![forbid(unsafe_code)]

mod exit;
mod layout;
#[cfg(test)]
mod stack;

pub use exit::Exit;
pub use layout::{Link, ListenKey, Owner, QueueEntry, Tag, Vlans};

/// The compiled object, an ELF file aligned to 8 bytes (parsers read words from it in place).
pub static STEER: &[u8] = &OBJECT.0;

/// Name of the program in [`STEER`].
pub const PROGRAM: &str = "steer";
/// Name of the program for frames in several pieces. Never for generic mode.
pub const PROGRAM_FRAGS: &str = "steer_frags";
/// Name of the program that passes every frame.
pub const PROGRAM_PASS: &str = "pass";
/// Name of the map that holds the interface's [`Link`].
pub const MAP_LINK: &str = "link";
/// Name of the map of what is listened on.
pub const MAP_LISTEN: &str = "listen";
/// Name of the map of IPv4 addresses that no query may come from.
pub const MAP_BROADCAST: &str = "broadcast";
/// Name of the map of enabled queues.
pub const MAP_QUEUES: &str = "queues";
/// Name of the XSKMAP.
pub const MAP_XSKS: &str = "xsks";
/// Name of the map of counters.
pub const MAP_COUNTERS: &str = "counters";

/// Queues from this number on are never steered: their packets stay with the kernel.
pub const MAX_QUEUES: u32 = 1024;
/// Capacity of [`MAP_LISTEN`].
pub const MAX_LISTEN: usize = 4096;
/// Capacity of [`MAP_BROADCAST`].
pub const MAX_BROADCAST: usize = 1024;

#[repr(C, align(8))]
struct Aligned<T>(T);

static OBJECT: Aligned<[u8; OBJECT_BYTES]> =
    Aligned(*include_bytes!(concat!(env!("OUT_DIR"), "/steer.o")));
const OBJECT_BYTES: usize = include_bytes!(concat!(env!("OUT_DIR"), "/steer.o")).len();
