use sluicegate_dns::{Ede, HEADER_BYTES, Name, Stored, StoredInfo, compile, rcode};

use crate::cache::{Cache, Entry, Variant, Variants};
use crate::failure::{
    BOGUS_VIEW, Failure, FailureKind, MAX_EDE_TEXT_BYTES, NO_REACHABLE_AUTHORITY, Subject,
    Unresolved,
};
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
    /// Why the data is bogus (RFC 8914).
    pub ede: Option<Ede<'a>>,
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
    /// With `trouble`, those for clients with CD only.
    answers: Vec<Answer>,
    trouble: Option<Trouble>,
}

/// One stored answer and the variants of the question that it serves.
#[derive(Debug)]
struct Answer {
    variants: Variants,
    stored: Vec<u8>,
    ttl_secs: u32,
}

/// Why there is no good answer.
#[derive(Debug)]
struct Trouble {
    kind: FailureKind,
    rcode: u16,
    ede_code: u16,
    text: String,
}

/// What a client is told.
pub(crate) enum Told<'a> {
    Answer(Stored<'a>),
    /// That the answer is bogus.
    Bogus(Failure<'a>),
    /// That there is none, unless an expired one is at hand.
    Failed(Failure<'a>),
}

impl Resolution {
    /// Compiles what was found. What can't be compiled, and what is bogus, is SERVFAIL; bogus data is kept
    /// for clients with CD.
    pub fn new(question: &Question, found: &Findings<'_>, limits: &Limits) -> Self {
        let mut resolution = Self {
            question: question.clone(),
            answers: Vec::new(),
            trouble: None,
        };
        let compiled = resolution.compile(found, limits);
        resolution.trouble = match (compiled, found.security) {
            (true, Security::Bogus) => Some(Trouble {
                kind: FailureKind::Bogus,
                rcode: rcode::SERVFAIL,
                ede_code: found.ede.map_or(DNSSEC_BOGUS, |ede| ede.code),
                text: limits.bogus_text(found.ede).to_owned(),
            }),
            (true, _) => None,
            (false, _) => Some(Trouble {
                kind: FailureKind::Failed,
                rcode: failure_code(found),
                ede_code: NO_REACHABLE_AUTHORITY,
                text: String::new(),
            }),
        };
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
        if !asks(found.wire, &self.question) {
            return false; // names in stored form point into the question
        }
        let Some((plain, info)) = compile_with(found, limits, false) else {
            return false;
        };
        if !matches!(info.rcode, rcode::NOERROR | rcode::NXDOMAIN | YXDOMAIN) {
            return false;
        }
        let ttl_secs = lifetime(&info);
        if !info.has_dnssec {
            self.answers.push(Answer {
                variants: scope,
                stored: plain,
                ttl_secs,
            });
            return true;
        }
        let Some((signed, info)) = compile_with(found, limits, true) else {
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

    /// Whether there is a good answer: neither bogus nor a failure.
    pub fn is_good(&self) -> bool {
        self.trouble.is_none()
    }

    /// What a client with this variant of the question is told.
    pub(crate) fn told(&self, variant: Variant) -> Told<'_> {
        let mut answers = self.answers.iter();
        let stored = answers
            .find(|answer| answer.variants.contains(variant))
            .and_then(|answer| Stored::new(&answer.stored));
        match (stored, &self.trouble) {
            (Some(stored), _) => Told::Answer(stored),
            (None, Some(trouble)) if trouble.kind == FailureKind::Bogus => {
                Told::Bogus(trouble.failure())
            }
            (None, Some(trouble)) => Told::Failed(trouble.failure()),
            // Without trouble there is an answer for every variant.
            (None, None) => Told::Failed(Failure::of(Unresolved::NoAnswer)),
        }
    }
}

impl Trouble {
    fn failure(&self) -> Failure<'_> {
        let cut = self.text.floor_char_boundary(MAX_EDE_TEXT_BYTES);
        Failure {
            kind: self.kind,
            rcode: self.rcode,
            attempts: 0,
            ede: Ede {
                code: self.ede_code,
                text: &self.text[..cut],
            },
        }
    }
}

impl Cache {
    /// Stores every variant of an answer.
    pub fn insert(&self, resolution: &Resolution, limits: &Limits, now: Now) {
        self.insert_wanted(resolution, Variants::ALL, limits, now);
    }

    /// Stores those variants of a good answer that somebody has asked for; all, where one serves all. What is no good answer
    /// is remembered beside the last good one, and does not take its place.
    ///
    /// Most clients want no signatures, others want them always: to keep both forms of each answer would take
    /// several times the memory of the one. Who wants the other form asks the engine, which has its parts at hand.
    pub fn insert_wanted(
        &self,
        resolution: &Resolution,
        wanted: Variants,
        limits: &Limits,
        now: Now,
    ) {
        let subject = Subject::of(&resolution.question);
        let view = match &resolution.trouble {
            None => VIEW,
            Some(_) => BOGUS_VIEW,
        };
        for answer in &resolution.answers {
            let Answer {
                variants,
                stored,
                ttl_secs,
            } = answer;
            if resolution.trouble.is_none() && variants.and(wanted).is_empty() {
                continue;
            }
            let entry = Entry {
                variants: *variants,
                stored,
                ttl_secs: *ttl_secs,
                keep_secs: limits.keep_secs(),
            };
            if let Some(key) = subject.key(view) {
                self.store(&key, &entry, now.secs);
            }
        }
        match &resolution.trouble {
            None => self.forget_failure(&resolution.question),
            Some(trouble) => {
                self.remember_failure(&resolution.question, trouble.failure(), limits, now);
            }
        }
    }
}

/// A DNAME made the name too long (RFC 6672, 2.2); the answer holds the DNAME.
const YXDOMAIN: u16 = 6;
/// An answer that does not say how long it lives does so for this long, as in Unbound.
const UNTOLD_TTL_SECS: u32 = 5;

fn compile_with(
    found: &Findings<'_>,
    limits: &Limits,
    keep_dnssec: bool,
) -> Option<(Vec<u8>, StoredInfo)> {
    let mut options = limits.compile_options(keep_dnssec, found.security == Security::Secure);
    if found.security == Security::Bogus {
        options.max_ttl_secs = options.max_ttl_secs.min(limits.bogus_ttl_secs());
    }
    let mut stored = Vec::new();
    let info = compile(found.wire, &options, &mut stored).ok()?;
    Some((stored, info))
}

/// How long an answer lives. One without records says nothing of it.
fn lifetime(info: &StoredInfo) -> u32 {
    info.ttl_secs.unwrap_or(UNTOLD_TTL_SECS)
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

/// INFO-CODE of RFC 8914.
const DNSSEC_BOGUS: u16 = 6;
