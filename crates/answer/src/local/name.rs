//! Names as slices of wire form: uncompressed, lower-cased, the root label included.

/// The labels of a name in wire form, leftmost first, without the root.
pub(crate) fn labels(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = name;
    std::iter::from_fn(move || {
        let (&len, after) = rest.split_first()?;
        let (label, after) = after.split_at_checked(usize::from(len))?;
        rest = after;
        (len > 0).then_some(label)
    })
}

/// The name without its first label; the root has none.
pub(crate) fn parent(name: &[u8]) -> Option<&[u8]> {
    let (&len, _) = name.split_first()?;
    if len == 0 {
        None
    } else {
        name.get(1 + usize::from(len)..)
    }
}

/// The name and all names above it, the root last.
pub(crate) fn ancestry(name: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(name), |name| parent(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestry_ends_at_the_root() {
        let name = b"\x01a\x01b\x00";
        let up: Vec<_> = ancestry(name).collect();
        assert_eq!(up, [&b"\x01a\x01b\x00"[..], b"\x01b\x00", b"\x00"]);
        assert_eq!(labels(name).collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(parent(b"\x00"), None);
    }
}
