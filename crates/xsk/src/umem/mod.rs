//! The memory that packets live in, cut into frames, each with exactly one owner at any time.
//!
//! A frame that user space holds is a [`Frame`], a value that can be neither copied nor made anew outside this module. A
//! byte per frame says who owns it, also while the kernel does (`FrameState`). What the kernel says about a frame is
//! believed only if it agrees with that byte: a duplicate or forged completion becomes a counter instead of a frame in two
//! places.
//!
//! ```text
//!             give to fill ring                received                  transmit
//!   Free ---------------------> Fill ---------------------> User ---------------------> Tx
//!    ^ ^                                                    | |                        | |
//!    | +--- taken for a local frame: Free -> User ----------+ | dropped                | | no completion
//!    +--------------------------------------------------------+                        | v for seconds
//!    +---------------------------------------------- completed -----------------------+ Quarantine
//! ```
//!
//! Bytes are reached only while the state is `User`. This is one of the modules where unsafe code is allowed.

mod frames;
mod geometry;
mod region;

pub use frames::Census;
pub(crate) use frames::{Completed, Frame, RxFault, Umem};
pub(crate) use geometry::Geometry;
pub use region::{HugePages, MemoryReport};
pub(crate) use region::{MemoryOptions, Region};
