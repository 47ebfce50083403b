use std::fmt;
use std::hash::BuildHasher;
use std::net::IpAddr;

use foldhash::quality::RandomState;
use zerocopy::FromZeros;

use super::set::{AtomicU64, Count, Set, WAYS};

/// What each client has asked in this second and the one before: a table of fixed size, shared by all workers.
///
/// Sets of four clients, a cache line each; a client's address says in which set it stands. Neither locks nor
/// allocations; a count takes one cache line, however many clients there are.
///
/// A client that is new to a full set takes the place of the one that has asked least. So whoever asks much keeps its
/// count, though a million others ask once; and whoever is new has a place, though all others ask much. Of more
/// than four in one set who exceed their limit, some escape it: in a table of ordinary size, that takes a flood of four
/// times the limit for each of its sets.
pub(super) struct Clients {
    /// The sets begin at a cache line, at or behind the first word.
    words: Box<[AtomicU64]>,
    first: usize,
    sets: usize,
    hasher: RandomState,
    seed: u64,
}

/// Tags and states.
const SET_WORDS: usize = 2 * WAYS;
const LINE_BYTES: usize = 64;

impl Clients {
    /// A table of at most `size_bytes`, but of one set at least; smaller if the system does not promise that much. Its
    /// memory comes from the system as it is used.
    pub(super) fn new(size_bytes: u64) -> Self {
        // One less, since the memory may begin within a line.
        let sets = usize::try_from(size_bytes)
            .map_or(usize::MAX, |bytes| bytes / LINE_BYTES)
            .clamp(2, usize::MAX / LINE_BYTES)
            - 1;
        let (words, sets) = (0..usize::BITS)
            .find_map(|halvings| {
                let sets = (sets >> halvings).max(1);
                let words = <[AtomicU64]>::new_box_zeroed_with_elems((sets + 1) * SET_WORDS);
                Some((words.ok()?, sets))
            })
            .expect("memory for two cache lines");
        let hasher = RandomState::default();
        Self {
            first: words.as_ptr().align_offset(LINE_BYTES) % SET_WORDS,
            words,
            sets,
            seed: hasher.hash_one(0),
            hasher,
        }
    }

    /// A number of this table's own, which nobody knows.
    pub(super) fn seed(&self) -> u64 {
        self.seed
    }

    /// Counts a query that this client asks in this second.
    pub(super) fn count(&self, client: IpAddr, now_secs: u32, limit: u32) -> Count {
        let hash = self.hasher.hash_one(client);
        self.set(hash).count(hash | 1, now_secs, limit)
    }

    fn set(&self, hash: u64) -> Set<'_> {
        let number = ((u128::from(hash) * self.sets as u128) >> 64) as usize;
        let (lines, _) = self.words[self.first..].as_chunks::<SET_WORDS>();
        let (halves, _) = lines[number].as_chunks();
        Set {
            tags: &halves[0],
            states: &halves[1],
        }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Clients")
            .field("sets", &self.sets)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_memory_than_was_said() {
        for size_bytes in [0, 1, 64, 128, 129, 1000, 4096, 64 << 10, (4 << 20) + 1] {
            let clients = Clients::new(size_bytes);
            let bytes = size_of_val(&*clients.words) as u64;
            assert!(bytes <= size_bytes.max(128), "{bytes} of {size_bytes}");
            assert!(clients.first + clients.sets * SET_WORDS <= clients.words.len());
            assert_eq!(clients.sets as u64, (size_bytes / 64).max(2) - 1);
            for hash in [0, 1, u64::MAX / 3, u64::MAX] {
                let set = clients.set(hash);
                assert_eq!(set.tags.as_ptr().align_offset(LINE_BYTES), 0);
            }
        }
    }
}
