//! The Internet checksum (RFC 1071).

/// A one's complement sum that is not folded yet. 64 bits hold the sum of any frame.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds octets as 16-bit words in network order; an odd last octet counts as a word's high half.
    ///
    /// Words may be added in the machine's order and in any width, since the sum is the same after folding but for
    /// a swap of its octets (RFC 1071, 2 B).
    pub(crate) fn octets(self, octets: &[u8]) -> Self {
        let (words, rest) = octets.as_chunks::<4>();
        let mut sum = self.0;
        for word in words {
            sum += u64::from(u32::from_ne_bytes(*word));
        }
        let mut last = [0; 4];
        last[..rest.len()].copy_from_slice(rest);
        Self(sum + u64::from(u32::from_ne_bytes(last)))
    }

    /// Adds one 16-bit number.
    pub(crate) fn word(self, word: u16) -> Self {
        Self(self.0 + u64::from(word.to_be()))
    }

    /// The 16-bit sum, in network order when written with `to_ne_bytes`.
    pub(crate) fn fold(self) -> u16 {
        let mut sum = self.0;
        while sum > 0xffff {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    /// The checksum to be sent: the complement of the sum, as octets.
    pub(crate) fn complement(self) -> [u8; 2] {
        (!self.fold()).to_ne_bytes()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// RFC 1071, 1, word by word.
    fn reference(octets: &[u8]) -> u16 {
        let mut sum = 0u32;
        for pair in octets.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
        }
        while sum >> 16 != 0 {
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    #[test]
    fn every_word_folds_as_the_reference_does() {
        for word in 0..=u16::MAX {
            let octets = [word.to_be_bytes(), [0xff, 0xfe], [0x80, 1]].concat();
            assert_eq!(
                Sum::default().octets(&octets).fold().to_be(),
                reference(&octets)
            );
            assert_eq!(
                Sum::default()
                    .word(word)
                    .word(0xfffe)
                    .word(0x8001)
                    .fold()
                    .to_be(),
                reference(&octets)
            );
        }
    }

    proptest! {
        #[test]
        fn any_octets(octets in proptest::collection::vec(any::<u8>(), 0..1600)) {
            prop_assert_eq!(Sum::default().octets(&octets).fold().to_be(), reference(&octets));
            prop_assert_eq!(Sum::default().octets(&octets).complement(), (!reference(&octets)).to_be_bytes());
        }

        #[test]
        fn parts_of_even_length_add_up(octets in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..100) {
            let at = (at * 2).min(octets.len() / 2 * 2);
            let parts = Sum::default().octets(&octets[..at]).octets(&octets[at..]);
            prop_assert_eq!(parts.fold().to_be(), reference(&octets));
        }
    }
}
