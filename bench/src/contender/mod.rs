//! The servers that are measured: how each is configured and started.

mod kind;
mod knot;
mod limits;
mod powerdns;
mod running;
mod unbound;

pub(crate) use kind::Contender;
pub(crate) use limits::echo;
pub(crate) use running::Running;
