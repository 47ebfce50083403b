//! What an answer costs without a network, step by step and whole.
//!
//! - `fixture`: a server without sockets, and the frames that it is asked with;
//! - `operation`: the steps of an answer, each to be repeated as often as one likes;
//! - `gate`: their instructions, counted by callgrind and compared with `bench/instructions.txt`.
//!
//! A package of its own, so that the gate is built of little and without delay. The `gate` profile makes one unit of code
//! of it: what is inlined depends on the code alone, neither on the folder nor on what else is built.
#![forbid(unsafe_code)]

mod fixture;
mod frame;
mod gate;
mod operation;

pub use fixture::{Fixture, MAX_BATCH, known, local};
pub use frame::{BUFFER_BYTES, frame, renumber};
pub use gate::{Tally, compare, count, count_all, file};
pub use operation::{Operation, access_list};
pub use sluicegate_answer::{Now, Prepared, RateLimit};
pub use sluicegate_conf::RateLimitConfig;
