use crate::brief::{Brief, BriefName};
use crate::edns::Edns;
use crate::name::{Name, measure};
use crate::{HEADER_BYTES, class};

/// A query: header, one question, at most one OPT record, all checked.
///
/// ```text
///  0  2  4  6  8  10 12            12+qname   +4
///  |ID|FL|QD|AN|NS|AR|QNAME ... 0 |QTYPE|QCLASS| OPT ...
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Query {
    /// Message identifier.
    pub id: u16,
    /// RD: recursion desired.
    pub rd: bool,
    /// CD: the client checks signatures by itself.
    pub cd: bool,
    /// AD: the client understands the AD flag (RFC 6840, 5.7).
    pub ad: bool,
    /// QNAME in lower case; the client's own spelling stays in the message.
    pub name: Name,
    /// Where in QNAME its last label but the root, and its last two, begin; the same for names of one label, and 0
    /// for the root itself.
    pub last_labels_at: [u8; 2],
    /// QTYPE.
    pub qtype: u16,
    /// QCLASS.
    pub qclass: u16,
    /// Octets of the question section: QNAME, QTYPE, QCLASS.
    pub question_len: usize,
    /// The OPT record, if there is one.
    pub edns: Option<Edns>,
}

/// Why a message is not a query to be answered from data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Shorter than a header: silence.
    #[error("shorter than a DNS header")]
    Short,
    /// QR=1: silence, lest two servers talk to each other for ever.
    #[error("a response, not a query")]
    Response,
    /// An opcode other than QUERY and NOTIFY: NOTIMP.
    #[error("opcode not implemented")]
    NotImplemented,
    /// A NOTIFY (RFC 1996): REFUSED, since we are nobody's secondary server.
    #[error("NOTIFY from a server that is none of ours")]
    Notify,
    /// FORMERR: section counts, names or an OPT record that can't be.
    #[error("malformed query")]
    Format,
    /// An EDNS version that we don't speak: BADVERS (RFC 6891, 6.1.3).
    #[error("EDNS version not supported")]
    BadVersion {
        /// Octets of the question section, which the reply repeats.
        question_len: usize,
        /// Whether the query had DO set, which the reply repeats.
        dnssec_ok: bool,
    },
}

/// Why a message with this header is no query; called for those only.
#[cold]
fn refusal(header: &[u8; HEADER_BYTES]) -> QueryError {
    let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
    let flags = word(2);
    if flags & FLAG_RESPONSE != 0 {
        return QueryError::Response;
    }
    let opcode = flags & OPCODE_MASK;
    let cut = flags & FLAG_TRUNCATED != 0;
    if !cut && opcode != 0 && opcode != OPCODE_NOTIFY {
        return QueryError::NotImplemented;
    }
    // The new SOA record may stand in a NOTIFY (RFC 1996, 3.7).
    let answers = word(6) <= u16::from(opcode == OPCODE_NOTIFY);
    if opcode == OPCODE_NOTIFY && !cut && word(4) == 1 && answers && word(8) == 0 && word(10) <= 1 {
        return QueryError::Notify;
    }
    QueryError::Format
}

/// QR, opcode, TC.
const FLAGS_OF_NO_QUERY: u16 = FLAG_RESPONSE | OPCODE_MASK | FLAG_TRUNCATED;
const FLAG_RESPONSE: u16 = 0x8000;
const OPCODE_MASK: u16 = 0x7800;
const OPCODE_NOTIFY: u16 = 0x2000;
const FLAG_TRUNCATED: u16 = 0x0200;
const FLAG_RD: u16 = 0x0100;
const FLAG_AD: u16 = 0x0020;
const FLAG_CD: u16 = 0x0010;

