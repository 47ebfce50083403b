//! Replies, written into the buffer that holds the query.
//!
//! Header and question stay where they are: the client's ID and its own spelling of the name are echoed by not
//! being touched. Names in a stored answer point into the question, whose length is the same.

use crate::edns::{Ede, OptReply};
use crate::query::{Query, QueryError};
use crate::stored::Stored;
use crate::{HEADER_BYTES, rcode};

/// How a reply is made.
#[derive(Clone, Copy, Debug)]
pub struct RenderOptions<'a> {
    /// By how much TTLs have aged, in seconds.
    pub age_secs: u32,
    /// The longest reply, in octets; the buffer's own length bounds it too.
    pub limit_bytes: usize,
    /// The size that our OPT record announces.
    pub udp_size: u16,
    /// RA: whether we offer recursion.
    pub recursion_available: bool,
    /// An extended error for clients that speak EDNS.
    pub ede: Option<Ede<'a>>,
    /// The idle time-out to tell a TCP client, in units of 100 ms (RFC 7828).
    pub keepalive: Option<u16>,
    /// The server's identifier, for a client that asks for it (RFC 5001); cut to 128 octets.
    pub nsid: Option<&'a [u8]>,
}

/// A reply in its buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Rendered {
    /// Its length, in octets.
    pub len: usize,
    /// Whether it was cut (TC=1).
    pub truncated: bool,
}

pub(crate) const QR: u8 = 0x80;
pub(crate) const AA: u8 = 0x04;
const TC: u8 = 0x02;
pub(crate) const RD: u8 = 0x01;
pub(crate) const RA: u8 = 0x80;
pub(crate) const AD: u8 = 0x20;
pub(crate) const CD: u8 = 0x10;

/// Writes the reply for `query` from a stored answer into `buf`, which begins with the query itself.
///
/// The answer fits, or the additional section is left out, or TC is set and every section but the question and
/// OPT is empty (RFC 2181, 9). AD is set if the answer is secure and the client asked (DO or AD).
///
/// # Panics
///
/// If `buf` is too short for header, question and OPT record; a buffer that held the query with its own OPT and
/// 64 octets more never is.
#[expect(clippy::inline_always, reason = "called in one place of the hot path")]
#[inline(always)]
pub fn render(
    stored: Stored<'_>,
    query: &Query,
    buf: &mut [u8],
    options: &RenderOptions<'_>,
) -> Rendered {
    let opt = opt_reply(query, stored.rcode(), options);
    let opt_len = opt.map_or(0, |opt| opt.len());
    let room = options
        .limit_bytes
        .min(buf.len())
        .saturating_sub(HEADER_BYTES + query.question_len + opt_len);
    let [answers, authority, additional] = stored.counts();
    let (body, counts, truncated) = if stored.body().len() <= room {
        (stored.body(), [answers, authority, additional], false)
    } else if stored.without_additional().len() <= room {
        (stored.without_additional(), [answers, authority, 0], false)
    } else {
        (&[][..], [0; 3], true)
    };
    let start = HEADER_BYTES + query.question_len;
    let end = start + body.len();
    copy(&mut buf[start..end], body);
    age_ttls(&mut buf[start..end], stored, options.age_secs);
    let secure = stored.is_secure() && !truncated && (query.ad || query.dnssec_ok());
    let mut flags = if stored.is_authoritative() { AA } else { 0 };
    flags |= if truncated { TC } else { 0 };
    let head = Head {
        flags: [flags, if secure { AD } else { 0 }],
        rcode: stored.rcode(),
        counts,
        opt: opt.is_some(),
    };
    head.write(buf, query, options);
    let len = write_opt(buf, end, opt);
    Rendered { len, truncated }
}

/// Writes a reply with a response code and no records into `buf`, which begins with the query itself; its length.
pub fn write_rcode(
    buf: &mut [u8],
    query: &Query,
    rcode: u16,
    options: &RenderOptions<'_>,
) -> usize {
    let opt = opt_reply(query, rcode, options);
    let head = Head {
        flags: [0, 0],
        rcode,
        counts: [0; 3],
        opt: opt.is_some(),
    };
    head.write(buf, query, options);
    write_opt(buf, HEADER_BYTES + query.question_len, opt)
}

