//! `sluicegate demo`: the server at work on real packets, on any Linux machine with root.
//!
//! The stage is three hosts, each a network namespace without a name, joined by veth pairs:
//!
//! ```text
//!  client                        server                       upstream
//!  10.11.1.2            eth0     10.11.1.1                    198.51.100.53, 203.0.113.53
//!  fc00:dead:cafe:1::2 ------ fc00:dead:cafe:1::1 --- eth1 --- answers everything, 20 ms late
//!     |                                                          |
//!     +--- eth1: to ask the upstream directly -------------------+
//! ```
//!
//! Namespaces, interfaces, the file system with the configuration and the control socket, and the server's process all
//! belong to this process and end with it, even if it is killed: nothing is left behind.

mod asker;
mod host;
mod measure;
mod picture;
mod responder;
mod stage;
mod tour;
mod watch;

pub(crate) use host::Host;
pub(crate) use tour::run;
