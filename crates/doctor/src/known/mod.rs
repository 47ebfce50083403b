//! What is known of kernels and drivers, with its sources.

mod drivers;
mod kernels;

pub use drivers::{Driver, driver, drivers};
pub use kernels::KernelVersion;
pub(crate) use kernels::{NEEDED, troubles};
