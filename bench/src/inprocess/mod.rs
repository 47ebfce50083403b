//! What an answer costs without a network: instructions, nanoseconds, bytes.

mod fixture;
mod gate;
mod operation;
mod timed;

pub(crate) use gate::{count, count_all, gate};
pub(crate) use operation::Operation;
pub(crate) use timed::measure;
