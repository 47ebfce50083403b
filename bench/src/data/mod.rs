//! What is asked and what is answered: names by number, zones, queries drawn from them, the upstream.

mod names;
mod queries;
mod random;
mod upstream;
mod world;
mod zone;

pub(crate) use names::{Kind, Name, ORIGIN};
pub(crate) use queries::{Draw, Queries, QueryFile};
pub(crate) use random::{Random, Zipf};
pub(crate) use upstream::Upstream;
pub(crate) use world::{WORLD_NAMES, start_world};
pub(crate) use zone::{local_data, zone_file};
