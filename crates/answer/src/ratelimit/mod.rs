//! How often a client may ask.
//!
//! - `limit`: what is decided of a query;
//! - `clients`: the table of those who asked lately, and `set`: one cache line of it, which threads change at once without
//!   a lock;
//! - `notices`: who has exceeded the limit, for the operator.

#[cfg(not(loom))]
mod clients;
#[cfg(not(loom))]
mod limit;
#[cfg(not(loom))]
mod notices;
mod set;

#[cfg(not(loom))]
pub use limit::RateLimit;
#[cfg(not(loom))]
pub(crate) use limit::exceeds;
#[cfg(not(loom))]
pub use notices::Exceeded;

#[cfg(test)]
#[cfg(loom)]
mod loom_tests;
#[cfg(test)]
#[cfg(not(loom))]
mod tests;
