use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use arc_swap::ArcSwap;
use sluicegate_conf::{Config, Span};

use crate::acl::Clients;
use crate::cache::Cache;
use crate::chaos::Chaos;
use crate::local::{LocalError, LocalZones};
use crate::response::Responses;
use crate::{Acl, Limits, RateLimit};

/// Everything that decides an answer but the cache: made from one configuration, and immutable but for the trust anchors
/// that are told.
#[derive(Debug)]
pub struct Policy {
    pub(crate) acl: Acl,
    /// What is told of some clients; `None`: all are alike but for access control.
    pub(crate) clients: Option<Clients>,
    /// What becomes of answers by the addresses in them; `None`: nothing.
    pub(crate) responses: Option<Responses>,
    pub(crate) local: LocalZones,
    pub(crate) chaos: Chaos,
    pub(crate) limits: Limits,
    /// `None`: clients may ask as often as they like.
    pub(crate) rate_limit: Option<RateLimit>,
    /// Which of all policies of this process it is.
    pub(crate) generation: u64,
}

/// A mistake in the configuration that shows only when it is compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct PolicyError {
    /// Where it stands.
    pub at: Span,
    /// What is wrong.
    pub what: LocalError,
}

impl Policy {
    /// Compiles a configuration.
    ///
    /// # Errors
    ///
    /// Every mistake in local zones and local data, in the order of the file.
    pub fn build(config: &Config) -> Result<Self, Vec<PolicyError>> {
        let (local, mut errors) = LocalZones::build(config);
        let (clients, wrong) = Clients::build(config);
        errors.extend(wrong);
        let (responses, wrong) = Responses::build(config);
        errors.extend(wrong);
        errors.sort_by_key(|error| (error.at.source, error.at.start));
        if !errors.is_empty() {
            return Err(errors
                .into_iter()
                .map(|error| PolicyError {
                    at: error.at,
                    what: error.value,
                })
                .collect());
        }
        Ok(Self {
            acl: Acl::of(config),
            clients,
            responses,
            local,
            chaos: Chaos::new(&config.chaos),
            limits: Limits::new(config),
            rate_limit: RateLimit::new(config.rate_limit),
            generation: GENERATIONS.fetch_add(1, Relaxed),
        })
    }

    /// Takes over what a former policy has counted of its clients, unless the size of the table has changed. To be
    /// called before this one is put in its place.
    pub fn succeed(&mut self, former: &Self) {
        if let (Some(ours), Some(theirs)) = (&mut self.rate_limit, &former.rate_limit) {
            ours.succeed(theirs);
        }
    }

    /// The trust anchors have changed by themselves (RFC 5011): `trustanchor.unbound` tells these lines from now on,
    /// unless it is hidden.
    pub fn tell_trust_anchors(&self, lines: &[String]) {
        self.chaos.tell_trust_anchors(lines);
    }

    /// How often a client may ask; `None`: as it likes.
    pub fn rate_limit(&self) -> Option<&RateLimit> {
        self.rate_limit.as_ref()
    }

    /// The limits that this policy sets to messages and to what is stored.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }
}

/// Counts policies.
static GENERATIONS: AtomicU64 = AtomicU64::new(1);

/// The server's mind: the policy of the moment, and what it remembers.
#[derive(Debug)]
pub struct Brain {
    /// Exchanged as a whole by a reload.
    pub policy: ArcSwap<Policy>,
    /// Kept over reloads.
    pub cache: Cache,
}

impl Brain {
    /// A brain with an empty cache of at most `cache_bytes`.
    pub fn new(policy: Policy, cache_bytes: u64) -> Self {
        Self {
            policy: ArcSwap::from_pointee(policy),
            cache: Cache::new(cache_bytes),
        }
    }
}
