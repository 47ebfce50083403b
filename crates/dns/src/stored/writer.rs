//! Writes records into the stored form, with names compressed against the question and each other.

use std::collections::HashMap;

use super::layout::{FLAG_AUTHORITATIVE, FLAG_SECURE, STORED_HEADER_BYTES, Section};
use super::message::{Malformed, Reader, Record};
use super::rdata::{Part, parts};
use crate::HEADER_BYTES;

/// Offsets above this can't be pointed at.
const MAX_POINTER: usize = 0x3fff;
const POINTER: u16 = 0xc000;

/// The longest body: with header and the longest question it stays below 65,535 octets.
const MAX_BODY_BYTES: usize = 65_535 - HEADER_BYTES - 259;

/// The answer does not fit a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

#[derive(Default)]
pub(super) struct Writer {
    body: Vec<u8>,
    /// Offset in the message of the body's first octet; `None`: unknown, names in the body can't be pointed at.
    base: Option<usize>,
    /// Lower-cased suffixes that stand in the message, and where.
    places: HashMap<Vec<u8>, u16>,
    ttl_offsets: Vec<u16>,
    counts: [u16; 3],
    additional_at: Option<usize>,
}

impl Writer {
    /// A writer for answers to one question (its name on the wire), or to any.
    pub(super) fn new(question: Option<&[u8]>) -> Self {
        let mut writer = Self {
            base: question.map(|name| HEADER_BYTES + name.len() + 4),
            ..Self::default()
        };
        if let Some(name) = question {
            writer.remember(name, HEADER_BYTES);
        }
        writer
    }

    /// Notes that `name` stands in full at `offset` of the message.
    fn remember(&mut self, name: &[u8], offset: usize) {
        let mut at = 0;
        while let Some(&len @ 1..) = name.get(at) {
            if offset + at > MAX_POINTER {
                return;
            }
            self.places
                .entry(name[at..].to_ascii_lowercase())
                .or_insert((offset + at) as u16);
            at += 1 + usize::from(len);
        }
    }

    /// Writes a name, the longest suffix that already stands in the message as a pointer.
    fn compressed(&mut self, name: &[u8]) {
        let start = self.body.len();
        let mut at = 0;
        while let Some(&len @ 1..) = name.get(at) {
            if let Some(place) = self.places.get(&name[at..].to_ascii_lowercase()) {
                let pointer = (POINTER | place).to_be_bytes();
                self.learn(name, start, at);
                self.body.extend(pointer);
                return;
            }
            let end = at + 1 + usize::from(len);
            self.body.extend(&name[at..end]);
            at = end;
        }
        self.learn(name, start, at);
        self.body.push(0);
    }

    /// Remembers the labels of `name` that were written at `start` of the body: those before `until`.
    fn learn(&mut self, name: &[u8], start: usize, until: usize) {
        let Some(base) = self.base else { return };
        let mut at = 0;
        while at < until && base + start + at <= MAX_POINTER {
            self.places
                .entry(name[at..].to_ascii_lowercase())
                .or_insert((base + start + at) as u16);
            at += 1 + usize::from(name[at]);
        }
    }

    /// The owner: a name, or (`None`) the question's name.
    fn owner(&mut self, owner: Option<&[u8]>) {
        match owner {
            Some(name) => self.compressed(name),
            None => self
                .body
                .extend((POINTER | HEADER_BYTES as u16).to_be_bytes()),
        }
    }

    /// Writes one record whose data is uncompressed, or is part of `msg`.
    pub(super) fn push(
        &mut self,
        owner: Option<&[u8]>,
        record: &Record<'_>,
        ttl_secs: u32,
        msg: &[u8],
    ) -> Result<(), WriteError> {
        if record.section == Section::Additional && self.additional_at.is_none() {
            self.additional_at = Some(self.body.len());
        }
        self.owner(owner);
        self.body
            .extend([record.rtype.to_be_bytes(), record.class.to_be_bytes()].as_flattened());
        let ttl_at = u16::try_from(self.body.len()).map_err(|_| TooLong)?;
        self.ttl_offsets.push(ttl_at);
        self.body.extend(ttl_secs.to_be_bytes());
        self.body.extend([0, 0]);
        let data_at = self.body.len();
        self.data(record, msg)?;
        let data_len = u16::try_from(self.body.len() - data_at).map_err(|_| TooLong)?;
        self.body[data_at - 2..data_at].copy_from_slice(&data_len.to_be_bytes());
        self.counts[record.section as usize] += 1;
        if self.body.len() > MAX_BODY_BYTES {
            Err(TooLong.into())
        } else {
            Ok(())
        }
    }

    fn data(&mut self, record: &Record<'_>, msg: &[u8]) -> Result<(), WriteError> {
        let end = record.rdata_at + record.rdata.len();
        let mut reader = Reader::new(&msg[..end], record.rdata_at);
        for part in parts(record.rtype) {
            match part {
                Part::Octets(len) => self.body.extend(reader.octets(*len)?),
                Part::Text => {
                    let len = reader.octets(1)?;
                    self.body.extend(len);
                    self.body.extend(reader.octets(usize::from(len[0]))?);
                }
                Part::Compressible => self.compressed(reader.name()?.as_bytes()),
                Part::Full => self.body.extend(reader.name()?.as_bytes()),
            }
        }
        self.body.extend(reader.octets(end - reader.at())?);
        Ok(())
    }

    /// Appends the stored form to `out`.
    pub(super) fn finish(self, rcode: u8, authoritative: bool, secure: bool, out: &mut Vec<u8>) {
        let flags = if authoritative { FLAG_AUTHORITATIVE } else { 0 }
            | if secure { FLAG_SECURE } else { 0 };
        let additional_at = self.additional_at.unwrap_or(self.body.len());
        out.reserve_exact(STORED_HEADER_BYTES + self.body.len() + 2 * self.ttl_offsets.len());
        out.extend([rcode, flags]);
        out.extend(self.counts.map(u16::to_be_bytes).as_flattened());
        for word in [
            additional_at as u16,
            self.body.len() as u16,
            self.ttl_offsets.len() as u16,
        ] {
            out.extend(word.to_ne_bytes());
        }
        out.extend(&self.body);
        out.extend(
            self.ttl_offsets
                .iter()
                .flat_map(|offset| offset.to_ne_bytes()),
        );
    }
}

/// Why a record could not be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteError {
    Malformed,
    TooLong,
}

impl From<Malformed> for WriteError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<TooLong> for WriteError {
    fn from(_: TooLong) -> Self {
        Self::TooLong
    }
}
