//! The one place where a DNS answer is decided: access control, local data, cache.
