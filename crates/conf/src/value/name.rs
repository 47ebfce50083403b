use super::Wrong;

/// Whether `text` is a domain name in presentation format (RFC 1035 section 5.1): labels of 1 to 63 bytes,
/// 255 in all with their lengths; `\DDD` and `\X` stand for one byte.
pub(super) fn check(text: &str) -> Result<(), Wrong> {
    if text == "." {
        return Ok(());
    }
    if text.is_empty() {
        return Err(Wrong::new("expected a domain name").help("the root is written \".\""));
    }
    let (mut total, mut label) = (1, 0);
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'.' {
            if label == 0 {
                return Err(Wrong::new("the name has an empty label")
                    .help("two dots follow each other, or it begins with one"));
            }
            total += label + 1;
            label = 0;
            continue;
        }
        if byte == b'\\' {
            rest = escape(rest)?;
        }
        label += 1;
        if label > 63 {
            return Err(Wrong::new("a label of the name is longer than 63 bytes"));
        }
    }
    if label > 0 {
        total += label + 1;
    }
    if total > 255 {
        return Err(Wrong::new("the name is longer than 255 bytes"));
    }
    Ok(())
}

/// What follows the escape that `rest` begins with.
fn escape(rest: &[u8]) -> Result<&[u8], Wrong> {
    match rest {
        [a, b, c, tail @ ..] if a.is_ascii_digit() && b.is_ascii_digit() && c.is_ascii_digit() => {
            let value = [a, b, c]
                .iter()
                .fold(0u32, |sum, d| sum * 10 + u32::from(**d - b'0'));
            if value <= 255 {
                Ok(tail)
            } else {
                Err(Wrong::new("the escape stands for no byte").help("\\000 to \\255"))
            }
        }
        [a, ..] if a.is_ascii_digit() => Err(Wrong::new("an escape has three digits")),
        [_, tail @ ..] => Ok(tail),
        [] => Err(Wrong::new("the name ends in a backslash")),
    }
}
