use std::time::Duration;

use sluicegate_conf::{Config, ExpiredConfig};
use sluicegate_dns::{CompileOptions, Ede, Query, RenderOptions};

use crate::{Now, Request, Transport};

/// The limits that a configuration sets to messages and to what is stored.
#[derive(Clone, Debug)]
pub struct Limits {
    edns_buffer_bytes: u16,
    max_udp_bytes: usize,
    pub(crate) deny_any: bool,
    /// What TCP clients are told of their idle time-out, in units of 100 ms.
    keepalive: Option<u16>,
    /// `nsid`.
    nsid: Option<Box<[u8]>>,
    min_ttl_secs: u32,
    max_ttl_secs: u32,
    min_negative_ttl_secs: u32,
    max_negative_ttl_secs: u32,
    bogus_ttl_secs: u32,
    /// An answer is due for a refresh when what is left of its life, times this, is no more than its age.
    refresh_factor: u64,
    expired: ExpiredConfig,
    tells_bogus_text: bool,
    pub(crate) rotates: bool,
    /// `ede`, `ede-serve-expired`.
    explains: [Option<bool>; 2],
}

impl Limits {
    pub(crate) fn new(config: &Config) -> Self {
        let keepalive = u16::try_from(config.tcp.idle_timeout_ms / 100).unwrap_or(u16::MAX);
        Self {
            edns_buffer_bytes: config.message.edns_buffer_bytes,
            max_udp_bytes: usize::from(config.message.max_udp_bytes),
            deny_any: config.message.deny_any,
            keepalive: config.message.edns_tcp_keepalive.then_some(keepalive),
            nsid: config.chaos.nsid.as_deref().map(Box::from),
            min_ttl_secs: config.cache.min_ttl_secs,
            max_ttl_secs: config.cache.max_ttl_secs,
            min_negative_ttl_secs: config.cache.min_negative_ttl_secs,
            max_negative_ttl_secs: config.cache.max_negative_ttl_secs,
            bogus_ttl_secs: config.cache.bogus_ttl_secs,
            refresh_factor: if config.cache.prefetch {
                PREFETCH_FACTOR
            } else {
                NEVER
            },
            expired: config.cache.expired,
            tells_bogus_text: config.log.val_log_level >= 2,
            rotates: config.message.rrset_roundrobin,
            explains: [config.message.ede, config.message.ede_serve_expired],
        }
    }

    /// Whether an answer of this age, with so much left of its life, is to be refreshed: in the last tenth, as in
    /// Unbound; of an answer that lives for less than ten seconds, but at least four, in its last one.
    #[inline]
    pub(crate) fn is_due(&self, age_secs: u32, left_secs: u32) -> bool {
        u64::from(left_secs).saturating_mul(self.refresh_factor)
            <= u64::from(age_secs) + PREFETCH_GRACE_SECS
    }

    /// For how many seconds an answer of this age, with so much left of its life, neither expires nor is due.
    pub(crate) fn quiet_secs(&self, age_secs: u32, left_secs: u32) -> u32 {
        let factor = u128::from(self.refresh_factor);
        let before_due = (u128::from(left_secs) * factor)
            .saturating_sub(u128::from(age_secs) + u128::from(PREFETCH_GRACE_SECS))
            .div_ceil(factor + 1);
        u32::try_from(before_due).map_or(left_secs, |secs| secs.min(left_secs))
    }

    /// The time from which on an answer may have expired and still be told; `None`: none may.
    pub(crate) fn expired_since(&self, now: Now) -> Option<u32> {
        self.expired
            .serve
            .then(|| now.secs.saturating_sub(self.keep_secs()))
    }

    /// For how long after its end an answer is of use; 0: not at all.
    pub(crate) fn keep_secs(&self) -> u32 {
        match (self.expired.serve, self.expired.ttl_secs) {
            (false, _) => 0,
            (true, 0) => u32::MAX,
            (true, secs) => secs,
        }
    }

    /// The TTL of answers that have expired; `None`: they are not told.
    pub(crate) fn expired_reply_ttl_secs(&self) -> Option<u32> {
        self.expired.serve.then_some(self.expired.reply_ttl_secs)
    }

    /// Whether a client gets what has expired before a fresh answer is looked for.
    pub(crate) fn tells_expired_at_once(&self) -> bool {
        self.expired.serve && self.expired.client_timeout_ms == 0
    }

    /// How long a client for whom there is an expired answer waits for a fresh one.
    pub fn client_timeout(&self) -> Duration {
        Duration::from_millis(self.expired.client_timeout_ms.into())
    }

