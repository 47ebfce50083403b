//! The one place where a DNS answer is decided: access control, local data, cache.

#![forbid(unsafe_code)]

#[cfg(not(loom))]
mod acl;
pub mod cache;

#[cfg(not(loom))]
pub use acl::Acl;
