//! The log: `[epoch] sluicegate[pid:thread] level: text`, as Unbound writes it, to standard error, a file or
//! syslog, and changed by a reload.

mod format;
mod layer;
mod sink;

pub(crate) use layer::{Log, Target};