    /// Whether a failed attempt to refresh starts the time anew for which what has expired may be told.
    pub(crate) fn restarts_expired(&self) -> bool {
        self.expired.serve && self.expired.ttl_reset
    }

    /// Whether clients are told why they get what has expired.
    pub(crate) fn explains_expired(&self) -> bool {
        let [ede, expired] = self.explains;
        ede != Some(false) && expired != Some(false)
    }

    /// Whether clients are told why a question failed.
    pub(crate) fn explains_failures(&self) -> bool {
        let [ede, _] = self.explains;
        ede != Some(false)
    }

    /// What clients are told of bogus data beside a code: nothing, unless it is logged at such length too.
    pub(crate) fn bogus_text<'a>(&self, ede: Option<Ede<'a>>) -> &'a str {
        match ede {
            Some(ede) if self.tells_bogus_text => ede.text,
            _ => "",
        }
    }

    /// Whether clients are told why they were turned away, as in Unbound only when asked for.
    pub(crate) fn explains_refusals(&self) -> bool {
        self.explains[0] == Some(true)
    }

    /// `val-bogus-ttl`.
    pub(crate) fn bogus_ttl_secs(&self) -> u32 {
        self.bogus_ttl_secs
    }

    /// How the reply to this query is made.
    #[inline]
    pub(crate) fn render_options(
        &self,
        query: &Query,
        request: &Request,
        age_secs: u32,
    ) -> RenderOptions<'_> {
        let (ours, keepalive) = match request.transport {
            Transport::Udp => (query.udp_limit(self.max_udp_bytes), None),
            Transport::Tcp { keepalive } => {
                let asked = keepalive || query.edns.is_some_and(|edns| edns.keepalive);
                (usize::from(u16::MAX), self.keepalive.filter(|_| asked))
            }
        };
        RenderOptions {
            age_secs,
            limit_bytes: ours.min(request.path_limit_bytes),
            udp_size: self.edns_buffer_bytes,
            recursion_available: true,
            ede: None,
            keepalive,
            nsid: self
                .nsid
                .as_deref()
                .filter(|_| query.edns.is_some_and(|edns| edns.nsid)),
        }
    }

    /// The longest UDP reply for anybody by a way that takes so many octets.
    #[inline]
    pub(crate) fn udp_limit(&self, path_limit_bytes: usize) -> usize {
        self.max_udp_bytes.min(path_limit_bytes)
    }

    /// The size that our OPT record announces.
    pub(crate) fn udp_size(&self) -> u16 {
        self.edns_buffer_bytes
    }

    pub(crate) fn compile_options(&self, keep_dnssec: bool, secure: bool) -> CompileOptions {
        CompileOptions {
            keep_dnssec,
            secure,
            min_ttl_secs: self.min_ttl_secs,
            max_ttl_secs: self.max_ttl_secs,
            min_negative_ttl_secs: self.min_negative_ttl_secs,
            max_negative_ttl_secs: self.max_negative_ttl_secs,
        }
    }
}

/// A tenth is left when nine times that is the age.
const PREFETCH_FACTOR: u64 = 9;
/// Added to the age: of 4 seconds, the last one is due.
const PREFETCH_GRACE_SECS: u64 = 6;
/// A factor with which no answer is due.
const NEVER: u64 = 1 << 33;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_tenth_is_due() {
        let limits = |prefetch| {
            let mut config = Config::default();
            config.cache.prefetch = prefetch;
            Limits::new(&config)
        };
        // TTL, and with how many seconds left it is due; 0: never.
        for (ttl, due) in [
            (1, 0),
            (3, 0),
            (4, 1),
            (9, 1),
            (10, 1),
            (20, 2),
            (300, 30),
            (86_400, 8640),
        ] {
            for left in 1..=ttl {
                let is_due = limits(true).is_due(ttl - left, left);
                assert_eq!(is_due, left <= due, "{left} of {ttl}");
                assert!(!limits(false).is_due(ttl - left, left));
            }
        }
        assert!(!limits(false).is_due(u32::MAX, 1));
        assert!(!limits(false).is_due(0, u32::MAX));
    }

    #[test]
    fn an_answer_is_quiet_until_it_is_due_or_expires() {
        for prefetch in [false, true] {
            let mut config = Config::default();
            config.cache.prefetch = prefetch;
            let limits = Limits::new(&config);
            for ttl in [1, 3, 4, 9, 10, 11, 20, 77, 300] {
                for age in 0..ttl {
                    let quiet = limits.quiet_secs(age, ttl - age);
                    let first = (age..ttl).find(|&age| limits.is_due(age, ttl - age));
                    assert_eq!(quiet, first.unwrap_or(ttl) - age, "{age} of {ttl}");
                }
            }
        }
    }
}
