//! Netlink messages: `linux/netlink.h`. All numbers are in the machine's byte order.

/// A message being written: header, the family's own header, attributes.
#[derive(Debug)]
pub(super) struct Request {
    bytes: Vec<u8>,
}

/// `NLM_F_REQUEST`.
const REQUEST: u16 = 1;
/// `NLM_F_ROOT | NLM_F_MATCH`.
pub(super) const DUMP: u16 = 0x300;
/// `NLM_F_DUMP_INTR`: things changed during a dump.
pub(super) const DUMP_INTERRUPTED: u16 = 0x10;
/// `NLMSG_ERROR` and `NLMSG_DONE`.
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;
/// Flags in attribute types: nested, network byte order.
const ATTRIBUTE_TYPE_MASK: u16 = 0x3fff;
const HEADER_BYTES: usize = 16;

impl Request {
    /// A request of `kind`; `header` is the family's own header.
    pub(super) fn new(kind: u16, flags: u16, sequence: u32, header: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(64);
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(&kind.to_ne_bytes());
        bytes.extend_from_slice(&(REQUEST | flags).to_ne_bytes());
        bytes.extend_from_slice(&sequence.to_ne_bytes());
        bytes.extend_from_slice(&0u32.to_ne_bytes());
        bytes.extend_from_slice(header);
        Self { bytes }
    }

    /// Appends an attribute.
    pub(super) fn attribute(mut self, kind: u16, payload: &[u8]) -> Self {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        self.bytes
            .extend_from_slice(&(4 + payload.len() as u16).to_ne_bytes());
        self.bytes.extend_from_slice(&kind.to_ne_bytes());
        self.bytes.extend_from_slice(payload);
        self
    }

    /// The finished message.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
        let len = self.bytes.len() as u32;
        self.bytes[..4].copy_from_slice(&len.to_ne_bytes());
        self.bytes
    }
}

/// A message received.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message<'a> {
    pub(super) kind: u16,
    pub(super) flags: u16,
    pub(super) sequence: u32,
    /// The family's own header and the attributes.
    pub(super) payload: &'a [u8],
}

/// The messages of a datagram, up to the first that is cut off.
pub(super) fn messages(mut bytes: &[u8]) -> impl Iterator<Item = Message<'_>> {
    std::iter::from_fn(move || {
        let len = read_u32(bytes)? as usize;
        let message = bytes.get(HEADER_BYTES..len).map(|payload| Message {
            kind: read_u16(&bytes[4..]).unwrap_or(0),
            flags: read_u16(&bytes[6..]).unwrap_or(0),
            sequence: read_u32(&bytes[8..]).unwrap_or(0),
            payload,
        })?;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some(message)
    })
}

/// The attributes of a message or of a nested attribute, up to the first that is cut off.
pub(super) fn attributes(mut bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let len = usize::from(read_u16(bytes)?);
        let payload = bytes.get(4..len)?;
        let kind = read_u16(&bytes[2..])? & ATTRIBUTE_TYPE_MASK;
        bytes = bytes.get(len.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, payload))
    })
}

pub(super) fn read_u16(bytes: &[u8]) -> Option<u16> {
    bytes.first_chunk().copied().map(u16::from_ne_bytes)
}

pub(super) fn read_u32(bytes: &[u8]) -> Option<u32> {
    bytes.first_chunk().copied().map(u32::from_ne_bytes)
}

pub(super) fn read_u64(bytes: &[u8]) -> Option<u64> {
    bytes.first_chunk().copied().map(u64::from_ne_bytes)
}

/// A string with or without its terminating zero.
pub(super) fn read_text(bytes: &[u8]) -> String {
    let end = bytes
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::{Request, attributes, messages, read_text};

    #[test]
    fn what_is_written_can_be_read() {
        let bytes = Request::new(18, 0, 7, &[1; 4])
            .attribute(3, b"eth0\0")
            .attribute(9, &[5])
            .finish();
        let all: Vec<_> = messages(&bytes).collect();
        assert_eq!(all.len(), 1);
        assert_eq!((all[0].kind, all[0].flags, all[0].sequence), (18, 1, 7));
        let attributes: Vec<_> = attributes(&all[0].payload[4..]).collect();
        assert_eq!(attributes, [(3, &b"eth0\0"[..]), (9, &[5][..])]);
        assert_eq!(read_text(attributes[0].1), "eth0");
    }

    #[test]
    fn cut_off_input_ends_the_walk() {
        let bytes = Request::new(18, 0, 7, &[0; 16])
            .attribute(3, b"eth0\0")
            .finish();
        for len in 0..bytes.len() {
            assert_eq!(messages(&bytes[..len]).count(), 0, "{len} bytes");
        }
        for len in 0..=bytes.len() - 32 {
            let cut = &bytes[32..32 + len];
            assert!(attributes(cut).all(|(_, payload)| payload.len() < cut.len()));
        }
        assert_eq!(messages(&[0; 64]).count(), 0, "a length of 0 must not loop");
        assert_eq!(
            attributes(&[0; 64]).count(),
            0,
            "a length of 0 must not loop"
        );
    }
}
