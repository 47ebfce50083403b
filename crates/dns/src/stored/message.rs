//! A whole message, read record by record, compressed names and all.

use super::layout::Section;
use crate::HEADER_BYTES;

const MAX_NAME_BYTES: usize = 255;
/// The longest name has 127 labels.
const MAX_POINTERS: u32 = 127;

/// The message ends too early, or a name in it can't be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// A name taken out of a message: uncompressed, its case kept.
#[derive(Clone, Copy)]
pub(super) struct PlainName {
    len: usize,
    bytes: [u8; MAX_NAME_BYTES],
}

impl PlainName {
    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

/// A record in its message.
#[derive(Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) section: Section,
    pub(super) owner: PlainName,
    pub(super) rtype: u16,
    pub(super) class: u16,
    pub(super) ttl_secs: u32,
    pub(super) rdata: &'a [u8],
    /// Where the data stands in the message.
    pub(super) rdata_at: usize,
}

/// A reader of octets that may hold compressed names.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    msg: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(msg: &'a [u8], at: usize) -> Self {
        Self { msg, at }
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn octets(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let octets = self.msg.get(self.at..self.at + len).ok_or(Malformed)?;
        self.at += len;
        Ok(octets)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.octets(N)?.try_into().map_err(|_| Malformed)
    }

    pub(super) fn word(&mut self) -> Result<u16, Malformed> {
        self.array().map(u16::from_be_bytes)
    }

    /// A name. Pointers must point backwards, each before the last, and may be as many as labels: a chain of them
    /// for every record would make a short message long work.
    pub(super) fn name(&mut self) -> Result<PlainName, Malformed> {
        let mut name = PlainName {
            len: 0,
            bytes: [0; MAX_NAME_BYTES],
        };
        let (mut at, mut behind, mut earliest) = (self.at, None, self.at);
        let mut pointers = 0;
        loop {
            let len = *self.msg.get(at).ok_or(Malformed)?;
            match len {
                0..=63 => {
                    let end = at + 1 + usize::from(len);
                    let label = self.msg.get(at..end).ok_or(Malformed)?;
                    let into = name
                        .bytes
                        .get_mut(name.len..name.len + label.len())
                        .ok_or(Malformed)?;
                    into.copy_from_slice(label);
                    name.len += label.len();
                    at = end;
                    if len == 0 {
                        break;
                    }
                }
                192.. => {
                    let low = *self.msg.get(at + 1).ok_or(Malformed)?;
                    let target = usize::from(u16::from_be_bytes([len & 0x3f, low]));
                    behind.get_or_insert(at + 2);
                    pointers += 1;
                    if target >= earliest || target < HEADER_BYTES || pointers > MAX_POINTERS {
                        return Err(Malformed);
                    }
                    (at, earliest) = (target, target);
                }
                _ => return Err(Malformed),
            }
        }
        self.at = behind.unwrap_or(at);
        Ok(name)
    }

    pub(super) fn record(&mut self, section: Section) -> Result<Record<'a>, Malformed> {
        let owner = self.name()?;
        let (rtype, class) = (self.word()?, self.word()?);
        let ttl_secs = self.array().map(u32::from_be_bytes)?;
        let len = usize::from(self.word()?);
        let rdata_at = self.at;
        let rdata = self.octets(len)?;
        Ok(Record {
            section,
            owner,
            rtype,
            class,
            ttl_secs,
            rdata,
            rdata_at,
        })
    }
}

/// A message with exactly one question.
pub(super) struct Message<'a> {
    pub(super) rcode: u8,
    pub(super) authoritative: bool,
    pub(super) question: PlainName,
    pub(super) qtype: u16,
    counts: [u16; 3],
    records: Reader<'a>,
}

impl<'a> Message<'a> {
    pub(super) fn parse(msg: &'a [u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(msg, 2);
        let [high, low] = reader.array()?;
        let counts = [
            reader.word()?,
            reader.word()?,
            reader.word()?,
            reader.word()?,
        ];
        if counts[0] != 1 {
            return Err(Malformed);
        }
        let question = reader.name()?;
        let qtype = reader.word()?;
        reader.word()?;
        Ok(Self {
            rcode: low & 0xf,
            authoritative: high & 4 != 0,
            question,
            qtype,
            counts: [counts[1], counts[2], counts[3]],
            records: reader,
        })
    }

    /// The records in order; the first that is malformed ends them.
    pub(super) fn records(&self) -> impl Iterator<Item = Result<Record<'a>, Malformed>> {
        let sections = [Section::Answer, Section::Authority, Section::Additional];
        let mut reader = self.records;
        let mut failed = false;
        sections
            .into_iter()
            .zip(self.counts)
            .flat_map(|(section, count)| (0..count).map(move |_| section))
            .map_while(move |section| {
                if failed {
                    return None;
                }
                let record = reader.record(section);
                failed = record.is_err();
                Some(record)
            })
    }
}
