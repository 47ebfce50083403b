//! System calls and kernel structures, behind functions that are safe to call.
//!
//! This is one of the modules where unsafe code is allowed. What leaves it is safe: file descriptors are owned, memory is
//! bounded, and numbers from the kernel are checked by whoever asked for them.

mod abi;
mod bpf;
mod errno;
#[cfg(feature = "loader")]
mod heap;
mod mapping;
mod net;
#[cfg(feature = "loader")]
mod pin;
#[cfg(feature = "loader")]
mod program;
mod socket;

pub(crate) use abi::{Descriptor, MapUpdate, RingKind, RingLayout, UmemRegistration};
pub(crate) use bpf::BpfMap;
pub use errno::Errno;
#[cfg(feature = "loader")]
pub(crate) use heap::give_back_freed_memory;
pub(crate) use mapping::{Advice, Mapping};
pub(crate) use net::{
    ETHTOOL_WORDS, EthtoolGet, NetlinkSocket, ethtool_ask, ethtool_get, memlock_limit_bytes, ready,
};
#[cfg(feature = "loader")]
pub(crate) use pin::{MapGeometry, is_bpf_file_system, map_create, object_get, object_pin};
#[cfg(feature = "loader")]
pub(crate) use program::{
    AttachFlags, TestContext, inject, link_create_xdp, link_info, link_update, program_maps,
    program_name, test_run,
};
pub(crate) use socket::{BindFlags, XdpSocket};
