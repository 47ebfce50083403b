use super::Stored;
use crate::rtype;

/// Owner as a pointer, type, class.
const FRONT_BYTES: usize = 6;
/// TTL and length of the data.
const TTL_AND_LENGTH_BYTES: usize = 6;

/// Turns the addresses of a stored answer's answer section by so many places, in `body`: a copy of the stored
/// [`body`](Stored::body), or of its first sections. Every record keeps its length, so all else stays where it is.
///
/// Only the first run of records of type A or AAAA is turned. Where it is cut off in `body`, nothing is.
pub fn rotate_addresses(stored: Stored<'_>, body: &mut [u8], by: usize) {
    let Some(run) = Run::find(stored) else { return };
    let len = run.count * run.record_bytes;
    if let Some(records) = body.get_mut(run.start..run.start + len) {
        records.rotate_left(by % run.count * run.record_bytes);
    }
}

/// Records of one type and length that follow each other.
struct Run {
    start: usize,
    record_bytes: usize,
    count: usize,
}

impl Run {
    fn find(stored: Stored<'_>) -> Option<Self> {
        let answers = usize::from(stored.counts()[0]);
        let mut run: Option<Self> = None;
        let mut end = 0;
        for ttl_at in stored.ttl_offsets().take(answers) {
            let start = end;
            let len = stored.body().get(ttl_at + 4..)?.first_chunk::<2>()?;
            end = ttl_at + TTL_AND_LENGTH_BYTES + usize::from(u16::from_be_bytes(*len));
            let turns = ttl_at == start + FRONT_BYTES && is_address(stored.body(), start);
            match &mut run {
                Some(run) if turns && end - start == run.record_bytes => run.count += 1,
                Some(_) => break,
                None if turns => {
                    run = Some(Self {
                        start,
                        record_bytes: end - start,
                        count: 1,
                    });
                }
                None => {}
            }
        }
        run.filter(|run| run.count > 1)
    }
}

fn is_address(body: &[u8], record_at: usize) -> bool {
    let rtype = body.get(record_at + 2..).and_then(<[u8]>::first_chunk::<2>);
    rtype.is_some_and(|bytes| matches!(u16::from_be_bytes(*bytes), rtype::A | rtype::AAAA))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::compiled;

    /// CNAME, then `count` addresses of the target, then a signature.
    fn stored(count: u8) -> Vec<u8> {
        let mut msg = vec![0, 0, 0x81, 0x80, 0, 1, 0, count + 2, 0, 0, 0, 0];
        msg.extend(b"\x01a\x03lab\0\0\x01\0\x01");
        msg.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x04\x01b\xc0\x0e");
        for last in 0..count {
            msg.extend([0xc0, 0x23, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, last]);
        }
        msg.extend([0xc0, 0x23, 0, 46, 0, 1, 0, 0, 0, 9, 0, 20]);
        msg.extend([0; 20]);
        compiled(&msg, false)
    }

    fn order(body: &[u8]) -> Vec<u8> {
        let windows = body.windows(5);
        windows
            .filter(|bytes| bytes[..4] == [4, 192, 0, 2])
            .map(|bytes| bytes[4])
            .collect()
    }

    #[test]
    fn addresses_are_turned_and_nothing_else() {
        for count in 0..6 {
            let bytes = stored(count);
            let stored = Stored::new(&bytes).unwrap();
            for by in 0..12 {
                let mut body = stored.body().to_vec();
                rotate_addresses(stored, &mut body, by);
                let mut expected: Vec<u8> = (0..count).collect();
                if count > 0 {
                    expected.rotate_left(by % usize::from(count));
                }
                assert_eq!(order(&body), expected, "{count} by {by}");
                let run = 16..16 + 16 * usize::from(count);
                assert_eq!(body[..run.start], stored.body()[..run.start]);
                assert_eq!(body[run.end..], stored.body()[run.end..]);
            }
        }
    }

    #[test]
    fn a_body_that_is_cut_stays_as_it_is() {
        let bytes = stored(4);
        let stored = Stored::new(&bytes).unwrap();
        for len in 0..16 + 64 {
            let mut body = stored.body()[..len].to_vec();
            rotate_addresses(stored, &mut body, 1);
            assert_eq!(body, stored.body()[..len]);
        }
    }
}
