//! A queue over a kernel made of plain memory: [`MockKernel`].
//!
//! It needs no privileges, and does what no real kernel does when asked: completions late, out of order, twice, never or
//! forged; ring indices that can't be true; any error number from any call. It keeps a record of its own of the frames it
//! was given, and complains about a frame that it is given twice.

#[cfg(test)]
mod allocation;
#[cfg(test)]
mod census;
#[cfg(test)]
mod faults;
mod mock;
mod options;

pub use mock::{Held, MockKernel};
pub use options::MockOptions;
