use super::frame::{HEADER_BYTES, question_end};

/// EDNS option code (RFC 7830).
const PADDING: u16 = 12;
const OPT: [u8; 3] = [0, 0, 41];
/// The root name, type, class, TTL and the length of the data.
const OPT_BYTES: usize = 11;

/// Pads a query to a multiple of `block` octets (RFC 8467, 4.1), by a padding option in its OPT record.
///
/// A query without one stays as it is, as does one whose shape is not libunbound's: a question, and behind it an
/// OPT record and nothing else.
pub(super) fn pad(query: &mut Vec<u8>, block: usize) {
    let Some(length_at) = opt_length_at(query).filter(|_| block > 1) else {
        return;
    };
    let bare = query.len() + 4;
    let padded = bare.next_multiple_of(block);
    if padded > MAX_PADDED_BYTES {
        return;
    }
    let data = padded - length_at - 2;
    query[length_at..length_at + 2].copy_from_slice(&(data as u16).to_be_bytes());
    query.extend(PADDING.to_be_bytes());
    query.extend(((padded - bare) as u16).to_be_bytes());
    query.resize(padded, 0);
}

/// Queries are far shorter; block sizes beyond it are a slip.
const MAX_PADDED_BYTES: usize = 8192;

/// Where the OPT record has its length, if the record is the last thing in the message and the only one.
fn opt_length_at(query: &[u8]) -> Option<usize> {
    if query.get(4..HEADER_BYTES)? != [0, 1, 0, 0, 0, 0, 0, 1] {
        return None;
    }
    let end = question_end(query)?;
    let opt = &query[end..];
    let length = usize::from(u16::from_be_bytes([*opt.get(9)?, *opt.get(10)?]));
    (opt.starts_with(&OPT) && opt.len() == OPT_BYTES + length).then_some(end + 9)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A query for a name of one label of `label` octets, with an OPT record with `options`.
    fn query(label: u8, options: &[u8]) -> Vec<u8> {
        let mut query = vec![0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, label];
        query.extend(vec![b'x'; usize::from(label)]);
        query.extend([0, 0, 1, 0, 1, 0, 0, 41, 4, 208, 0, 0, 128, 0, 0]);
        query.push(options.len() as u8);
        query.extend(options);
        query
    }

    #[test]
    fn every_length_ends_at_a_block() {
        for label in 1..=63 {
            for options in [&[][..], &[0, 10, 0, 1, 7]] {
                let bare = query(label, options);
                let mut padded = bare.clone();
                pad(&mut padded, 128);
                assert_eq!(padded.len() % 128, 0);
                assert!(padded.len() >= bare.len() + 4 && padded.len() < bare.len() + 4 + 128);
                // The record's length covers the rest of the message.
                let at = opt_length_at(&padded).unwrap();
                assert!(padded[at + 2..].starts_with(options));
                let option = &padded[at + 2 + options.len()..];
                assert_eq!(option[..2], [0, 12]);
                assert_eq!(
                    usize::from(u16::from_be_bytes([option[2], option[3]])),
                    option.len() - 4
                );
                assert!(option[4..].iter().all(|byte| *byte == 0));
            }
        }
    }

    #[test]
    fn what_cannot_be_padded_stays() {
        let mut without_opt = query(5, &[]);
        without_opt.truncate(without_opt.len() - OPT_BYTES);
        without_opt[11] = 0;
        let mut behind_opt = query(5, &[]);
        behind_opt.push(0);
        let mut compressed = query(5, &[]);
        compressed[12] = 0xc0;
        for message in [without_opt, behind_opt, compressed, vec![0; 12], vec![0; 3]] {
            let mut padded = message.clone();
            pad(&mut padded, 128);
            assert_eq!(padded, message);
        }
        let bare = query(5, &[]);
        for block in [0, 1, 60_000] {
            let mut padded = bare.clone();
            pad(&mut padded, block);
            assert_eq!(padded, bare, "{block}");
        }
    }
}
