use super::Stored;
use super::layout::STORED_HEADER_BYTES;

/// Sets every TTL of a stored answer, in seconds: for what is told after its own have run out (RFC 8767, 4).
/// Octets that are no stored answer stay as they are.
pub fn set_ttls(stored: &mut [u8], ttl_secs: u32) {
    let Some(view) = Stored::new(stored) else {
        return;
    };
    let table = STORED_HEADER_BYTES + view.body().len();
    let end = view.as_bytes().len();
    let Some((body, table)) = stored[..end].split_at_mut_checked(table) else {
        return;
    };
    for offset in table.as_chunks::<2>().0 {
        let at = STORED_HEADER_BYTES + usize::from(u16::from_ne_bytes(*offset));
        if let Some(ttl) = body.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) {
            *ttl = ttl_secs.to_be_bytes();
        }
    }
}
