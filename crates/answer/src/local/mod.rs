//! Local zones and local data, answered as Unbound answers them.

mod data;
mod defaults;
mod entries;
mod glance;
mod location;
mod name;
mod rdata;
mod record;
mod rules;
mod store;
mod tag_data;
mod tree;
mod zones;

pub(crate) use data::{LocalAnswer, LocalZones};
pub use rdata::RdataError;
pub(crate) use record::Record;
pub use record::RecordError;
pub(crate) use tag_data::TagData;
pub(crate) use tree::LocalPlace;
pub use zones::LocalError;
pub(crate) use zones::Rrset;
