/// The length prefix of a message (RFC 1035, 4.2.2), in bytes.
pub(super) const PREFIX_BYTES: usize = 2;

/// Bytes as they come in, cut into messages.
///
/// ```text
///   0        2            2+len
///   | length | message    | length | ...
/// ```
#[derive(Debug)]
pub(super) struct Deframer {
    bytes: Vec<u8>,
    /// Everything before this has been handed out.
    start: usize,
    end: usize,
}

/// Enough for a burst of queries. A longer message makes the buffer grow, once, to what it needs.
const INITIAL_BYTES: usize = 4096;

impl Deframer {
    /// An empty buffer.
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; INITIAL_BYTES],
            start: 0,
            end: 0,
        }
    }

    /// Where to read more bytes into; never empty as long as every whole message has been taken.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let needed = self.message_len().map_or(0, |len| PREFIX_BYTES + len);
        if needed > self.bytes.len() {
            self.bytes.resize(needed, 0);
        }
        &mut self.bytes[self.end..]
    }

    /// Says that `count` bytes have been read into [`space`](Self::space).
    pub(super) fn filled(&mut self, count: usize) {
        self.end += count;
    }

    /// The next whole message.
    pub(super) fn next(&mut self) -> Option<&[u8]> {
        let len = self.message_len()?;
        let start = self.start + PREFIX_BYTES;
        if self.end < start + len {
            return None;
        }
        self.start = start + len;
        Some(&self.bytes[start..start + len])
    }

    fn message_len(&self) -> Option<usize> {
        let prefix = self.bytes[self.start..self.end].first_chunk::<PREFIX_BYTES>()?;
        Some(usize::from(u16::from_be_bytes(*prefix)))
    }
}

/// Replies on their way out.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Adds a message of at most 65,535 bytes.
    pub(super) fn push(&mut self, message: &[u8]) {
        let len = u16::try_from(message.len())
            .expect("a DNS message is rendered into a buffer of 65,535 bytes");
        self.bytes.extend_from_slice(&len.to_be_bytes());
        self.bytes.extend_from_slice(message);
    }

    /// What is still to be sent.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.sent..]
    }

    /// Says that `count` bytes of [`pending`](Self::pending) have been sent.
    pub(super) fn sent(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.bytes.len() {
            self.sent = 0;
            self.bytes.clear();
            // A burst of large answers must not hold its memory for as long as the connection lives.
            self.bytes.shrink_to(KEPT_BYTES);
        }
    }

    /// Whether nothing is to be sent.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}

const KEPT_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(message: &[u8]) -> Vec<u8> {
        let mut bytes = (message.len() as u16).to_be_bytes().to_vec();
        bytes.extend_from_slice(message);
        bytes
    }

    fn feed(deframer: &mut Deframer, mut bytes: &[u8], step: usize, out: &mut Vec<Vec<u8>>) {
        while !bytes.is_empty() {
            let space = deframer.space();
            let count = step.min(bytes.len()).min(space.len());
            assert!(
                count > 0,
                "a full buffer would read 0 bytes, which looks like the end"
            );
            space[..count].copy_from_slice(&bytes[..count]);
            deframer.filled(count);
            bytes = &bytes[count..];
            while let Some(message) = deframer.next() {
                out.push(message.to_vec());
            }
        }
    }

    #[test]
    fn messages_come_whole_however_they_are_cut() {
        let messages: Vec<Vec<u8>> = vec![
            vec![1; 12],
            vec![],
            vec![2; 300],
            vec![3; 65_535],
            vec![4; 5000],
            vec![5],
        ];
        let stream: Vec<u8> = messages.iter().flat_map(|m| framed(m)).collect();
        for step in [1, 2, 3, 7, 4096, 100_000] {
            let mut deframer = Deframer::new();
            let mut out = Vec::new();
            feed(&mut deframer, &stream, step, &mut out);
            assert_eq!(out, messages, "step {step}");
            assert_eq!(deframer.start, deframer.end);
        }
    }

    #[test]
    fn the_outbox_survives_partial_writes() {
        let mut outbox = Outbox::default();
        outbox.push(b"abc");
        outbox.push(b"d");
        let mut sent = Vec::new();
        while !outbox.is_empty() {
            sent.push(outbox.pending()[0]);
            outbox.sent(1);
        }
        assert_eq!(sent, b"\0\x03abc\0\x01d");
    }
}