/// Writes the reply to a message that is no good query into `buf`, which begins with that message.
///
/// The reply is a bare header, but for BADVERS, which repeats the question and has our OPT. `None`: silence.
pub fn write_error(buf: &mut [u8], error: &QueryError, udp_size: u16) -> Option<usize> {
    let (code, question_len) = match error {
        QueryError::Short | QueryError::Response => return None,
        QueryError::NotImplemented => (rcode::NOTIMP, 0),
        QueryError::Notify => (rcode::REFUSED, 0),
        QueryError::Format => (rcode::FORMERR, 0),
        QueryError::BadVersion { question_len, .. } => (rcode::BADVERS, *question_len),
    };
    let header = buf.first_chunk_mut::<HEADER_BYTES>()?;
    header[2] = QR | (header[2] & !(AA | TC));
    header[3] = (header[3] & CD) | (code & 0xf) as u8;
    header[4..].fill(0);
    let QueryError::BadVersion { dnssec_ok, .. } = *error else {
        return Some(HEADER_BYTES);
    };
    header[3] |= RA;
    header[5] = 1;
    header[11] = 1;
    let opt = OptReply {
        udp_size,
        rcode_high: (code >> 4) as u8,
        dnssec_ok,
        ..OptReply::default()
    };
    Some(write_opt(buf, HEADER_BYTES + question_len, Some(opt)))
}

#[inline]
fn opt_reply<'a>(query: &Query, rcode: u16, options: &RenderOptions<'a>) -> Option<OptReply<'a>> {
    let edns = query.edns?;
    Some(OptReply {
        udp_size: options.udp_size,
        rcode_high: (rcode >> 4) as u8,
        dnssec_ok: edns.dnssec_ok,
        ede: options.ede,
        keepalive: options.keepalive,
        nsid: options.nsid,
    })
}

/// What a reply's header says beyond the query's own.
struct Head {
    /// What goes beside QR and RD, and beside RA and CD.
    flags: [u8; 2],
    rcode: u16,
    counts: [u16; 3],
    opt: bool,
}

impl Head {
    /// Writes the header behind the identifier, which stays.
    #[inline]
    fn write(self, buf: &mut [u8], query: &Query, options: &RenderOptions<'_>) {
        let rd = if query.rd { RD } else { 0 };
        let ra = if options.recursion_available { RA } else { 0 };
        let cd = if query.cd { CD } else { 0 };
        let flags = [
            QR | rd | self.flags[0],
            ra | cd | self.flags[1] | (self.rcode & 0xf) as u8,
        ];
        let [answers, authority, additional] = self.counts;
        let counts = [answers, authority, additional + u16::from(self.opt)].map(u16::to_be_bytes);
        let words = [flags, [0, 1], counts[0], counts[1], counts[2]];
        buf[2..HEADER_BYTES].copy_from_slice(words.as_flattened());
    }
}

/// Copies octets, as many as `to` has room for. Short ones, as nearly all answers are, in two parts that may overlap:
/// that costs less than to call for a copy of any length.
#[inline]
pub(crate) fn copy(to: &mut [u8], from: &[u8]) {
    if let (Some(first), Some(last)) = (from.first_chunk::<16>(), from.last_chunk::<16>())
        && from.len() <= 32
        && to.len() == from.len()
        && let Some(to_first) = to.first_chunk_mut()
    {
        *to_first = *first;
        if let Some(to_last) = to.last_chunk_mut() {
            *to_last = *last;
        }
    } else {
        copy_long(to, from);
    }
}

/// Apart, so that the compiler makes no call of a copy of known length.
#[inline(never)]
fn copy_long(to: &mut [u8], from: &[u8]) {
    to.copy_from_slice(from);
}

#[inline]
fn write_opt(buf: &mut [u8], at: usize, opt: Option<OptReply<'_>>) -> usize {
    let Some(opt) = opt else { return at };
    opt.write(&mut buf[at..]);
    at + opt.len()
}

/// Takes `age_secs` off every TTL in `body`, down to 0.
#[inline]
pub(crate) fn age_ttls(body: &mut [u8], stored: Stored<'_>, age_secs: u32) {
    if age_secs == 0 {
        return;
    }
    for at in stored.ttl_offsets() {
        // Offsets ascend: the first one behind a body that was cut ends the work.
        let Some(ttl) = body.get_mut(at..).and_then(<[u8]>::first_chunk_mut::<4>) else {
            break;
        };
        *ttl = u32::from_be_bytes(*ttl)
            .saturating_sub(age_secs)
            .to_be_bytes();
    }
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;