impl Query {
    /// A query to be [read](Query::read).
    #[expect(
        clippy::inline_always,
        reason = "as a constant or a call, it is copied to where it is wanted"
    )]
    #[inline(always)]
    pub const fn empty() -> Self {
        Self {
            id: 0,
            rd: false,
            cd: false,
            ad: false,
            name: Name::zeroed(),
            last_labels_at: [0; 2],
            qtype: 0,
            qclass: 0,
            question_len: 0,
            edns: None,
        }
    }

    /// Checks a message and reads what an answer depends on.
    ///
    /// As Unbound does: TC=1, a QDCOUNT other than 1 (RFC 9619), records in the answer or authority section,
    /// and more than one additional record or one that is no OPT, are FORMERR; octets behind the last record
    /// are ignored. Types that are no question (OPT, TSIG, TKEY ...) are left to the caller.
    ///
    /// Stricter than Unbound, which reads over them: EDNS options that don't fill their record, and cookies of a
    /// length that can't be (RFC 7873, 5.2), are FORMERR; so is an OPT record whose owner is a compressed root.
    pub fn parse(msg: &[u8]) -> Result<Self, QueryError> {
        let mut query = Self::empty();
        query.read(msg)?;
        Ok(query)
    }

    /// As [`Query::parse`], into a query that is there already: with its name it is too large to be handed around
    /// without a cost. After an error it says nothing.
    #[expect(
        clippy::inline_always,
        reason = "called once, where its result can stay in registers"
    )]
    #[inline(always)]
    pub fn read(&mut self, msg: &[u8]) -> Result<(), QueryError> {
        let (header, body) = msg
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(QueryError::Short)?;
        let word = |at: usize| u16::from_be_bytes([header[at], header[at + 1]]);
        let (flags, additional) = (word(2), word(10));
        // All that nearly every query has in common, at once.
        let plain = flags & FLAGS_OF_NO_QUERY == 0 && header[4..10] == [0, 1, 0, 0, 0, 0];
        if !plain || additional > 1 {
            return Err(refusal(header));
        }
        let (name_len, last_labels_at) = measure(body).map_err(|_| QueryError::Format)?;
        let (qname, behind) = body.split_at(name_len);
        let (&[t0, t1, c0, c1], rest) =
            behind.split_first_chunk::<4>().ok_or(QueryError::Format)?;
        let question_len = name_len + 4;
        self.edns = None;
        if additional == 1 {
            let edns = Edns::parse(rest)?;
            if edns.version > 0 {
                return Err(QueryError::BadVersion {
                    question_len,
                    dnssec_ok: edns.dnssec_ok,
                });
            }
            self.edns = Some(edns);
        }
        self.id = word(0);
        self.rd = flags & FLAG_RD != 0;
        self.cd = flags & FLAG_CD != 0;
        self.ad = flags & FLAG_AD != 0;
        self.name.become_lowered(qname);
        self.last_labels_at = last_labels_at.map(|at| at as u8);
        self.qtype = u16::from_be_bytes([t0, t1]);
        self.qclass = u16::from_be_bytes([c0, c1]);
        self.question_len = question_len;
        Ok(())
    }

    /// Becomes the query from which `brief` and `name` were read, without reading it again.
    #[inline]
    pub fn take(&mut self, brief: Brief, name: &BriefName, msg: &[u8]) {
        self.id = msg.first_chunk().map_or(0, |id| u16::from_be_bytes(*id));
        self.rd = true;
        self.cd = brief.checking_disabled();
        self.ad = brief.is_ad();
        self.name.take(brief.name(name));
        self.last_labels_at = brief.last_labels_at;
        self.qtype = brief.qtype;
        self.qclass = class::IN;
        self.question_len = brief.body_at() - HEADER_BYTES;
        self.edns = brief.edns();
    }

    /// DO: the client wants DNSSEC records.
    pub fn dnssec_ok(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec_ok)
    }

    /// The largest UDP reply in octets: what the client takes (512 without EDNS), at most `ours`.
    pub fn udp_limit(&self, ours: usize) -> usize {
        self.edns
            .map_or(512, |edns| usize::from(edns.udp_size))
            .min(ours)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(flags: u16, counts: [u16; 4], body: &[u8]) -> Vec<u8> {
        let mut msg = vec![0x12, 0x34];
        msg.extend(flags.to_be_bytes());
        msg.extend(counts.iter().flat_map(|count| count.to_be_bytes()));
        msg.extend(body);
        msg
    }

    const QUESTION: &[u8] = b"\x03WwW\x07example\0\0\x01\0\x01";
    const OPT: &[u8] = &[0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0];

    #[test]
    fn a_plain_query() {
        let parsed = Query::parse(&query(0x0130, [1, 0, 0, 0], QUESTION)).unwrap();
        assert_eq!(
            (parsed.id, parsed.rd, parsed.cd, parsed.ad),
            (0x1234, true, true, true)
        );
        assert_eq!(parsed.name.to_string(), "www.example.");
        assert_eq!(
            (parsed.qtype, parsed.qclass, parsed.question_len),
            (1, 1, QUESTION.len())
        );
        assert_eq!(parsed.edns, None);
        assert_eq!(parsed.udp_limit(4096), 512);
    }

    #[test]
    fn the_last_labels_are_found() {
        for (name, at) in [
            (&b"\0"[..], [0, 0]),
            (b"\x03lab\0", [0, 0]),
            (b"\x02bc\x03lab\0", [3, 0]),
            (b"\x01a\x02bc\x03lab\0", [5, 2]),
        ] {
            let body = [name, &[0, 1, 0, 1]].concat();
            let parsed = Query::parse(&query(0, [1, 0, 0, 0], &body)).unwrap();
            assert_eq!(parsed.last_labels_at, at);
        }
    }

    #[test]
    fn edns_and_trailing_octets() {
        let body = [QUESTION, OPT, &[1, 2, 3]].concat();
        let parsed = Query::parse(&query(0, [1, 0, 0, 1], &body)).unwrap();
        assert!(parsed.dnssec_ok());
        assert_eq!(parsed.udp_limit(4096), 1232);
        assert_eq!(parsed.udp_limit(1000), 1000);
    }

    #[test]
    fn silence() {
        assert_eq!(Query::parse(&[0; 11]).unwrap_err(), QueryError::Short);
        let response = query(0x8000, [1, 0, 0, 0], QUESTION);
        assert_eq!(Query::parse(&response).unwrap_err(), QueryError::Response);
    }

    #[test]
    fn what_is_malformed_is_formerr() {
        let two_opts = [QUESTION, OPT, OPT].concat();
        let pointer = b"\xc0\x0c\0\x01\0\x01";
        let extended_label = b"\x41abc\0\0\x01\0\x01";
        for (flags, counts, body) in [
            (0x0200, [1, 0, 0, 0], QUESTION),
            (0, [0, 0, 0, 0], QUESTION),
            (0, [2, 0, 0, 0], QUESTION),
            (0, [1, 1, 0, 0], QUESTION),
            (0, [1, 0, 1, 0], QUESTION),
            (0, [1, 0, 0, 2], &two_opts),
            (0, [1, 0, 0, 1], QUESTION),
            (0, [1, 0, 0, 0], &QUESTION[..QUESTION.len() - 1]),
            (0, [1, 0, 0, 0], pointer),
            (0, [1, 0, 0, 0], extended_label),
            (0, [1, 0, 0, 0], &[63; 300]),
        ] {
            let msg = query(flags, counts, body);
            assert_eq!(
                Query::parse(&msg).unwrap_err(),
                QueryError::Format,
                "{msg:?}"
            );
        }
    }

    #[test]
    fn other_opcodes_and_versions() {
        for opcode in 1..16u16 {
            let msg = query(opcode << 11, [1, 0, 0, 0], QUESTION);
            let want = if opcode == 4 {
                QueryError::Notify
            } else {
                QueryError::NotImplemented
            };
            assert_eq!(Query::parse(&msg).unwrap_err(), want);
            let cut = query(opcode << 11 | 0x0200, [1, 0, 0, 0], QUESTION);
            assert_eq!(Query::parse(&cut).unwrap_err(), QueryError::Format);
        }
        // A NOTIFY has the new SOA record in its answer section (RFC 1996, 3.7).
        let notify = Query::parse(&query(4 << 11, [1, 1, 0, 0], QUESTION));
        assert_eq!(notify.unwrap_err(), QueryError::Notify);
        let two_records = Query::parse(&query(4 << 11, [1, 2, 0, 0], QUESTION));
        assert_eq!(two_records.unwrap_err(), QueryError::Format);
        let mut body = [QUESTION, OPT].concat();
        body[QUESTION.len() + 6] = 1;
        let error = Query::parse(&query(0, [1, 0, 0, 1], &body)).unwrap_err();
        assert_eq!(
            error,
            QueryError::BadVersion {
                question_len: QUESTION.len(),
                dnssec_ok: true
            }
        );
    }
}
