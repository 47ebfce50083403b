use std::fmt;
use std::hash::{Hash, Hasher};

/// Longest name on the wire, in octets (RFC 1035, 2.3.4).
const MAX_NAME_BYTES: usize = 255;
/// Longest label, in octets.
const MAX_LABEL_BYTES: u8 = 63;

/// A domain name on the wire: uncompressed, lower-cased, at most 255 octets, root label included.
#[derive(Clone, Copy)]
pub struct Name {
    len: u8,
    bytes: [u8; MAX_NAME_BYTES],
}

/// Why something is not a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It ends before its root label.
    #[error("the name is cut off")]
    Short,
    /// A label longer than 63 octets, or a compression pointer where none may be.
    #[error("a label is longer than 63 octets, or is no plain label")]
    Label,
    /// Longer than 255 octets.
    #[error("the name is longer than 255 octets")]
    Long,
    /// An empty label inside the name, as in `a..b`.
    #[error("the name has an empty label")]
    EmptyLabel,
    /// A backslash that no digit or character follows, or a number above 255 behind it.
    #[error("the name has a broken escape")]
    Escape,
}

impl Name {
    /// The root.
    pub const ROOT: Self = Self {
        len: 1,
        bytes: [0; MAX_NAME_BYTES],
    };

    /// Reads an uncompressed name at the start of `bytes` and lower-cases it; what follows it is ignored.
    #[inline]
    pub fn from_wire(bytes: &[u8]) -> Result<Self, NameError> {
        let mut name = Self::zeroed();
        name.become_lowered(&bytes[..wire_len(bytes)?]);
        Ok(name)
    }

    /// The root, without the copy that a constant costs.
    #[expect(
        clippy::inline_always,
        reason = "as a call, it is copied to where it is wanted"
    )]
    #[inline(always)]
    pub(crate) const fn zeroed() -> Self {
        Self {
            len: 1,
            bytes: [0; MAX_NAME_BYTES],
        }
    }

    /// Becomes the name of a slice that is one but for its case. At most 255 octets.
    #[inline]
    pub(crate) fn become_lowered(&mut self, wire: &[u8]) {
        self.len = wire.len() as u8;
        // Label lengths are at most 63 and so no letters: the whole name can be lower-cased in one go.
        lower_into(&mut self.bytes[..wire.len()], wire);
    }

    /// Becomes the name that a slice of at most 255 octets is, in lower case.
    #[inline]
    pub(crate) fn take(&mut self, wire: &[u8]) {
        self.len = wire.len() as u8;
        crate::render::copy(&mut self.bytes[..wire.len()], wire);
    }

    /// Reads a name in presentation format (RFC 1035, 5.1: `\.` and `\DDD` escape); the last dot may lack.
    pub fn from_text(text: &str) -> Result<Self, NameError> {
        let mut wire = [0u8; MAX_NAME_BYTES];
        let mut len = 0; // octets written
        let mut label = 0; // place of the open label's length octet
        let mut rest = text.as_bytes();
        if matches!(rest, b"." | b"") {
            return if rest.is_empty() {
                Err(NameError::Short)
            } else {
                Ok(Self::ROOT)
            };
        }
        len += 1;
        while let Some((octet, plain, tail)) = next_octet(rest)? {
            rest = tail;
            if octet == b'.' && plain {
                if wire[label] == 0 {
                    return Err(NameError::EmptyLabel);
                }
                label = len;
            } else {
                wire[label] += 1;
                if wire[label] > MAX_LABEL_BYTES {
                    return Err(NameError::Label);
                }
                *wire.get_mut(len).ok_or(NameError::Long)? = octet;
            }
            len += 1;
            if len > MAX_NAME_BYTES {
                return Err(NameError::Long);
            }
        }
        // Without a dot at the end the root label's octet is still to come.
        if wire[label] != 0 && len == MAX_NAME_BYTES {
            return Err(NameError::Long);
        }
        Self::from_wire(&wire)
    }

    /// The name on the wire, root label included; 1 to 255 octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.len == 1
    }

    /// How many labels, the root label not counted.
    pub fn label_count(&self) -> usize {
        self.labels().count()
    }

    /// The labels from left to right, without their length octets and without the root label.
    pub fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = self.as_bytes();
        std::iter::from_fn(move || {
            let (&len, tail) = rest.split_first()?;
            let (label, tail) = tail.split_at(usize::from(len));
            rest = tail;
            (len > 0).then_some(label)
        })
    }

    /// This name and each of its parents as wire slices, the root (`[0]`) last.
    pub fn suffixes(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = Some(self.as_bytes());
        std::iter::from_fn(move || {
            let suffix = rest?;
            rest = suffix
                .first()
                .filter(|len| **len > 0)
                .map(|len| &suffix[usize::from(*len) + 1..]);
            Some(suffix)
        })
    }

    /// The name without its first label; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        self.suffixes().nth(1).map(Self::from_checked)
    }

    /// Whether this name is `other` or below it.
    pub fn is_subdomain_of(&self, other: &Self) -> bool {
        self.suffixes().any(|suffix| suffix == other.as_bytes())
    }

    /// A name from a slice that already is one, in lower case.
    fn from_checked(wire: &[u8]) -> Self {
        let mut name = Self {
            len: wire.len() as u8,
            bytes: [0; MAX_NAME_BYTES],
        };
        name.bytes[..wire.len()].copy_from_slice(wire);
        name
    }
}

