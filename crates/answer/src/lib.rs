//! The one place where a DNS answer is decided: access control, local data, cache.
//!
//! [`answer`] takes a message and leaves its reply in the same buffer, or says that the answer must be found
//! first. It is synchronous, knows no socket and no clock but the time it is handed, takes no lock and
//! allocates nothing. Every transport calls it, so that every transport gives the same answer.
//!
//! | what | type | made |
//! |---|---|---|
//! | who may ask and how often, what is local, what the limits are | [`Policy`] | by each (re)load, from [`sluicegate_conf::Config`] |
//! | what was found before | [`Cache`] | once |
//! | both | [`Brain`] | once |
//! | whole replies, by their queries' octets | [`Packets`] | once for each worker |
//! | an answer found for a miss | [`Resolution`] | by the hand-off, for all that wait and for the cache |

#![forbid(unsafe_code)]

#[cfg(not(loom))]
mod acl;
#[cfg(not(loom))]
mod alias;
pub mod cache;
#[cfg(not(loom))]
mod chaos;
#[cfg(not(loom))]
mod exchange;
#[cfg(not(loom))]
mod failure;
#[cfg(not(loom))]
mod limits;
#[cfg(not(loom))]
mod local;
#[cfg(not(loom))]
mod outdated;
#[cfg(not(loom))]
mod packets;
#[cfg(not(loom))]
mod pipeline;
#[cfg(not(loom))]
mod plain;
#[cfg(not(loom))]
mod policy;
#[cfg(not(loom))]
mod prefetch;
#[cfg(not(loom))]
mod prepared;
#[cfg_attr(loom, expect(dead_code, reason = "the loom tests need one part of it"))]
mod ratelimit;
#[cfg(not(loom))]
mod refresh;
#[cfg(not(loom))]
mod request;
#[cfg(not(loom))]
mod resolution;
#[cfg(not(loom))]
mod response;
#[cfg(not(loom))]
mod stale;

#[cfg(not(loom))]
mod exports {
    pub use crate::acl::Acl;
    pub use crate::cache::{Cache, CacheStats};
    pub use crate::failure::Unresolved;
    pub use crate::limits::Limits;
    pub use crate::local::{LocalError, RdataError, RecordError};
    pub use crate::outdated::Outdated;
    pub use crate::packets::{Packets, Repeated, Sighting, Ticket};
    pub use crate::pipeline::{
        Context, Fallback, answer, answer_and_learn, answer_known, answer_prepared, fail, finish,
        further, has_expired,
    };
    pub use crate::policy::{Brain, Policy, PolicyError};
    pub use crate::prepared::{FETCH_AHEAD, Prepared, fetch, gather, prepare};
    pub use crate::ratelimit::{Exceeded, RateLimit};
    pub use crate::refresh::Refresh;
    pub use crate::request::{Now, Question, Request, Transport, Verdict};
    pub use crate::resolution::{Findings, Resolution, Security};
}
#[cfg(not(loom))]
pub use exports::*;
