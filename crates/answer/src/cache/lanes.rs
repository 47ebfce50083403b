//! A set's tags, all compared at once.

/// Which lanes hold this tag, which is not 0: bit n stands for lane n, and lane n for 16 bits of word n/4, from the
/// lowest. Without a branch: where in its set an answer stands is nothing that a processor could learn to predict.
#[cfg(target_arch = "x86_64")]
#[inline]
pub(super) fn holding(words: [u64; TAG_WORDS], tag: u16) -> u64 {
    use safe_arch::{
        cmp_eq_mask_i16_m128i, m128i, move_mask_i8_m128i, pack_i16_to_i8_m128i, set_i64_m128i,
        set_splat_i16_m128i, zeroed_m128i,
    };

    let wanted = set_splat_i16_m128i(tag.cast_signed());
    // Eight lanes, each all ones or zero.
    let same = |low: u64, high: u64| {
        let lanes = set_i64_m128i(high.cast_signed(), low.cast_signed());
        cmp_eq_mask_i16_m128i(lanes, wanted)
    };
    // Sixteen lanes, each a bit.
    let bits = |first: m128i, second: m128i| {
        u64::from(move_mask_i8_m128i(pack_i16_to_i8_m128i(first, second)).cast_unsigned())
    };
    bits(same(words[0], words[1]), same(words[2], words[3]))
        | bits(same(words[4], words[5]), same(words[6], words[7])) << 16
        | bits(same(words[8], 0), zeroed_m128i()) << 32
}

/// As above, word by word.
#[cfg(not(target_arch = "x86_64"))]
#[inline]
pub(super) fn holding(words: [u64; TAG_WORDS], tag: u16) -> u64 {
    one_by_one(words, tag)
}

/// As [`holding`], lane by lane.
#[cfg(any(test, not(target_arch = "x86_64")))]
fn one_by_one(words: [u64; TAG_WORDS], tag: u16) -> u64 {
    let lanes = words
        .iter()
        .flat_map(|word| (0..4).map(move |lane| (word >> (lane * 16)) as u16));
    lanes.enumerate().fold(0, |bits, (lane, found)| {
        bits | u64::from(found == tag) << lane
    })
}

/// Words of tags.
pub(super) const TAG_WORDS: usize = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_lane_with_the_tag_is_found_and_no_other(
            lanes in prop::array::uniform32(prop::sample::select(&[1u16, 2, 0x7fff, 0x8000, 0x8001, 0xffff][..])),
            rest in prop::array::uniform4(1u16..),
            tag in prop::sample::select(&[1u16, 2, 0x7fff, 0x8000, 0x8001, 0xffff][..]),
        ) {
            let lanes: Vec<u16> = lanes.into_iter().chain(rest).collect();
            let mut words = [0; TAG_WORDS];
            for (lane, found) in lanes.iter().enumerate() {
                words[lane / 4] |= u64::from(*found) << (lane % 4 * 16);
            }
            prop_assert_eq!(holding(words, tag), one_by_one(words, tag));
        }
    }
}
