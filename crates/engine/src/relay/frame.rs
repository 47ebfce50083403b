use std::io;

use tokio::io::{AsyncRead, AsyncReadExt as _};

/// Messages shorter than their header are not DNS.
pub(super) const HEADER_BYTES: usize = 12;

/// Reads a message behind its length of two octets (RFC 1035, 4.2.2).
///
/// # Errors
/// At the end of the stream, and for what is too short to be a message.
pub(super) async fn read_message(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length < HEADER_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Appends a message behind its length.
pub(super) fn push_message(message: &[u8], out: &mut Vec<u8>) {
    // Both ends read lengths of two octets, and padding stops below.
    out.extend((message.len() as u16).to_be_bytes());
    out.extend(message);
}

/// The ID of a message that [`read_message`] returned.
pub(super) fn id(message: &[u8]) -> u16 {
    u16::from_be_bytes([message[0], message[1]])
}

/// Gives it another ID.
pub(super) fn set_id(message: &mut [u8], id: u16) {
    message[..2].copy_from_slice(&id.to_be_bytes());
}

/// SERVFAIL for a query. `None` for what has no question that could be read.
pub(super) fn servfail(query: &[u8]) -> Option<Vec<u8>> {
    let end = question_end(query)?;
    let mut message = query[..end].to_vec();
    message[2] |= 0x80; // QR; opcode and RD as asked
    message[3] = 0x82; // RA, or libunbound would take it for no resolver; SERVFAIL
    message[4..HEADER_BYTES].copy_from_slice(&[0, 1, 0, 0, 0, 0, 0, 0]);
    Some(message)
}

/// Where the question ends, of a message that has just one and no compression in it.
pub(super) fn question_end(message: &[u8]) -> Option<usize> {
    if message.get(4..6)? != [0, 1] {
        return None;
    }
    let mut at = HEADER_BYTES;
    loop {
        match *message.get(at)? {
            0 => break,
            label @ 1..=63 => at += 1 + usize::from(label),
            _ => return None,
        }
    }
    let end = at + 5;
    (end <= message.len()).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servfail_has_the_question_and_nothing_else() {
        let query = b"\xab\xcd\x01\x10\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01\0\0\x29\x04\xd0\0\0\x80\0\0\0";
        assert_eq!(
            servfail(query).unwrap(),
            b"\xab\xcd\x81\x82\0\x01\0\0\0\0\0\0\x01a\0\0\x01\0\x01"
        );
        for wrong in [
            &query[..18],
            &query[..12],
            b"",
            b"\0\0\0\0\0\x01\0\0\0\0\0\0\xc0\x0c\0\x01\0\x01",
        ] {
            assert_eq!(servfail(wrong), None);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn messages_come_whole_or_not_at_all() {
        let message = vec![7; 300];
        let mut bytes = Vec::new();
        push_message(&message, &mut bytes);
        assert_eq!(read_message(&mut &bytes[..]).await.unwrap(), message);
        assert!(read_message(&mut &bytes[..301]).await.is_err());
        assert!(
            read_message(&mut &[0, 11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11][..])
                .await
                .is_err()
        );
    }
}
