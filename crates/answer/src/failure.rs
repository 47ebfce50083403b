use sluicegate_dns::{Ede, Name};

use crate::cache::{Cache, Entry, Key, Sought, Variant, Variants};
use crate::{Limits, Now, Question};

/// Why a client that waits gets no fresh answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unresolved {
    /// None came in time.
    NoAnswer,
    /// None has come yet: there is an expired one, and the time is over for which its client was to wait.
    Late,
    /// There was no room for the question.
    Overloaded,
    /// The server is ending.
    Stopping,
}

impl Unresolved {
    /// The extended error of a SERVFAIL for this reason (RFC 8914, 4).
    pub(crate) const fn ede(self) -> Ede<'static> {
        let code = match self {
            Self::NoAnswer | Self::Late => NO_REACHABLE_AUTHORITY,
            Self::Overloaded => NETWORK_ERROR,
            Self::Stopping => NOT_READY,
        };
        Ede { code, text: "" }
    }
}

/// What is remembered of a question that has no good answer (RFC 9520). It stands in the cache beside the
/// question's last good answer, under a view of its own, so that it never takes that one's place.
///
/// ```text
/// 0     1     2        3..5     5..
/// |kind |rcode|attempts|EDE code|EDE text|
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Failure<'a> {
    pub(crate) kind: FailureKind,
    /// What the client is told.
    pub(crate) rcode: u16,
    /// How often it has failed in a row.
    pub(crate) attempts: u8,
    pub(crate) ede: Ede<'a>,
}

/// How a question has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Nobody gave an answer that could be used.
    Failed,
    /// There was no answer yet when its clients should have had one; it may still come.
    Late,
    /// The answer is bogus. What it says is beside this, for clients with CD.
    Bogus,
}

impl<'a> Failure<'a> {
    pub(crate) const fn of(why: Unresolved) -> Self {
        Self {
            kind: match why {
                Unresolved::Late => FailureKind::Late,
                _ => FailureKind::Failed,
            },
            rcode: sluicegate_dns::rcode::SERVFAIL,
            attempts: 0,
            ede: why.ede(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind as u8, self.rcode as u8, self.attempts];
        bytes.extend(self.ede.code.to_le_bytes());
        bytes.extend(self.ede.text.as_bytes());
        bytes
    }

    fn decode(bytes: &'a [u8]) -> Option<Self> {
        let ([kind, rcode, attempts, code @ ..], text) = bytes.split_first_chunk::<5>()?;
        let kind = match kind {
            0 => FailureKind::Failed,
            1 => FailureKind::Late,
            _ => FailureKind::Bogus,
        };
        Some(Self {
            kind,
            rcode: u16::from(*rcode),
            attempts: *attempts,
            ede: Ede {
                code: u16::from_le_bytes(*code),
                text: std::str::from_utf8(text).ok()?,
            },
        })
    }
}

/// A question as the cache knows it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) name: &'a Name,
    pub(crate) qtype: u16,
    pub(crate) qclass: u16,
}

impl<'a> Subject<'a> {
    pub(crate) fn of(question: &'a Question) -> Self {
        Self {
            name: &question.name,
            qtype: question.qtype,
            qclass: question.qclass,
        }
    }

    pub(crate) fn key(&self, view: u16) -> Option<Key<'a>> {
        Key::new(self.name.as_bytes(), self.qtype, self.qclass, view)
    }
}