/// An octet of a presentation-format name, whether it stood there plainly, and what follows it.
type Octet<'a> = (u8, bool, &'a [u8]);

/// The length of the uncompressed name at the start of `bytes`, root label included: 1 to 255.
#[inline]
pub(crate) fn wire_len(bytes: &[u8]) -> Result<usize, NameError> {
    measure(bytes).map(|(len, _)| len)
}

/// As [`wire_len`], and where the last label but the root and the last two begin; at 0 if there are fewer.
#[inline]
pub(crate) fn measure(bytes: &[u8]) -> Result<(usize, [usize; 2]), NameError> {
    // The only bound that each step has to look at.
    let longest = &bytes[..bytes.len().min(MAX_NAME_BYTES)];
    let (mut end, mut last) = (0, [0; 2]);
    while let Some(&label) = longest.get(end) {
        // One comparison for both ends of the range.
        if label.wrapping_sub(1) >= MAX_LABEL_BYTES {
            return if label == 0 {
                Ok((end + 1, last))
            } else {
                Err(NameError::Label)
            };
        }
        last = [end, last[0]];
        end += usize::from(label) + 1;
    }
    Err(match bytes.get(end) {
        _ if end > MAX_NAME_BYTES => NameError::Long,
        Some(&label) if label > MAX_LABEL_BYTES => NameError::Label,
        Some(_) => NameError::Long,
        None => NameError::Short,
    })
}

/// Copies `from` to `to`, which is as long, in lower case: 16 or 8 octets at a time, the last of them perhaps twice.
#[inline]
fn lower_into(to: &mut [u8], from: &[u8]) {
    if let Some(last) = from.last_chunk::<16>() {
        for (to, from) in to.as_chunks_mut().0.iter_mut().zip(from.as_chunks().0) {
            *to = lower_16(*from);
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = lower_16(*last);
        }
    } else if let (Some(first), Some(last)) = (from.first_chunk(), from.last_chunk()) {
        if let Some(to) = to.first_chunk_mut() {
            *to = lower_8(*first);
        }
        if let Some(to) = to.last_chunk_mut() {
            *to = lower_8(*last);
        }
    } else {
        for (to, from) in to.iter_mut().zip(from) {
            *to = from.to_ascii_lowercase();
        }
    }
}

/// Sixteen octets in lower case: without a branch and of fixed length, which becomes a few vector instructions.
#[expect(clippy::inline_always, reason = "a few instructions, less than a call")]
#[inline(always)]
pub(crate) fn lower_16(mut octets: [u8; 16]) -> [u8; 16] {
    for octet in &mut octets {
        *octet |= u8::from(octet.is_ascii_uppercase()) << 5;
    }
    octets
}

/// Eight octets in lower case: 0x20 is added to those from `A` to `Z`.
///
/// The highest bit of an octet's sum tells whether its other bits are at least some limit; octets with the highest
/// bit set are no letters.
#[inline]
pub(crate) const fn lower_8(octets: [u8; 8]) -> [u8; 8] {
    const EACH: u64 = 0x0101_0101_0101_0101;
    const HIGHEST: u64 = 0x80 * EACH;
    let word = u64::from_ne_bytes(octets);
    let rest = word & !HIGHEST;
    let from_a = rest + (0x80 - b'A' as u64) * EACH;
    let behind_z = rest + (0x80 - b'Z' as u64 - 1) * EACH;
    let letters = from_a & !behind_z & !word & HIGHEST;
    (word | letters >> 2).to_ne_bytes()
}

/// The next octet of a presentation-format name.
fn next_octet(text: &[u8]) -> Result<Option<Octet<'_>>, NameError> {
    Ok(match text {
        [] => None,
        [
            b'\\',
            a @ b'0'..=b'9',
            b @ b'0'..=b'9',
            c @ b'0'..=b'9',
            rest @ ..,
        ] => {
            let value = [a, b, c]
                .iter()
                .fold(0u16, |sum, digit| sum * 10 + u16::from(**digit - b'0'));
            Some((
                u8::try_from(value).map_err(|_| NameError::Escape)?,
                false,
                rest,
            ))
        }
        [b'\\'] | [b'\\', b'0'..=b'9', ..] => return Err(NameError::Escape),
        [b'\\', octet, rest @ ..] => Some((*octet, false, rest)),
        [octet, rest @ ..] => Some((*octet, true, rest)),
    })
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

