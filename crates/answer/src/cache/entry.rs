use super::seqlock::{AtomicU64, Ordering::Relaxed};

/// What an answer is stored under. The policy view is part of it, the DO and CD bits are not: those
/// choose among the [`Variants`] of one key.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    name: &'a [u8],
    /// Everything of the key but the name, as it stands in the entry's second word.
    ident: u64,
}

impl<'a> Key<'a> {
    /// A key, or `None` for what is never cached: classes above 255, views above 4095, names over 255 bytes.
    ///
    /// `name` is the lower-cased wire form.
    #[inline]
    pub fn new(name: &'a [u8], qtype: u16, qclass: u16, view: u16) -> Option<Self> {
        let class = u8::try_from(qclass).ok()?;
        let len = u8::try_from(name.len()).ok()?;
        let ident = ident(len, [qtype, class.into(), view]);
        (view <= MAX_VIEW).then_some(Self { name, ident })
    }

    /// The key of an entry with this name.
    pub(super) fn of(prefix: Prefix, name: &'a [u8]) -> Self {
        Self {
            name,
            ident: prefix.shape & IDENT_MASK,
        }
    }

    /// The lower-cased wire form of the name.
    #[inline]
    pub(crate) fn name(&self) -> &'a [u8] {
        self.name
    }

    /// The policy view.
    pub(super) fn view(&self) -> u16 {
        (self.ident >> VIEW_SHIFT) as u16 & MAX_VIEW
    }

    /// Everything of the key but the name.
    #[inline]
    pub(super) fn ident(&self) -> u64 {
        self.ident
    }
}

/// A key whose name is at hand in words, with zeros behind it: what the hot path looks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WordKey<'a> {
    pub(super) name: &'a [[u8; 8]],
    pub(super) ident: u64,
}

impl<'a> WordKey<'a> {
    /// The key of a name with so many octets, of 1 to 255, and a class below 256 and a view below 4096.
    #[inline]
    pub(crate) fn new(name: &'a [[u8; 8]], len: u8, question: [u16; 3]) -> Self {
        let ident = ident(len, question);
        Self { name, ident }
    }
}

/// Everything of a key but the name's octets.
#[inline]
fn ident(name_len: u8, [qtype, class, view]: [u16; 3]) -> u64 {
    u64::from(name_len) << NAME_LEN_SHIFT
        | u64::from(view) << VIEW_SHIFT
        | u64::from(class) << CLASS_SHIFT
        | u64::from(qtype) << TYPE_SHIFT
}

/// The part of a question that chooses the variant of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// The client set DO: signatures are wanted.
    pub dnssec_ok: bool,
    /// The client set CD: a bogus answer is wanted rather than SERVFAIL.
    pub checking_disabled: bool,
}

/// A set of variants: those that one stored answer serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variants(u8);

impl Variants {
    /// Every variant: the answer has no signatures to leave out and was not found bogus.
    pub const ALL: Self = Self(0b1111);
    /// Both CD variants of a question without DO.
    pub const WITHOUT_DNSSEC: Self = Self(0b0101);
    /// Both CD variants of a question with DO.
    pub const WITH_DNSSEC: Self = Self(0b1010);
    /// Both DO variants of a question without CD.
    pub const CHECKED: Self = Self(0b0011);
    /// Both DO variants of a question with CD.
    pub const UNCHECKED: Self = Self(0b1100);

    /// Those that are in both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those that are in either set.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Both CD variants of a question with DO, or of one without.
    pub const fn with_dnssec_ok(dnssec_ok: bool) -> Self {
        if dnssec_ok {
            Self::WITH_DNSSEC
        } else {
            Self::WITHOUT_DNSSEC
        }
    }

    /// Whether no variant is in this set.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether this set holds the variant.
    #[inline]
    pub const fn contains(self, variant: Variant) -> bool {
        self.0 & variant.bit() != 0
    }
}

impl Variant {
    /// The set of this one alone.
    #[inline]
    pub(super) const fn bit(self) -> u8 {
        1 << (self.dnssec_ok as u8 | (self.checking_disabled as u8) << 1)
    }
}

/// The two words in front of an entry.
///
/// ```text
/// word 0   0..32 second of storing   32..64 second of expiry
/// word 1   0..16 bytes stored   16..24 bytes of name   24..28 variants   28..40 view   40..48 class   48..64 type
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Prefix {
    pub(super) times: u64,
    pub(super) shape: u64,
}

impl Prefix {
    pub(super) const WORDS: usize = 2;
    /// What no entry begins with: names have at least one byte.
    pub(super) const NONE: Self = Self { times: 0, shape: 0 };
    /// None either, but told apart.
    pub(super) const BUSY: Self = Self { times: 1, shape: 0 };

    pub(super) fn new(
        key: &Key<'_>,
        variants: Variants,
        stored_len: u16,
        stored_at: u32,
        expires: u32,
    ) -> Self {
        Self {
            times: u64::from(stored_at) | u64::from(expires) << 32,
            shape: key.ident | u64::from(stored_len) | u64::from(variants.0) << VARIANTS_SHIFT,
        }
    }

