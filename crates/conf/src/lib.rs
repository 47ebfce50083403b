//! `unbound.conf`, read as Unbound reads it, with every mistake named by file, line and column.

#![forbid(unsafe_code)]

mod config;

pub use config::*;