impl fmt::Display for Name {
    /// Presentation format with the last dot.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for label in self.labels() {
            for &octet in label {
                match octet {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        write!(f, "\\{}", octet as char)?;
                    }
                    0x21..=0x7e => write!(f, "{}", octet as char)?,
                    _ => write!(f, "\\{octet:03}")?,
                }
            }
            f.write_str(".")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::from_text(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_and_wire_agree() {
        for (text, wire) in [
            (".", &b"\0"[..]),
            ("a.", b"\x01a\0"),
            ("WWW.Example.com", b"\x03www\x07example\x03com\0"),
            ("a\\.b.c.", b"\x03a.b\x01c\0"),
            ("\\000\\255.x.", b"\x02\0\xff\x01x\0"),
        ] {
            let name = Name::from_text(text).unwrap();
            assert_eq!(name.as_bytes(), wire, "{text}");
            assert_eq!(Name::from_wire(wire).unwrap(), name);
            assert_eq!(Name::from_text(&name.to_string()).unwrap(), name);
        }
    }

    #[test]
    fn what_is_no_name() {
        let long = format!("{}.", "a".repeat(63));
        assert_eq!(Name::from_text("a..b"), Err(NameError::EmptyLabel));
        assert_eq!(Name::from_text(".a"), Err(NameError::EmptyLabel));
        assert_eq!(Name::from_text(""), Err(NameError::Short));
        assert_eq!(Name::from_text("a\\"), Err(NameError::Escape));
        assert_eq!(Name::from_text("a\\25"), Err(NameError::Escape));
        assert_eq!(Name::from_text("a\\256"), Err(NameError::Escape));
        assert_eq!(Name::from_text(&"a".repeat(64)), Err(NameError::Label));
        assert_eq!(Name::from_text(&long.repeat(4)), Err(NameError::Long));
        assert_eq!(Name::from_wire(b"\x03ab"), Err(NameError::Short));
        assert_eq!(Name::from_wire(b"\xc0\x0c"), Err(NameError::Label));
        assert_eq!(Name::from_wire(&[1; 300]), Err(NameError::Long));
    }

    #[test]
    fn the_longest_name_fits_with_and_without_its_dot() {
        let text = format!(
            "{}{}",
            format!("{}.", "a".repeat(63)).repeat(3),
            "b".repeat(61)
        );
        assert_eq!(Name::from_text(&text).unwrap().as_bytes().len(), 255);
        assert_eq!(
            Name::from_text(&format!("{text}."))
                .unwrap()
                .as_bytes()
                .len(),
            255
        );
        assert_eq!(Name::from_text(&format!("{text}b")), Err(NameError::Long));
        assert_eq!(Name::from_text(&format!("{text}b.")), Err(NameError::Long));
    }

    #[test]
    fn every_octet_at_every_place_is_lower_cased_as_ascii_says() {
        for octet in 0..=u8::MAX {
            for around in [0, b'@', b'A', b'Z', b'[', 0x7f, 0x80, 0xff] {
                for place in 0..16 {
                    let mut word = [around; 16];
                    word[place] = octet;
                    assert_eq!(lower_16(word), word.map(|octet| octet.to_ascii_lowercase()));
                    let mut word = [around; 8];
                    word[place % 8] = octet;
                    assert_eq!(lower_8(word), word.map(|octet| octet.to_ascii_lowercase()));
                }
            }
        }
        for len in 1..64usize {
            let wire = [&[len as u8 - 1][..], &vec![b'Q'; len - 1], &[0]].concat();
            let wire = if len == 1 { vec![0] } else { wire };
            let name = Name::from_wire(&[&wire[..], b"TAIL"].concat()).unwrap();
            assert_eq!(name.as_bytes(), wire.to_ascii_lowercase());
        }
    }

    #[test]
    fn ancestors() {
        let name = Name::from_text("a.b.example").unwrap();
        let example = Name::from_text("example").unwrap();
        assert_eq!(name.parent().unwrap().parent().unwrap(), example);
        assert_eq!(example.parent(), Some(Name::ROOT));
        assert_eq!(Name::ROOT.parent(), None);
        assert!(name.is_subdomain_of(&example));
        assert!(name.is_subdomain_of(&Name::ROOT));
        assert!(name.is_subdomain_of(&name));
        assert!(!example.is_subdomain_of(&name));
        assert!(
            !Name::from_text("xexample")
                .unwrap()
                .is_subdomain_of(&example)
        );
        assert_eq!(name.label_count(), 3);
        assert_eq!(name.suffixes().count(), 4);
    }
}