impl Cache {
    /// Looks for what is remembered of a question's failure; `chosen` is told it, and whether it still holds.
    pub(crate) fn failure<R>(
        &self,
        subject: &Subject<'_>,
        now: Now,
        scratch: &mut [u8],
        chosen: impl FnOnce(Failure<'_>, bool) -> R,
    ) -> Option<R> {
        let key = subject.key(FAILURE_VIEW)?;
        let place = self.place(&key);
        let variant = Variant {
            dnssec_ok: false,
            checking_disabled: false,
        };
        let sought = Sought {
            key,
            place,
            variant,
        };
        // Seen from a while ago, a failure that has ended since is still there.
        let ago = RECENT_SECS.min(now.secs);
        let hit = self.lookup(&sought, now.secs - ago, scratch)?;
        let holds = hit.left_secs > ago;
        Failure::decode(hit.stored).map(|failure| chosen(failure, holds))
    }

    /// How often in a row this question has failed of late; 0: not at all.
    pub fn failures(&self, question: &Question, now: Now) -> u8 {
        let mut scratch = [0; MAX_FAILURE_BYTES.next_multiple_of(8)];
        let subject = Subject::of(question);
        let attempts = self.failure(&subject, now, &mut scratch, |failure, _| {
            match failure.kind {
                FailureKind::Failed | FailureKind::Late => failure.attempts,
                FailureKind::Bogus => 0,
            }
        });
        attempts.unwrap_or(0)
    }

    /// Whether this question has failed, and is to be left alone for a while.
    pub fn is_failing(&self, question: &Question, now: Now) -> bool {
        let mut scratch = [0; MAX_FAILURE_BYTES.next_multiple_of(8)];
        let subject = Subject::of(question);
        self.failure(&subject, now, &mut scratch, |_, holds| holds)
            .unwrap_or(false)
    }

    /// Remembers that a question has no answer yet, for a time that grows with each failure in a row. What
    /// says nothing about the question (no room, the server's end) is not remembered.
    pub fn fail(&self, question: &Question, why: Unresolved, limits: &Limits, now: Now) {
        let says_nothing = matches!(why, Unresolved::Overloaded | Unresolved::Stopping);
        // Each client that waits for the one question may come to tell this.
        if !says_nothing && !self.is_failing(question, now) {
            self.remember_failure(question, Failure::of(why), limits, now);
        }
    }

    /// As [`Cache::fail`], for a failure with reasons of its own. What it says of `attempts` does not count.
    pub(crate) fn remember_failure(
        &self,
        question: &Question,
        failure: Failure<'_>,
        limits: &Limits,
        now: Now,
    ) {
        let attempts = self.failures(question, now).saturating_add(1);
        let ttl_secs = match failure.kind {
            FailureKind::Bogus => limits.bogus_ttl_secs(),
            FailureKind::Failed | FailureKind::Late if attempts == 1 => FIRST_BACKOFF_SECS,
            FailureKind::Failed | FailureKind::Late => BACKOFF_SECS,
        };
        let subject = Subject::of(question);
        if let Some(key) = subject.key(FAILURE_VIEW) {
            let stored = Failure {
                attempts,
                ..failure
            };
            let entry = Entry {
                variants: Variants::ALL,
                stored: &stored.encode(),
                ttl_secs,
                keep_secs: limits.keep_secs(),
            };
            self.store(&key, &entry, now.secs);
        }
        if failure.kind != FailureKind::Bogus
            && limits.restarts_expired()
            && let Some(key) = subject.key(crate::pipeline::VIEW)
        {
            self.restart_expired(&key, now.secs);
        }
    }

    /// Forgets that a question has failed.
    pub(crate) fn forget_failure(&self, question: &Question) {
        if let Some(key) = Subject::of(question).key(FAILURE_VIEW) {
            self.remove(&key);
        }
    }
}

/// The view that failures stand under, and that of bogus data.
const FAILURE_VIEW: u16 = 0xfff;
pub(crate) const BOGUS_VIEW: u16 = 0xffe;

/// For how long after its end a failure counts as the last one before the next.
const RECENT_SECS: u32 = 30;

/// A first failure is held for so long, RFC 9520's least (3.2) ...
const FIRST_BACKOFF_SECS: u32 = 1;
/// ... and each further one in a row for so long. Not longer, so that a name is found within 5 seconds once its
/// servers are back; not shorter, as libunbound itself repeats a failure for 5 seconds: this and the first one
/// together.
const BACKOFF_SECS: u32 = 4;

/// The text of an extended error is cut to this.
pub(crate) const MAX_EDE_TEXT_BYTES: usize = 128;
const MAX_FAILURE_BYTES: usize = 5 + MAX_EDE_TEXT_BYTES;

/// INFO-CODEs of RFC 8914.
pub(crate) const STALE_ANSWER: u16 = 3;
pub(crate) const STALE_NXDOMAIN: u16 = 19;
pub(crate) const NO_REACHABLE_AUTHORITY: u16 = 22;
const NETWORK_ERROR: u16 = 23;
const NOT_READY: u16 = 14;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_read_as_it_was_written() {
        for kind in [FailureKind::Failed, FailureKind::Late, FailureKind::Bogus] {
            for text in ["", "no signatures"] {
                let failure = Failure {
                    kind,
                    rcode: 5,
                    attempts: 200,
                    ede: Ede { code: 10, text },
                };
                assert_eq!(Failure::decode(&failure.encode()), Some(failure));
            }
        }
        assert_eq!(Failure::decode(&[0; 4]), None);
        assert_eq!(Failure::decode(&[0, 0, 0, 0, 0, 0xff]), None);
    }
}
