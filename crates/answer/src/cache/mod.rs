//! The answer cache: stored answers in fixed memory, read without a lock.
//!
//! # Shape
//!
//! Two tables of sets: many sets of about 4 KiB for nearly all answers, and a few of 64 KiB for the large ones.
//! A set is a 128-byte header (sequence lock, one 16-bit tag for each entry, offsets, eviction state) and
//! a log of entries behind it, oldest first. An entry is 16 bytes, the lower-cased name and the stored
//! answer, each padded to 8 bytes; a log position is a multiple of 16 bytes (256 in large sets). So a
//! look-up touches the header's two cache lines and the entry's own, and an A record for a name of 20
//! bytes takes about 96 bytes, some 110 with its share of the header.
//!
//! # Readers and writers
//!
//! Readers take no lock and never wait: they read the set's sequence word, the entry, and the sequence
//! word again. All memory is `AtomicU64` read and written relaxed, ordered by the fences of `seqlock`, so
//! that a torn read is a wrong value, never undefined behaviour, and is thrown away. A
//! reader that finds a set busy again and again reports a miss.
//!
//! Any thread may write, one at a time; they share a lock of their own, as they also let the tables grow.
//!
//! # Bounds
//!
//! The memory is that of the sets; what is left of the configured bytes after the last whole set stays unused. A table
//! begins with two to four MiB and doubles when its sets get crowded (`growing`): 30,000 entries in a cache of 64 MiB
//! stand in less than 10 MiB of it, where spread over all sets they would soon have touched each page. Until it can't
//! double any more, hardly any live entry goes: what finds its set full goes into the one beside it, and if that is full
//! too, the table doubles and these two are divided first. But of entries of 600 to 2,000 bytes two to six fill a set,
//! and some pair is full when a sixth of the table is in use: as long as that is less than half, what finds its pair
//! full goes among the large ones. So the tables take four times the bytes of their entries at most, and what they began
//! with.
//!
//! An answer that is replaced, or moved, is entered in its new place before it goes from the former one: readers find
//! the one or the other.
//!
//! Then a full set always admits the new entry: entries of no more use go first, then by SIEVE (oldest first, those used
//! since the last round are passed over once), so that a scan of names asked once cannot push out those asked again.

#[cfg(not(loom))]
mod entry;
#[cfg(not(loom))]
mod expired;
#[cfg(not(loom))]
mod growing;
#[cfg(not(loom))]
mod hash;
#[cfg(not(loom))]
mod lanes;
#[cfg(not(loom))]
mod memory;
#[cfg(not(loom))]
mod search;
mod seqlock;
#[cfg(not(loom))]
mod set;
#[cfg(not(loom))]
mod table;
#[cfg(not(loom))]
mod write;

#[cfg(not(loom))]
pub(crate) use entry::WordKey;
#[cfg(not(loom))]
pub use entry::{Key, Variant, Variants};
#[cfg(not(loom))]
pub use table::{Cache, CacheStats, Entry, Hit, Inserted, Place, Sought};
#[cfg(not(loom))]
pub(crate) use write::Held;

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod moving_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
