//! What comes back.

use crate::{Question, ede};

/// How a question ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What was asked.
    pub question: Question,
    /// What the engine found, or why it could not.
    pub result: Result<Answer, Failure>,
    /// Whether another engine, perhaps with another configuration, had taken over from the one that found it. It is for
    /// those who have asked before that, and not to be kept.
    pub superseded: bool,
}

/// The engine's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The answer's RCODE, 0 to 15. SERVFAIL (2) with an empty `wire` is libunbound's own verdict that the
    /// question can't be answered (no server reachable, loop, limits).
    pub rcode: u8,
    /// The validator's verdict.
    pub security: Security,
    /// Why the data is bogus, in libunbound's words, when it says so.
    pub why_bogus: Option<String>,
    /// Whether libunbound's `ratelimit` stopped it.
    pub ratelimited: bool,
    /// The whole message, ID 0, with all sections, DNSSEC records and an OPT record. Bogus data is in it
    /// too: whoever passes it on must look at `security` first. Empty when there is only an `rcode`.
    pub wire: Vec<u8>,
}

impl Answer {
    /// The INFO-CODE of the Extended DNS Error (RFC 8914) that tells why the data is bogus; `None` when it is
    /// not. 6 (DNSSEC Bogus) when nothing more is known, as when libunbound had the verdict in its cache.
    pub fn ede(&self) -> Option<u16> {
        let why = self.why_bogus.as_deref().unwrap_or_default();
        (self.security == Security::Bogus).then(|| ede::info_code(why))
    }
}

/// The validator's verdict on an answer (RFC 4035, 4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Security {
    /// Not signed, or below no trust anchor.
    Insecure,
    /// Signed and proven.
    Secure,
    /// Should be proven and isn't: only for clients that set CD.
    Bogus,
}

/// Why there is no answer. None of these says anything about the name: don't cache them for long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The waiter's deadline passed. The engine may still find the answer: it then comes as an
    /// [`Outcome`] without waiters, worth caching.
    #[error("no answer within the deadline")]
    Deadline,
    /// The engine process ended while it worked on this, as often as it may be asked again.
    #[error("the engine ended while working on it")]
    EngineEnded,
    /// The engine had too much in flight.
    #[error("the engine has too many questions in flight")]
    EngineFull,
    /// libunbound would not take the question.
    #[error("the engine refused the question")]
    Refused,
}
