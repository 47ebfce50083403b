//! DNS over TLS to upstreams (RFC 7858), for a libunbound that was built without OpenSSL, as Debian's is.
//!
//! ```text
//! libunbound --- TCP, 127.r.r.r@port, a port for each upstream ---> gate --- TLS, a few connections ---> upstream
//! ```
//!
//! `plan` finds in the configuration's text which upstreams are meant, and rewrites it; `open` binds a port for each and
//! starts the thread; `gate` takes libunbound's connections and queries; `upstream` spreads them over its
//! connections, retries and backs off; `session` is one connection; `trust` says whose certificates count;
//! `frame` and `pad` know the bytes; `count` is for the statistics.
//!
//! Who may use the ports: only this process. The address is a random one of 127.0.0.0/8, and a connection that none of
//! this process's own descriptors is the other end of is closed unread. What makes sure that libunbound reaches the
//! relay, and nothing else on this host, is [`Relay::closing_conf`].

mod count;
mod frame;
mod gate;
mod open;
mod pad;
mod plan;
mod session;
mod trust;
mod upstream;

pub use count::RelayCounts;
pub(crate) use open::Relay;
