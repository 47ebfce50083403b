use crate::rcode;

/// Octets in front of the body.
pub(super) const STORED_HEADER_BYTES: usize = 14;
pub(super) const FLAG_AUTHORITATIVE: u8 = 1;
pub(super) const FLAG_SECURE: u8 = 2;

/// A section of a message that holds records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Answer.
    Answer,
    /// Authority.
    Authority,
    /// Additional, without OPT.
    Additional,
}

/// A stored answer: a checked view of its octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored<'a> {
    bytes: &'a [u8],
    header: &'a [u8; STORED_HEADER_BYTES],
    body: &'a [u8],
    additional_at: usize,
}

impl<'a> Stored<'a> {
    /// The view of octets that [`compile`](super::compile()) or [`StoredBuilder`](super::StoredBuilder) wrote;
    /// octets behind them are ignored. `None`: they did not.
    #[inline]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (header, rest) = bytes.split_first_chunk::<STORED_HEADER_BYTES>()?;
        let word = |at: usize| usize::from(u16::from_ne_bytes([header[at], header[at + 1]]));
        let (additional_at, body_len, ttls) = (word(8), word(10), word(12));
        let bytes = bytes.get(..STORED_HEADER_BYTES + body_len + 2 * ttls)?;
        (additional_at <= body_len).then_some(Self {
            bytes,
            header,
            body: rest.get(..body_len)?,
            additional_at,
        })
    }

    /// Response code, 0 to 15.
    #[inline]
    pub fn rcode(self) -> u16 {
        u16::from(self.header[0])
    }

    /// AA: made from data of our own.
    #[inline]
    pub fn is_authoritative(self) -> bool {
        self.header[1] & FLAG_AUTHORITATIVE != 0
    }

    /// Validated: AD may be set.
    #[inline]
    pub fn is_secure(self) -> bool {
        self.header[1] & FLAG_SECURE != 0
    }

    /// Records in the answer, authority and additional section, OPT not counted.
    #[inline]
    pub fn counts(self) -> [u16; 3] {
        let word = |at: usize| u16::from_be_bytes([self.header[at], self.header[at + 1]]);
        [word(2), word(4), word(6)]
    }

    /// The response code, the flags, and the counts as they stand in a message's header.
    #[inline]
    pub(crate) fn head(self) -> [u8; 8] {
        let [head @ .., _, _, _, _, _, _] = *self.header;
        head
    }

    /// Neither an error nor any data: NOERROR without records in the answer section.
    pub fn is_nodata(self) -> bool {
        self.rcode() == rcode::NOERROR && self.counts()[0] == 0
    }

    /// What follows the question in the message.
    #[inline]
    pub fn body(self) -> &'a [u8] {
        self.body
    }

    /// The body up to the additional section.
    #[inline]
    pub(crate) fn without_additional(self) -> &'a [u8] {
        &self.body[..self.additional_at]
    }

    /// Where the TTLs stand, counted from the start of the body, ascending.
    #[inline]
    pub fn ttl_offsets(self) -> impl Iterator<Item = usize> {
        let offsets = self.bytes[STORED_HEADER_BYTES + self.body.len()..]
            .as_chunks::<2>()
            .0;
        offsets
            .iter()
            .map(|offset| usize::from(u16::from_ne_bytes(*offset)))
    }

    /// All its octets.
    pub fn as_bytes(self) -> &'a [u8] {
        self.bytes
    }
}
