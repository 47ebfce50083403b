use sluicegate_dns::{HEADER_BYTES, Name, Stored, StoredBuilder, StoredInfo, compile, rcode};

use crate::cache::{Cache, Entry, Key, Variant, Variants};
use crate::pipeline::VIEW;
use crate::{Limits, Now, Question};

/// What the engine found for a question.
#[derive(Clone, Copy, Debug)]
pub struct Findings<'a> {
    /// Response code.
    pub rcode: u16,
    /// The verdict of validation.
    pub security: Security,
    /// The whole message, with all DNSSEC records; empty when there is only a response code.
    pub wire: &'a [u8],
}

/// The verdict of validation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not signed, or not validated.
    Insecure,
    /// Signed, and the signatures hold.
    Secure,
    /// Signatures that should hold do not: for clients with CD only.
    Bogus,
}

/// An answer found for a question, compiled once for all clients that wait and for the cache.
#[derive(Debug)]
pub struct Resolution {
    question: Question,
    answers: Vec<Answer>,
}

/// One stored answer and the variants of the question that it serves.
#[derive(Debug)]
struct Answer {
    variants: Variants,
    stored: Vec<u8>,
    ttl_secs: u32,
}

impl Resolution {
    /// Compiles what was found. What can't be compiled, and what is bogus, is SERVFAIL; bogus data is kept
    /// for clients with CD.
    pub fn new(question: &Question, found: &Findings<'_>, limits: &Limits) -> Self {
        let mut resolution = Self {
            question: question.clone(),
            answers: Vec::new(),
        };
        let compiled = resolution.compile(found, limits);
        let checked_ttl = match (compiled, found.security) {
            (true, Security::Bogus) => Some(BOGUS_TTL_SECS),
            (true, _) => None,
            (false, _) => Some(FAILURE_TTL_SECS),
        };
        if let Some(ttl_secs) = checked_ttl {
            let variants = if compiled {
                Variants::CHECKED
            } else {
                Variants::ALL
            };
            resolution.answers.push(Answer {
                variants,
                stored: bare(failure_code(found)),
                ttl_secs,
            });
        }
        resolution
    }

    /// Whether there is data to be told, for clients with CD at least.
    fn compile(&mut self, found: &Findings<'_>, limits: &Limits) -> bool {
        let bogus = found.security == Security::Bogus;
        let scope = if bogus {
            Variants::UNCHECKED
        } else {
            Variants::ALL
        };
        let secure = found.security == Security::Secure;
        if !asks(found.wire, &self.question) {
            return false; // names in stored form point into the question
        }
        let Some((plain, info)) = compile_with(found.wire, limits, false, secure) else {
            return false;
        };
        if !matches!(info.rcode, rcode::NOERROR | rcode::NXDOMAIN | YXDOMAIN) {
            return false;
        }
        let mut ttl_secs = lifetime(&info);
        if bogus {
            ttl_secs = ttl_secs.min(BOGUS_TTL_SECS);
        }
        if !info.has_dnssec {
            self.answers.push(Answer {
                variants: scope,
                stored: plain,
                ttl_secs,
            });
            return true;
        }
        let Some((signed, info)) = compile_with(found.wire, limits, true, secure) else {
            return false;
        };
        // Both live as long as the shorter-lived: what a client gets must not hang on who asked first.
        let ttl_secs = ttl_secs.min(lifetime(&info));
        let without = scope.and(Variants::WITHOUT_DNSSEC);
        let with = scope.and(Variants::WITH_DNSSEC);
        self.answers.push(Answer {
            variants: without,
            stored: plain,
            ttl_secs,
        });
        self.answers.push(Answer {
            variants: with,
            stored: signed,
            ttl_secs,
        });
        true
    }

    /// The question that it answers.
    pub fn question(&self) -> &Question {
        &self.question
    }

    /// The answer for one variant of the question.
    pub(crate) fn stored(&self, variant: Variant) -> Option<Stored<'_>> {
        let answer = self
            .answers
            .iter()
            .find(|answer| answer.variants.contains(variant))?;
        Stored::new(&answer.stored)
    }
}

impl Cache {
    /// Stores every variant of an answer.
    pub fn insert(&self, resolution: &Resolution, now: Now) {
        let Question {
            name,
            qtype,
            qclass,
            ..
        } = &resolution.question;
        let Some(key) = Key::new(name.as_bytes(), *qtype, *qclass, VIEW) else {
            return;
        };
        for answer in resolution
            .answers
            .iter()
            .filter(|answer| answer.ttl_secs > 0)
        {
            let Answer {
                variants,
                stored,
                ttl_secs,
            } = answer;
            let entry = Entry {
                variants: *variants,
                stored,
                ttl_secs: *ttl_secs,
            };
            self.store(&key, &entry, now.secs);
        }
    }
}

/// A DNAME made the name too long (RFC 6672, 2.2); the answer holds the DNAME.
const YXDOMAIN: u16 = 6;
/// As Unbound's `val-bogus-ttl`: bogus data is not looked at again for so long.
const BOGUS_TTL_SECS: u32 = 60;
/// Failures are remembered for so long: RFC 9520, 3.2 asks for 1 second to 5 minutes.
const FAILURE_TTL_SECS: u32 = 5;

fn compile_with(
    wire: &[u8],
    limits: &Limits,
    keep_dnssec: bool,
    secure: bool,
) -> Option<(Vec<u8>, StoredInfo)> {
    let mut stored = Vec::new();
    let info = compile(
        wire,
        &limits.compile_options(keep_dnssec, secure),
        &mut stored,
    )
    .ok()?;
    Some((stored, info))
}

/// How long an answer lives. One without records says nothing of it: then as long as a failure, as in
/// Unbound.
fn lifetime(info: &StoredInfo) -> u32 {
    info.ttl_secs.unwrap_or(FAILURE_TTL_SECS)
}

/// Whether a message has this question.
fn asks(wire: &[u8], question: &Question) -> bool {
    let asked = wire.get(HEADER_BYTES..).map(Name::from_wire);
    let type_at = HEADER_BYTES + question.name.as_bytes().len();
    let expected = [question.qtype.to_be_bytes(), question.qclass.to_be_bytes()];
    asked == Some(Ok(question.name))
        && wire.get(type_at..type_at + 4) == Some(expected.as_flattened())
}

fn failure_code(found: &Findings<'_>) -> u16 {
    match found.rcode {
        rcode::NOERROR | rcode::NXDOMAIN => rcode::SERVFAIL,
        other @ 1..=15 => other,
        _ => rcode::SERVFAIL,
    }
}

fn bare(code: u16) -> Vec<u8> {
    let mut stored = Vec::new();
    StoredBuilder::new(None, code, false).finish(&mut stored);
    stored
}
