//! What keeps a machine from answering DNS at the speed of its network card, and what mends it.
//!
//! Three steps, each of which the next one takes as plain data: [`Facts::gather`] looks at the machine and changes
//! nothing; [`examine`] judges the facts and returns a [`Finding`] for each check; [`text`] and [`json`] show them. What
//! a finding wants mended is a [`Mend`]: a [`Change`] of a runtime setting, which can be made and put back
//! ([`Undo`]), or a command for people.
//!
//! All files are read below one root folder, so that tests can lay out a machine of their own; everything else that is
//! asked (interfaces, routes, programs) is a field of [`Facts`], which tests fill in.

#![forbid(unsafe_code)]

mod change;
mod check;
mod facts;
mod finding;
mod known;
mod present;
mod report;
mod undo;

pub use change::{Change, Command, Flow, Offload};
pub use check::{CHECKS, examine, examine_without_interfaces};
pub use facts::{
    ClosedPath, Conf, Facts, Host, Interface, Interrupt, Limit, LoadRefusal, Master, Place, Probes,
    Process, ProcessKind, Program, Role, Route, Served, Serving, Unit, Wanted, WantedListen,
};
pub use finding::{Finding, Group, Mend, Value, Verdict};
pub use known::{Driver, KernelVersion, driver, drivers};
pub use report::{json, summary, text};
pub use undo::{Undo, UndoError};
