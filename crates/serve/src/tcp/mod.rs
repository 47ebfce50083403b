//! DNS over TCP (RFC 1035 4.2.2, RFC 7766): all connections on one single-threaded runtime.
//!
//! Queries of one connection are answered as their answers come (RFC 7766, 6.2.1.1); at most
//! [`IN_FLIGHT`](connection::IN_FLIGHT) wait for the engine, and no more is read while that many wait or while the
//! client does not take its answers. When all connections are taken, the one that has been idle for
//! longest makes room.

mod connection;
mod frame;
mod handle;
mod limits;
mod listener;
mod service;
#[cfg(test)]
mod tests;

pub(crate) use handle::{Command, TcpHandle, TcpSettings};
