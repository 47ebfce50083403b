//! A whole Internet on one host: a root, top-level domains and the zones below, with their own trust anchor and root
//! hints, for resolvers under test.
//!
//! - [`Zone`]: what a zone holds, how it is signed, what its parent says of it and how its server behaves;
//! - [`zones()`]: the zones of the usual world;
//! - [`World`]: all that running: zones signed by BIND's `dnssec-signzone` and served by Knot DNS, one process for each
//!   level of delegation so that nobody can answer for its children, and our own [`Manners`] in front of the servers that
//!   misbehave.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use sluicegate_lab::{netns::Netns, server::server, world::{World, zones}};
//!
//! let world = World::start(zones())?;
//! let resolver = Netns::new()?;
//! world.join(&resolver, "eth1")?;
//! let conf = format!("server:\n  interface: 127.0.0.1\n{}", world.resolver_conf());
//! let server = server(&conf).start(&resolver)?;
//! # Ok(())
//! # }
//! ```

mod authority;
mod front;
mod internet;
mod manners;
mod place;
mod signer;
mod zone;
mod zones;

pub use internet::World;
pub use manners::{FORGED, Manners};
pub use zone::{Algorithm, Denial, Ds, Family, Period, Signing, Zone};
pub use zones::zones;
