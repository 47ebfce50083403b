//! DNS over the kernel's UDP sockets: one worker for each core, each reading every listen address.

mod endpoint;
mod handle;
mod ready;
mod receive;
mod respond;
mod send;
mod sourced;
#[cfg(test)]
mod tests;
mod worker;

pub(crate) use endpoint::{Endpoint, LocalAddress};
pub(crate) use handle::{Command, WorkerHandle};
