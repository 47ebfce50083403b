use super::layout::Section;
use super::message::{Malformed, Message, Record};
use super::writer::{WriteError, Writer};
use crate::{rcode, rtype};

/// How a resolver's message becomes a stored answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileOptions {
    /// Keep RRSIG, NSEC and NSEC3: for clients with DO. Without it they stay only where they were asked for.
    pub keep_dnssec: bool,
    /// The answer was validated.
    pub secure: bool,
    /// `cache-min-ttl`, in seconds: shorter TTLs are raised to it.
    pub min_ttl_secs: u32,
    /// `cache-max-ttl`, in seconds: longer TTLs are cut to it.
    pub max_ttl_secs: u32,
    /// `cache-min-negative-ttl`, in seconds.
    pub min_negative_ttl_secs: u32,
    /// `cache-max-negative-ttl`, in seconds.
    pub max_negative_ttl_secs: u32,
}

/// What is to be known of a stored answer before it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoredInfo {
    /// Response code.
    pub rcode: u16,
    /// The least TTL of its records, after the limits; `None`: it has no records, so nothing says how long.
    pub ttl_secs: Option<u32>,
    /// NXDOMAIN, or no data of the asked type (RFC 2308, 2).
    pub negative: bool,
    /// The message holds DNSSEC records that answers without DO leave out: the two differ.
    pub has_dnssec: bool,
}

/// Why a message can't be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Its counts, lengths or names can't be, or it has not exactly one question.
    #[error("the message is malformed")]
    Malformed,
    /// Written anew it would not fit into a message.
    #[error("the message is too long")]
    TooLong,
}

/// Appends the stored form of a whole message to `out`.
///
/// OPT is left out, TTLs are put within the limits; the TTL of a negative answer's SOA is at most the SOA's own
/// MINIMUM (RFC 2308, 3 and 5).
///
/// # Errors
///
/// As [`CompileError`] says; `out` is unchanged then.
pub fn compile(
    msg: &[u8],
    options: &CompileOptions,
    out: &mut Vec<u8>,
) -> Result<StoredInfo, CompileError> {
    let message = Message::parse(msg)?;
    let negative = is_negative(&message)?;
    let mut writer = Writer::new(Some(message.question.as_bytes()));
    let mut info = StoredInfo {
        rcode: u16::from(message.rcode),
        ttl_secs: None,
        negative,
        has_dnssec: false,
    };
    for record in message.records() {
        let record = record?;
        if record.rtype == rtype::OPT {
            continue;
        }
        if is_for_validators(&record, message.qtype) {
            info.has_dnssec = true;
            if !options.keep_dnssec {
                continue;
            }
        }
        let ttl_secs = limited_ttl(&record, negative, options);
        info.ttl_secs = Some(info.ttl_secs.map_or(ttl_secs, |least| least.min(ttl_secs)));
        writer.push(Some(record.owner.as_bytes()), &record, ttl_secs, msg)?;
    }
    writer.finish(message.rcode, message.authoritative, options.secure, out);
    Ok(info)
}

/// NXDOMAIN, or NOERROR without a record of the asked type in the answer section.
fn is_negative(message: &Message<'_>) -> Result<bool, Malformed> {
    if u16::from(message.rcode) != rcode::NOERROR {
        return Ok(u16::from(message.rcode) == rcode::NXDOMAIN);
    }
    for record in message.records() {
        let record = record?;
        let asked = message.qtype == rtype::ANY || record.rtype == message.qtype;
        if record.section == Section::Answer && asked {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether a record is there for validators only: RRSIG, NSEC, NSEC3, unless just that was asked for.
fn is_for_validators(record: &Record<'_>, qtype: u16) -> bool {
    let asked = record.section == Section::Answer && (qtype == record.rtype || qtype == rtype::ANY);
    matches!(record.rtype, rtype::RRSIG | rtype::NSEC | rtype::NSEC3) && !asked
}

fn limited_ttl(record: &Record<'_>, negative: bool, options: &CompileOptions) -> u32 {
    // RFC 2181, 8: a TTL with its highest bit set counts as 0.
    let ttl_secs = if record.ttl_secs > i32::MAX as u32 {
        0
    } else {
        record.ttl_secs
    };
    let ttl_secs = match (negative && record.section == Section::Authority, record) {
        (
            true,
            Record {
                rtype: rtype::SOA,
                rdata: [.., a, b, c, d],
                ..
            },
        ) => ttl_secs.min(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => ttl_secs,
    };
    // The floor first: should the two contradict each other, the ceiling wins.
    let ttl_secs = ttl_secs.max(options.min_ttl_secs).min(options.max_ttl_secs);
    if negative && record.section == Section::Authority {
        ttl_secs
            .max(options.min_negative_ttl_secs)
            .min(options.max_negative_ttl_secs)
    } else {
        ttl_secs
    }
}

impl From<Malformed> for CompileError {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}

impl From<WriteError> for CompileError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Malformed => Self::Malformed,
            WriteError::TooLong => Self::TooLong,
        }
    }
}

/// A message in the form in which it is kept, with its signatures, for a minute at most.
#[cfg(test)]
pub(crate) fn compiled(msg: &[u8], secure: bool) -> Vec<u8> {
    let options = CompileOptions {
        keep_dnssec: true,
        secure,
        min_ttl_secs: 0,
        max_ttl_secs: 60,
        min_negative_ttl_secs: 0,
        max_negative_ttl_secs: 60,
    };
    let mut stored = Vec::new();
    compile(msg, &options, &mut stored).unwrap();
    stored
}

#[cfg(test)]
#[path = "compile_tests.rs"]
mod tests;
