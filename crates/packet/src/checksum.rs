//! The Internet checksum (RFC 1071).

/// A one's complement sum that is not folded yet: of 64 bits, with the carry brought round at each step.
#[derive(Clone, Copy, Default)]
pub(crate) struct Sum(u64);

impl Sum {
    /// Adds octets as 16-bit words in network order; an odd last octet counts as a word's high half.
    ///
    /// Words may be added in the machine's order and in any width, since the sum is the same after folding but for
    /// a swap of its octets (RFC 1071, 2 B).
    #[expect(
        clippy::inline_always,
        reason = "mostly of fixed length where it is called, and then a few additions"
    )]
    #[inline(always)]
    pub(crate) fn octets(self, octets: &[u8]) -> Self {
        let (lines, mut rest) = octets.as_chunks::<32>();
        let mut sum = self;
        for line in lines {
            sum = sum.words(line);
        }
        // Steps and no second loop: that would be unrolled, which costs more than it saves.
        if let Some((half, behind)) = rest.split_first_chunk::<16>() {
            (sum, rest) = (sum.words(half), behind);
        }
        if let Some((quarter, behind)) = rest.split_first_chunk::<8>() {
            (sum, rest) = (sum.words(quarter), behind);
        }
        sum.wide(last_word(octets, rest))
    }

    /// Adds a multiple of eight octets.
    #[inline]
    fn words<const N: usize>(self, octets: &[u8; N]) -> Self {
        let words = octets.as_chunks::<8>().0.iter();
        words.fold(self, |sum, word| sum.wide(u64::from_ne_bytes(*word)))
    }

    /// Adds 16-bit numbers, a few.
    #[inline]
    pub(crate) fn numbers<const N: usize>(self, numbers: [u16; N]) -> Self {
        self.wide(numbers.iter().map(|number| u64::from(number.to_be())).sum())
    }

    /// The 16-bit sum, in network order when written with `to_ne_bytes`.
    #[inline]
    pub(crate) fn fold(self) -> u16 {
        // The upper half of a number and the same with its halves swapped: both halves' sum, carry included.
        let sum = (self.0.wrapping_add(self.0.rotate_left(32)) >> 32) as u32;
        (sum.wrapping_add(sum.rotate_left(16)) >> 16) as u16
    }

    /// The checksum to be sent: the complement of the sum, in network order when written with `to_ne_bytes`.
    #[inline]
    pub(crate) fn complement(self) -> u16 {
        !self.fold()
    }

    /// Adds four 16-bit words at once.
    #[inline]
    fn wide(self, words: u64) -> Self {
        let (sum, carry) = self.0.overflowing_add(words);
        Self(sum + u64::from(carry))
    }
}

/// The `rest` of octets, fewer than eight, padded with zeros.
#[inline]
fn last_word(octets: &[u8], rest: &[u8]) -> u64 {
    let Some(last) = octets.last_chunk::<8>() else {
        let mut padded = [0; 8];
        padded[..rest.len()].copy_from_slice(rest);
        return u64::from_ne_bytes(padded);
    };
    // Two shifts, since nothing may be left, and a shift by the whole width is none.
    let word = u64::from_le_bytes(*last) >> 8 >> (56 - 8 * (rest.len() % 8));
    u64::from_ne_bytes(word.to_le_bytes())
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
                    .numbers([word, 0xfffe])
                    .numbers([0x8001, 0])
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
            prop_assert_eq!(Sum::default().octets(&octets).complement().to_be(), !reference(&octets));
        }

        #[test]
        fn parts_of_even_length_add_up(octets in proptest::collection::vec(any::<u8>(), 0..200), at in 0usize..100) {
            let at = (at * 2).min(octets.len() / 2 * 2);
            let parts = Sum::default().octets(&octets[..at]).octets(&octets[at..]);
            prop_assert_eq!(parts.fold().to_be(), reference(&octets));
        }
    }
}
