use anyhow::{Result, bail};

/// The wire form of a name written with dots; a final dot changes nothing, the case is kept.
///
/// Backslash escapes aren't known: tests that need odd bytes write the wire form themselves.
///
/// # Panics
/// If a label is empty or longer than 63 bytes.
pub fn encode_name(text: &str) -> Vec<u8> {
    let mut wire = Vec::with_capacity(text.len() + 2);
    for label in text
        .trim_end_matches('.')
        .split('.')
        .filter(|_| text != "." && !text.is_empty())
    {
        assert!(
            (1..=63).contains(&label.len()),
            "a label of {} bytes in {text:?}",
            label.len()
        );
        wire.push(u8::try_from(label.len()).expect("at most 63"));
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

/// Reads the possibly compressed name at `at` of `message`: its uncompressed wire form, case kept, and where the
/// message goes on behind it.
pub fn read_name(message: &[u8], at: usize) -> Result<(Vec<u8>, usize)> {
    let mut name = Vec::new();
    let mut next = None;
    let mut here = at;
    // Pointers must go backwards, so there can't be more jumps than bytes; 128 labels are the RFC's own bound.
    for _ in 0..256 {
        let Some(&length) = message.get(here) else {
            bail!("a name runs out of the message at byte {here}");
        };
        match length {
            0 => {
                name.push(0);
                return Ok((name, next.unwrap_or(here + 1)));
            }
            1..=63 => {
                let end = here + 1 + usize::from(length);
                let Some(label) = message.get(here..end) else {
                    bail!("a label runs out of the message at byte {here}");
                };
                name.extend_from_slice(label);
                if name.len() > 254 {
                    bail!("a name of more than 255 bytes at byte {at}");
                }
                here = end;
            }
            0xc0..=0xff => {
                let Some(&low) = message.get(here + 1) else {
                    bail!("half a pointer at byte {here}");
                };
                let target = usize::from(length & 0x3f) << 8 | usize::from(low);
                if target >= here {
                    bail!("a pointer at byte {here} goes forward to {target}");
                }
                next.get_or_insert(here + 2);
                here = target;
            }
            _ => bail!("label type {length:#x} at byte {here}"),
        }
    }
    bail!("a name at byte {at} that does not end")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_labels_and_a_root() {
        assert_eq!(encode_name("Www.example."), b"\x03Www\x07example\0");
        assert_eq!(encode_name("."), b"\0");
        assert_eq!(encode_name(""), b"\0");
    }

    #[test]
    fn compressed_names_are_expanded() {
        let message = b"\x07example\0\x03www\xc0\x00\xff";
        let (name, next) = read_name(message, 9).unwrap();
        assert_eq!(name, b"\x03www\x07example\0");
        assert_eq!(next, 15);
    }

    #[test]
    fn loops_and_overruns_are_errors() {
        assert!(read_name(b"\xc0\x00", 0).is_err());
        assert!(read_name(b"\x05ab", 0).is_err());
        assert!(read_name(b"\x01a", 0).is_err());
    }
}
