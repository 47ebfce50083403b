//! Listen addresses: which are wanted, their kernel sockets, and who stands in the way.
//!
//! For every address there is one UDP socket for each UDP worker (an SO_REUSEPORT group) and one TCP
//! listener. They are always open, whatever XDP does. Addresses that are not on this machine (yet) are
//! tried again when the machine's addresses change, and now and then.

mod bind;
mod holder;
mod inherited;
mod set;
mod spread;
mod wanted;

pub use bind::{BindError, Transport};
pub(crate) use bind::{adopt_udp, group_udp, listen_tcp, open_tcp, open_udp, probe};
pub use holder::Holder;
pub(crate) use holder::is_ours;
pub(crate) use inherited::Inherited;
pub(crate) use set::{Changes, ListenSet, Sockets};
pub(crate) use spread::Spread;
pub(crate) use wanted::{LocalAddresses, Wanted, transports, wanted};
