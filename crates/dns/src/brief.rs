//! Queries as nearly all are, read and answered without a detour.

use crate::HEADER_BYTES;
use crate::edns::{Edns, OptReply};
use crate::name::{lower_8, lower_16, measure};
use crate::render::{self, age_ttls, copy};
use crate::stored::Stored;

/// What an answer depends on in a query as nearly all are: with RD, for data of class IN, under a name of at most 64
/// octets, without an OPT record or with one that has no options.
///
/// Every [`Query`](crate::Query) that it can be read from means the same; most messages that it can't be read from are
/// good queries all the same. The name is kept apart, so that all else can stay in registers.
#[derive(Clone, Copy, Debug)]
pub struct Brief {
    name_len: u8,
    /// As [`Query::last_labels_at`](crate::Query::last_labels_at).
    pub last_labels_at: [u8; 2],
    /// The fourth octet of the header: AD and CD.
    flags: u8,
    /// QTYPE.
    pub qtype: u16,
    /// The largest UDP reply that the client takes.
    udp_size: u16,
    has_opt: bool,
    /// DO.
    pub dnssec_ok: bool,
}

/// The QNAME of a [`Brief`]: in lower case, with zeros up to the next multiple of eight octets.
#[derive(Clone, Copy, Debug)]
pub struct BriefName([u8; MAX_NAME_BYTES]);

/// How the reply to a [`Brief`] is made.
#[derive(Clone, Copy, Debug)]
pub struct BriefOptions {
    /// By how much TTLs have aged, in seconds.
    pub age_secs: u32,
    /// The longest reply for anybody, in octets.
    pub limit_bytes: usize,
    /// The size that our OPT record announces.
    pub udp_size: u16,
}

impl BriefName {
    /// None yet.
    #[expect(
        clippy::inline_always,
        reason = "as a call, it is copied to where it is wanted"
    )]
    #[inline(always)]
    pub const fn empty() -> Self {
        Self([0; MAX_NAME_BYTES])
    }

    /// Keeps the name of `len` octets that stands behind the header, in lower case.
    ///
    /// Label lengths are at most 63 and so no letters: the whole name can be lower-cased in one go.
    #[expect(clippy::inline_always, reason = "called once")]
    #[inline(always)]
    fn lower(&mut self, msg: &[u8], len: usize) -> Option<()> {
        let up_to_end = msg.get(..HEADER_BYTES + len)?;
        let name = up_to_end.get(HEADER_BYTES..)?;
        let pairs = name.as_chunks().0;
        let to = self.0.as_chunks_mut().0.get_mut(..pairs.len())?;
        for (to, pair) in to.iter_mut().zip(pairs) {
            *to = lower_16(*pair);
        }
        let (words, rest) = name.as_chunks();
        let to = self.0.as_chunks_mut().0;
        if words.len() % 2 == 1 {
            *to.get_mut(words.len() - 1)? = lower_8(*words.last()?);
        }
        if !rest.is_empty() {
            // The octets up to the name's end, some of the header's among them if it is short.
            let last = u64::from_le_bytes(lower_8(*up_to_end.last_chunk()?));
            let padded = last >> (64 - 8 * rest.len());
            *to.get_mut(words.len())? = padded.to_le_bytes();
        }
        (len <= MAX_NAME_BYTES).then_some(())
    }
}

