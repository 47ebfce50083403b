//! XDP programs: loaded from an object file, attached by `bpf_link`, tried out without a network.
//!
//! The object is parsed and its maps are made by aya. Attaching is done here, by `BPF_LINK_CREATE` and by nothing else, so
//! that the program goes when the last file descriptor of its [`AttachedLink`] does, whatever ends the process.

mod attach;
mod error;
mod map;
mod program;
mod shared;

pub use attach::{AttachMode, AttachedLink};
pub use error::{AttachError, LoadError, MapError, ShareError, TestError};
pub use map::{Map, XskMap};
pub use program::{LoadOptions, Program, TestOptions, TestOutcome, XdpAction, program_name};
pub use shared::{MapKind, MapSpec, SharedMaps, uses_pinned_map};
