//! From the tree to the [`Config`](crate::Config): values are checked, the last one of an option wins, references and
//! files are looked up, and the engine's part is written.

mod access;
mod anchors;
mod bounds;
mod checks;
mod engine;
mod listen;
mod places;
mod resolver;
mod secure;
mod settings;
mod status;
mod tags;
#[cfg(test)]
mod tests;

use resolver::Resolver;
pub(crate) use resolver::resolve;