impl Brief {
    /// Reads a message. `None`: it is no such query, and what is in `name` says nothing.
    #[expect(
        clippy::inline_always,
        reason = "called twice, where its result can stay in registers"
    )]
    #[inline(always)]
    pub fn read(msg: &[u8], name: &mut BriefName) -> Option<Self> {
        let (header, body) = msg.split_first_chunk::<HEADER_BYTES>()?;
        let [_, _, plain @ .., more, additional] = *header;
        if u64::from_ne_bytes(plain) & HEAD_MASK != HEAD || more != 0 {
            return None;
        }
        let (name_len, last_labels_at) = measure(body).ok()?;
        name.lower(msg, name_len)?;
        let (question, rest) = body.get(name_len..)?.split_first_chunk::<4>()?;
        let question = u32::from_be_bytes(*question);
        if question as u16 != crate::class::IN {
            return None;
        }
        let (udp_size, dnssec_ok) = match additional {
            0 => (SMALLEST_UDP_SIZE, false),
            1 => read_opt(rest)?,
            _ => return None,
        };
        Some(Self {
            name_len: name_len as u8,
            last_labels_at: last_labels_at.map(|at| at as u8),
            flags: header[3],
            qtype: (question >> 16) as u16,
            udp_size,
            has_opt: additional != 0,
            dnssec_ok,
        })
    }

    /// QNAME in lower case, on the wire.
    #[inline]
    pub fn name(self, name: &BriefName) -> &[u8] {
        name.0.get(..usize::from(self.name_len)).unwrap_or(&[])
    }

    /// Octets of QNAME, at most 64.
    #[inline]
    pub fn name_len(self) -> u8 {
        self.name_len
    }

    /// QNAME in words, with zeros behind it.
    #[inline]
    pub fn name_words(self, name: &BriefName) -> &[[u8; 8]] {
        let count = usize::from(self.name_len).div_ceil(8);
        name.0.as_chunks().0.get(..count).unwrap_or(&[])
    }

    /// CD.
    #[inline]
    pub fn checking_disabled(self) -> bool {
        self.flags & render::CD != 0
    }

    /// AD.
    pub(crate) fn is_ad(self) -> bool {
        self.flags & render::AD != 0
    }

    /// The OPT record, if there is one.
    #[inline]
    pub(crate) fn edns(self) -> Option<Edns> {
        self.has_opt.then_some(Edns {
            udp_size: self.udp_size,
            version: 0,
            dnssec_ok: self.dnssec_ok,
            cookie: None,
            nsid: false,
            keepalive: false,
        })
    }

    /// Where the records begin in its reply.
    #[inline]
    pub fn body_at(self) -> usize {
        HEADER_BYTES + usize::from(self.name_len) + 4
    }

    /// Writes the reply from a stored answer over the query at the start of `buf`, as [`render`](crate::render()) would;
    /// its length. `None`: it must be cut, and nothing was written.
    #[expect(clippy::inline_always, reason = "called in one place of the hot path")]
    #[inline(always)]
    pub fn reply(
        self,
        stored: Stored<'_>,
        options: &BriefOptions,
        buf: &mut [u8],
    ) -> Option<usize> {
        let body = stored.body();
        let start = self.body_at();
        let end = start + body.len();
        let opt_len = if self.has_opt { OPT_BYTES } else { 0 };
        let limit = options.limit_bytes.min(usize::from(self.udp_size));
        let buf = buf.get_mut(..limit.min(buf.len()))?;
        if end + opt_len > buf.len() {
            return None;
        }
        let to = buf.get_mut(start..end)?;
        copy(to, body);
        age_ttls(to, stored, options.age_secs);
        // RD is set; so is RA, as we offer recursion.
        let aa = if stored.is_authoritative() {
            render::AA
        } else {
            0
        };
        let secure = stored.is_secure() && (self.dnssec_ok || self.is_ad());
        let ad = if secure { render::AD } else { 0 };
        let counts = u64::from_be_bytes(stored.head()) & COUNTS | QUESTIONS;
        let counts = counts + u64::from(self.has_opt);
        let head = buf.first_chunk_mut::<HEADER_BYTES>()?;
        head[2] = render::QR | render::RD | aa;
        head[3] = render::RA | self.flags & render::CD | ad | stored.rcode() as u8;
        head[4..].copy_from_slice(&counts.to_be_bytes());
        if self.has_opt {
            self.write_opt(options, buf.get_mut(end..)?);
        }
        Some(end + opt_len)
    }

    fn write_opt(self, options: &BriefOptions, to: &mut [u8]) {
        let opt = OptReply {
            udp_size: options.udp_size,
            dnssec_ok: self.dnssec_ok,
            ..OptReply::default()
        };
        opt.write(to);
    }
}

/// Reads an OPT record without options: the size that it tells, and DO.
#[inline]
fn read_opt(record: &[u8]) -> Option<(u16, bool)> {
    match *record.first_chunk::<OPT_BYTES>()? {
        [0, 0, 41, high, low, _, 0, flags, _, 0, 0] => {
            let size = u16::from_be_bytes([high, low]).max(SMALLEST_UDP_SIZE);
            Some((size, flags & DNSSEC_OK != 0))
        }
        _ => None,
    }
}

const MAX_NAME_BYTES: usize = 64;
/// Of the eight octets behind the ID: no response, opcode QUERY, not cut, RD, one question, no answer, no authority.
const HEAD_MASK: u64 = u64::from_ne_bytes([0xfb, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
const HEAD: u64 = u64::from_ne_bytes([render::RD, 0, 0, 1, 0, 0, 0, 0]);
/// Of the eight octets at the start of what is stored: answers, authority, additional; and one question in front of them.
const COUNTS: u64 = 0xffff_ffff_ffff;
const QUESTIONS: u64 = 1 << 48;
/// An OPT record without options (RFC 6891, 6.1.2).
const OPT_BYTES: usize = 11;
const DNSSEC_OK: u8 = 0x80;
const SMALLEST_UDP_SIZE: u16 = 512;

#[cfg(test)]
#[path = "brief_tests.rs"]
mod tests;
