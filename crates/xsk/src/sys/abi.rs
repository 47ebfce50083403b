//! Structures and numbers of `linux/if_xdp.h` and `linux/bpf.h` that the `libc` crate lacks or types differently.

use std::mem::{align_of, size_of};

/// A packet in the RX or TX ring: `struct xdp_desc`, `linux/if_xdp.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub(crate) struct Descriptor {
    /// Byte offset into the UMEM.
    pub(crate) address: u64,
    /// Length of the packet in bytes.
    pub(crate) len: u32,
    /// `XDP_PKT_CONTD`, `XDP_TX_METADATA`; always 0 on sockets of this crate.
    pub(crate) options: u32,
}

const _: () = assert!(size_of::<Descriptor>() == 16 && align_of::<Descriptor>() == 8);
const _: () = assert!(size_of::<libc::xdp_umem_reg>() == 32);
const _: () = assert!(size_of::<libc::xdp_mmap_offsets>() == 128);
const _: () = assert!(size_of::<libc::xdp_statistics>() == 48);
const _: () = assert!(size_of::<libc::sockaddr_xdp>() == 16);

/// The four rings of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RingKind {
    Rx,
    Tx,
    Fill,
    Completion,
}

impl RingKind {
    /// The option that sizes the ring.
    pub(crate) const fn option(self) -> libc::c_int {
        match self {
            Self::Rx => libc::XDP_RX_RING,
            Self::Tx => libc::XDP_TX_RING,
            Self::Fill => libc::XDP_UMEM_FILL_RING,
            Self::Completion => libc::XDP_UMEM_COMPLETION_RING,
        }
    }

    /// The offset that tells `mmap` which ring is meant.
    pub(crate) const fn page_offset(self) -> i64 {
        match self {
            Self::Rx => 0,
            Self::Tx => 0x8000_0000,
            Self::Fill => 0x1_0000_0000,
            Self::Completion => 0x1_8000_0000,
        }
    }
}

/// Where things lie in a mapped ring, in bytes from its start: `struct xdp_ring_offset`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingLayout {
    pub(crate) producer: usize,
    pub(crate) consumer: usize,
    pub(crate) flags: usize,
    pub(crate) slots: usize,
}

impl RingLayout {
    pub(crate) fn from_kernel(offsets: &libc::xdp_ring_offset) -> Self {
        Self {
            producer: offsets.producer as usize,
            consumer: offsets.consumer as usize,
            flags: offsets.flags as usize,
            slots: offsets.desc as usize,
        }
    }
}

/// What `XDP_UMEM_REG` is told. Offsets and sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UmemRegistration {
    pub(crate) chunk_bytes: u32,
    pub(crate) headroom_bytes: u32,
}

/// When a map entry is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MapUpdate {
    /// Whether or not the key exists: `BPF_ANY`.
    #[cfg(feature = "loader")]
    Any,
    /// Only if there is no such key: `BPF_NOEXIST`.
    IfAbsent,
}

impl MapUpdate {
    pub(crate) const fn flags(self) -> u64 {
        match self {
            #[cfg(feature = "loader")]
            Self::Any => 0,
            Self::IfAbsent => 1,
        }
    }
}
