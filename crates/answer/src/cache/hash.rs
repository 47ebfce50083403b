use std::hash::{BuildHasher, RandomState};

use super::entry::{Key, WordKey, split_words};

/// A hash of keys, with secrets of its own: who does not know them cannot choose names that meet in one set.
///
/// One multiplication to 128 bits for each word; both halves of the product folded into the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyHasher {
    start: u64,
    factor: u64,
}

impl KeyHasher {
    /// One with secrets of the system's.
    pub(super) fn random() -> Self {
        let random = RandomState::new();
        Self {
            start: random.hash_one(1u8),
            factor: random.hash_one(2u8) | 1,
        }
    }

    #[inline]
    pub(super) fn hash(self, key: &Key<'_>) -> u64 {
        // The length is in the first word, so that the zeros behind the last one say nothing.
        let mut state = self.mix(self.start, key.ident());
        let (whole, last) = split_words(key.name());
        for word in whole {
            state = self.mix(state, u64::from_le_bytes(*word));
        }
        last.map_or(state, |word| self.mix(state, word))
    }

    /// The same, of a name in words.
    #[inline]
    pub(super) fn hash_words(self, key: &WordKey<'_>) -> u64 {
        let start = self.mix(self.start, key.ident);
        let words = key.name.iter().map(|word| u64::from_le_bytes(*word));
        words.fold(start, |state, word| self.mix(state, word))
    }

    #[inline]
    fn mix(self, state: u64, word: u64) -> u64 {
        let product = u128::from(state ^ word) * u128::from(self.factor);
        product as u64 ^ (product >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hashes(names: impl Iterator<Item = Vec<u8>>) -> Vec<u64> {
        let hasher = KeyHasher::random();
        names
            .flat_map(|name| {
                [1, 28].map(|qtype| hasher.hash(&Key::new(&name, qtype, 1, 0).unwrap()))
            })
            .collect()
    }

    /// Names that differ in few bits, as those of a zone do.
    fn alike() -> impl Iterator<Item = Vec<u8>> {
        (0..50_000).map(|n| format!("\u{7}{n:07}\u{7}example\u{0}").into_bytes())
    }

    #[test]
    fn names_that_are_alike_fill_sets_alike() {
        const SETS: u64 = 1000;
        let mut counts = vec![0u32; SETS as usize];
        for hash in hashes(alike()) {
            counts[(((hash >> 32) * SETS) >> 32) as usize] += 1;
        }
        // 100 each; six standard deviations are 60.
        let (least, most) = (counts.iter().min(), counts.iter().max());
        assert!(
            least > Some(&40) && most < Some(&170),
            "{least:?} to {most:?}"
        );
    }

    #[test]
    fn tags_say_nothing_of_the_set() {
        let mut seen = vec![0u32; 1 << 16];
        let first = hashes(alike())
            .into_iter()
            .filter(|hash| hash >> 63 == 0)
            .map(|hash| usize::from(hash as u16));
        for tag in first {
            seen[tag] += 1;
        }
        // Fifty thousand tags: each of the 65,536 is there less than once in the mean.
        assert!(
            seen.iter().all(|count| *count < 12),
            "{:?}",
            seen.iter().max()
        );
    }

    #[test]
    fn words_and_octets_have_one_hash() {
        let hasher = KeyHasher::random();
        for len in 1..=40u8 {
            let name: Vec<u8> = (1..=len).collect();
            let mut padded = name.clone();
            padded.resize(usize::from(len).next_multiple_of(8), 0);
            let key = Key::new(&name, 28, 1, 5).unwrap();
            let by_words = WordKey::new(padded.as_chunks().0, len, [28, 1, 5]);
            assert_eq!(hasher.hash(&key), hasher.hash_words(&by_words), "{len}");
        }
    }

    #[test]
    fn a_name_and_its_end_are_told_apart() {
        let all = (1..=40).map(|len| vec![0; len]);
        let mut hashes = hashes(all);
        let count = hashes.len();
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), count);
    }
}