    /// The same, with another second of expiry.
    pub(super) fn expired_at(self, secs: u32) -> Self {
        Self {
            times: u64::from(self.stored_at()) | u64::from(secs) << 32,
            ..self
        }
    }

    #[inline]
    pub(super) fn is_none(self) -> bool {
        self.shape == 0
    }

    #[inline]
    pub(super) fn is_of(self, ident: u64) -> bool {
        self.shape & IDENT_MASK == ident
    }

    #[inline]
    pub(super) fn variants(self) -> Variants {
        Variants((self.shape >> VARIANTS_SHIFT & 0xf) as u8)
    }

    pub(super) fn overlaps(self, variants: Variants) -> bool {
        self.serves(variants.0)
    }

    /// Whether it is for one of the variants with these bits.
    #[inline]
    pub(super) fn serves(self, bits: u8) -> bool {
        self.shape >> VARIANTS_SHIFT & u64::from(bits) != 0
    }

    #[inline]
    pub(super) fn stored_len(self) -> usize {
        (self.shape & 0xffff) as usize
    }

    #[inline]
    pub(super) fn name_len(self) -> usize {
        (self.shape >> NAME_LEN_SHIFT & 0xff) as usize
    }

    /// Words of the name. Both lengths are far from where the addition could overflow.
    #[inline]
    pub(super) fn name_words(self) -> usize {
        (self.name_len() + 7) >> 3
    }

    /// Words of what is stored.
    #[inline]
    pub(super) fn stored_words(self) -> usize {
        (self.stored_len() + 7) >> 3
    }

    #[inline]
    pub(super) fn stored_at(self) -> u32 {
        self.times as u32
    }

    #[inline]
    pub(super) fn expires(self) -> u32 {
        (self.times >> 32) as u32
    }

    /// Words of the whole entry.
    pub(super) fn words(self) -> usize {
        Self::WORDS + self.name_words() + self.stored_words()
    }
}

const NAME_LEN_SHIFT: u32 = 16;
const VARIANTS_SHIFT: u32 = 24;
const VIEW_SHIFT: u32 = 28;
const CLASS_SHIFT: u32 = 40;
const TYPE_SHIFT: u32 = 48;
const MAX_VIEW: u16 = 0xfff;
/// Name length, view, class and type.
const IDENT_MASK: u64 = !(0xffff | 0xf << VARIANTS_SHIFT);

/// The bytes of a name or an answer as words, little-endian, the last padded with zeros.
#[inline]
pub(super) fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (whole, last) = split_words(bytes);
    whole
        .iter()
        .map(|chunk| u64::from_le_bytes(*chunk))
        .chain(last)
}

/// The same in two parts, for where a loop over both would cost more than what is done with each word: those that are
/// whole, as bytes, and the padded one.
#[inline]
pub(super) fn split_words(bytes: &[u8]) -> (&[[u8; 8]], Option<u64>) {
    let (whole, rest) = bytes.as_chunks::<8>();
    let last = (!rest.is_empty()).then(|| last_word(bytes, rest.len()));
    (whole, last)
}

/// Whether these words, of a name with zeros behind it, are the same as those stored; there are as many.
#[inline]
pub(super) fn are_same(name: &[[u8; 8]], stored: &[AtomicU64]) -> bool {
    let mut pairs = name.iter().zip(stored);
    pairs.all(|(mine, stored)| stored.load(Relaxed) == u64::from_le_bytes(*mine))
}

/// The last `count` bytes, fewer than eight, as a word.
#[inline]
fn last_word(bytes: &[u8], count: usize) -> u64 {
    if let Some(last) = bytes.last_chunk::<8>() {
        return u64::from_le_bytes(*last) >> (64 - 8 * count.clamp(1, 7));
    }
    let last = bytes.iter().rev().take(count);
    last.fold(0, |word, byte| word << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_every_length_are_told_from_others() {
        for len in 1..=40usize {
            let name: Vec<u8> = (1..=len as u8).collect();
            let words: Vec<_> = words_of(&name).map(AtomicU64::new).collect();
            let padded = name.chunks(8).map(|chunk| {
                let bytes = chunk.iter().rev();
                bytes.fold(0, |word, byte| word << 8 | u64::from(*byte))
            });
            assert!(
                words.iter().map(|word| word.load(Relaxed)).eq(padded),
                "{len}"
            );
            let mut padded = [0; 40];
            padded[..len].copy_from_slice(&name);
            let mine = |padded: &[u8; 40]| padded.as_chunks().0[..words.len()].to_vec();
            assert!(are_same(&mine(&padded), &words), "{len}");
            for place in 0..len {
                padded[place] ^= 0x80;
                assert!(!are_same(&mine(&padded), &words), "{len}, {place}");
                padded[place] ^= 0x80;
            }
        }
    }
}
