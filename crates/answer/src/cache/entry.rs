use std::hash::Hasher;

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
    pub fn new(name: &'a [u8], qtype: u16, qclass: u16, view: u16) -> Option<Self> {
        let class = u8::try_from(qclass).ok()?;
        let len = u8::try_from(name.len()).ok()?;
        if view > MAX_VIEW {
            return None;
        }
        let ident = u64::from(len) << NAME_LEN_SHIFT
            | u64::from(view) << VIEW_SHIFT
            | u64::from(class) << CLASS_SHIFT
            | u64::from(qtype) << TYPE_SHIFT;
        Some(Self { name, ident })
    }

    pub(super) fn name(&self) -> &'a [u8] {
        self.name
    }

    pub(super) fn feed(&self, hasher: &mut impl Hasher) {
        hasher.write(self.name);
        hasher.write_u64(self.ident);
    }
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

    /// Whether this set holds the variant.
    pub const fn contains(self, variant: Variant) -> bool {
        self.0 & variant.bit() != 0
    }
}

impl Variant {
    const fn bit(self) -> u8 {
        1 << (self.dnssec_ok as u8 | (self.checking_disabled as u8) << 1)
    }
}

/// The two words in front of an entry.
///
/// ```text
/// word 0   0..32 second of storing   32..64 second of expiry
/// word 1   0..16 bytes stored   16..24 bytes of name   24..28 variants   28..40 view   40..48 class   48..64 type
/// ```
#[derive(Clone, Copy)]
pub(super) struct Prefix {
    pub(super) times: u64,
    pub(super) shape: u64,
}

impl Prefix {
    pub(super) const WORDS: usize = 2;

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

    pub(super) fn is_of(self, key: &Key<'_>) -> bool {
        self.shape & IDENT_MASK == key.ident
    }

    pub(super) fn variants(self) -> Variants {
        Variants((self.shape >> VARIANTS_SHIFT & 0xf) as u8)
    }

    pub(super) fn overlaps(self, variants: Variants) -> bool {
        self.variants().0 & variants.0 != 0
    }

    pub(super) fn stored_len(self) -> usize {
        (self.shape & 0xffff) as usize
    }

    pub(super) fn name_len(self) -> usize {
        (self.shape >> NAME_LEN_SHIFT & 0xff) as usize
    }

    pub(super) fn stored_at(self) -> u32 {
        self.times as u32
    }

    pub(super) fn expires(self) -> u32 {
        (self.times >> 32) as u32
    }

    /// Words of the whole entry.
    pub(super) fn words(self) -> usize {
        Self::WORDS + self.name_len().div_ceil(8) + self.stored_len().div_ceil(8)
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
pub(super) fn words_of(bytes: &[u8]) -> impl Iterator<Item = u64> + '_ {
    let (whole, rest) = bytes.as_chunks::<8>();
    let last = (!rest.is_empty()).then(|| {
        let mut padded = [0; 8];
        padded[..rest.len()].copy_from_slice(rest);
        u64::from_le_bytes(padded)
    });
    whole
        .iter()
        .map(|chunk| u64::from_le_bytes(*chunk))
        .chain(last)
}
