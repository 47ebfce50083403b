//! Processors, rounds, and what they gave.

mod affinity;
mod machine;
mod processors;
mod results;

pub(crate) use affinity::{pin_children, pin_thread};
pub(crate) use processors::{Processors, resident_bytes};
pub(crate) use results::{CaseResult, Figure, Load, Machine, Results, Round, Row, Spread};
