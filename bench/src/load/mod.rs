//! What servers are asked with: kxdpgun for many queries, dnsperf and a client of our own for round trips.

mod check;
mod dnsperf;
mod idle;
mod kxdpgun;
mod misses;
mod single;
mod warm;

pub(crate) use check::check;
pub(crate) use dnsperf::{flows, half_load};
pub(crate) use idle::idle;
pub(crate) use kxdpgun::kxdpgun;
pub(crate) use misses::{MAX_ROUNDS, misses};
pub(crate) use single::{Wait, single};
pub(crate) use warm::warm;

use crate::contender::Running;
use crate::data::QueryFile;
use crate::plan::Case;
use crate::site::Site;

/// A server that is ready to be asked.
pub(crate) struct Target<'a> {
    pub(crate) case: &'a Case,
    pub(crate) site: &'a Site,
    pub(crate) server: &'a Running,
    pub(crate) queries: &'a QueryFile,
}
