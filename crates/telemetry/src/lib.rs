//! Counters that one worker writes and anyone reads.
//!
//! Each worker owns one [`Counters`]; nothing is shared between workers on the packet path. A reader
//! sums them. Every way a packet can end has a [`Counter`], so that *received = replied + dropped +
//! handed over* can be checked from outside.

#![forbid(unsafe_code)]

mod counters;

pub use counters::{Counter, Counters, DropReason, Snapshot};
