//! What is asked: a name, a type, a class.

/// What is asked of the engine. Two questions are equal when name (case aside), type and class are.
///
/// CD is not part of it: the engine always validates and always hands out the data together with the
/// verdict, so one question serves clients with and without CD.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Question {
    name: Box<[u8]>,
    qtype: u16,
    qclass: u16,
}

/// Bytes that are no uncompressed wire-format name (RFC 1035, 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an uncompressed name in wire format")]
pub struct NameError;

impl Question {
    /// A question for `name` in wire format: uncompressed, with its root label, 255 bytes at most. Any
    /// byte may stand in a label; ASCII letters are lower-cased.
    ///
    /// # Errors
    /// [`NameError`] if the labels don't add up.
    pub fn new(name: &[u8], qtype: u16, qclass: u16) -> Result<Self, NameError> {
        if name.len() > MAX_NAME_BYTES || labels_len(name) != Some(name.len()) {
            return Err(NameError);
        }
        // Length bytes are below 64, thus never letters.
        let name = name.iter().map(u8::to_ascii_lowercase).collect();
        Ok(Self {
            name,
            qtype,
            qclass,
        })
    }

    /// The name in wire format, lower-cased.
    pub fn name(&self) -> &[u8] {
        &self.name
    }

    /// The type asked for, in host order.
    pub const fn qtype(&self) -> u16 {
        self.qtype
    }

    /// The class asked for, in host order.
    pub const fn qclass(&self) -> u16 {
        self.qclass
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = Vec::new();
        write_name_text(&self.name, &mut text);
        write!(
            f,
            "{} class {} type {}",
            String::from_utf8_lossy(&text),
            self.qclass,
            self.qtype
        )
    }
}

/// Writes a wire-format name in the presentation format that libunbound reads back to the same bytes:
/// everything but letters, digits, `-` and `_` is escaped as `\DDD` (RFC 1035, 5.1).
pub(crate) fn write_name_text(name: &[u8], text: &mut Vec<u8>) {
    let mut at = 0;
    while let Some(&length) = name.get(at)
        && length != 0
    {
        let label = name
            .get(at + 1..at + 1 + usize::from(length))
            .unwrap_or_default();
        for &byte in label {
            if byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_' {
                text.push(byte);
            } else {
                text.extend([
                    b'\\',
                    b'0' + byte / 100,
                    b'0' + byte / 10 % 10,
                    b'0' + byte % 10,
                ]);
            }
        }
        text.push(b'.');
        at += 1 + usize::from(length);
    }
    if at == 0 {
        text.push(b'.');
    }
}

/// How many bytes the labels take, with the root label; `None` if they run out or a label is too long.
fn labels_len(name: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match *name.get(at)? {
            0 => return Some(at + 1),
            length @ 1..=63 => at += 1 + usize::from(length),
            _ => return None,
        }
    }
}

/// RFC 1035, 2.3.4.
const MAX_NAME_BYTES: usize = 255;

#[cfg(test)]
mod tests {
    use super::*;

    fn question(name: &[u8]) -> Question {
        Question::new(name, 1, 1).unwrap()
    }

    #[test]
    fn case_does_not_matter() {
        assert_eq!(question(b"\x03WwW\x02Ab\0"), question(b"\x03www\x02aB\0"));
        assert_eq!(question(b"\x03WwW\0").name(), b"\x03www\0");
    }

    #[test]
    fn broken_names_are_refused() {
        let too_long: Vec<u8> = std::iter::repeat_n(*b"\x01a", 127)
            .flatten()
            .chain([1, b'a', 0])
            .collect();
        for name in [
            &b""[..],
            b"\x01",
            b"\x01a",
            b"\xc0\x0c",
            b"\x40a\0",
            b"\0\0",
            b"\x01a\0b",
            &too_long,
        ] {
            assert_eq!(Question::new(name, 1, 1), Err(NameError), "{name:?}");
        }
        let longest: Vec<u8> = std::iter::repeat_n(*b"\x01a", 127)
            .flatten()
            .chain([0])
            .collect();
        assert_eq!(longest.len(), MAX_NAME_BYTES);
    }

    #[test]
    fn text_escapes_all_but_plain_letters() {
        let mut text = Vec::new();
        write_name_text(b"\x05a.b\\\xff\x04_x-9\0", &mut text);
        assert_eq!(text, br"a\046b\092\255._x-9.");
        text.clear();
        write_name_text(b"\0", &mut text);
        assert_eq!(text, b".");
    }
}
