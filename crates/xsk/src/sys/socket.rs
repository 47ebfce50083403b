#![allow(unsafe_code)]

use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::abi::{RingKind, UmemRegistration};
use super::errno::Errno;
use super::mapping::Mapping;

/// An AF_XDP socket: its options, `bind`, and the calls that wake the kernel. Close-on-exec.
#[derive(Debug)]
pub(crate) struct XdpSocket {
    fd: OwnedFd,
}

/// How a socket is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindFlags {
    ZeroCopy,
    Copy,
}

/// `XDP_MAX_TX_SKB_BUDGET`, `linux/if_xdp.h` since 6.18: packets that one `sendto` may take in copy mode.
const XDP_MAX_TX_SKB_BUDGET: libc::c_int = 9;
const SO_BUSY_POLL: libc::c_int = 46;
const SO_INCOMING_NAPI_ID: libc::c_int = 56;
const SO_PREFER_BUSY_POLL: libc::c_int = 69;
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;

impl XdpSocket {
    pub(crate) fn new() -> Result<Self, Errno> {
        // SAFETY: no pointer is passed.
        let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        Errno::check(fd.into())?;
        // SAFETY: the kernel just gave us this descriptor, so it is open and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        Ok(Self { fd })
    }

    /// A socket that somebody else made.
    pub(crate) const fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    pub(crate) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Registers `memory` as the socket's UMEM. The caller keeps it mapped until after the socket is closed.
    pub(crate) fn register_umem(
        &self,
        memory: &Mapping,
        how: UmemRegistration,
    ) -> Result<(), Errno> {
        let registration = libc::xdp_umem_reg {
            addr: memory.base().as_ptr() as u64,
            len: memory.len_bytes() as u64,
            chunk_size: how.chunk_bytes,
            headroom: how.headroom_bytes,
            flags: 0,
            tx_metadata_len: 0,
        };
        self.set(libc::SOL_XDP, libc::XDP_UMEM_REG, &registration)
    }

    /// Sets the number of entries of a ring, a power of two.
    pub(crate) fn size_ring(&self, kind: RingKind, entries: u32) -> Result<(), Errno> {
        self.set(libc::SOL_XDP, kind.option(), &entries)
    }

    pub(crate) fn ring_offsets(&self) -> Result<libc::xdp_mmap_offsets, Errno> {
        let (offsets, len) = self.read::<libc::xdp_mmap_offsets>(libc::XDP_MMAP_OFFSETS)?;
        // Linux before 5.4 answers with a shorter structure, without the flags.
        if len < size_of::<libc::xdp_mmap_offsets>() {
            return Err(Errno::new(libc::EOPNOTSUPP));
        }
        Ok(offsets)
    }

    /// Lets one `sendto` take up to `packets` in copy mode.
    pub(crate) fn set_tx_budget(&self, packets: u32) -> Result<(), Errno> {
        self.set(libc::SOL_XDP, XDP_MAX_TX_SKB_BUDGET, &packets)
    }

    pub(crate) fn prefer_busy_poll(&self, usecs: u32, budget: u32) -> Result<(), Errno> {
        self.set(libc::SOL_SOCKET, SO_PREFER_BUSY_POLL, &1u32)?;
        self.set(libc::SOL_SOCKET, SO_BUSY_POLL, &usecs)?;
        self.set(libc::SOL_SOCKET, SO_BUSY_POLL_BUDGET, &budget)
    }

    /// The NAPI instance that busy polling would drive; 0 if there is none.
    pub(crate) fn napi_id(&self) -> u32 {
        self.get::<u32>(libc::SOL_SOCKET, SO_INCOMING_NAPI_ID)
            .map_or(0, |(id, _)| id)
    }

    pub(crate) fn bind(&self, ifindex: u32, queue: u32, flags: BindFlags) -> Result<(), Errno> {
        let mode = match flags {
            BindFlags::ZeroCopy => libc::XDP_ZEROCOPY,
            BindFlags::Copy => libc::XDP_COPY,
        };
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: mode | libc::XDP_USE_NEED_WAKEUP,
            sxdp_ifindex: ifindex,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        // SAFETY: the address lives through the call and its length is its own.
        let result = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_xdp>() as u32,
            )
        };
        Errno::check(result.into()).map(drop)
    }

    pub(crate) fn is_zero_copy(&self) -> Result<bool, Errno> {
        let (options, _) = self.read::<libc::xdp_options>(libc::XDP_OPTIONS)?;
        Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
    }

    pub(crate) fn statistics(&self) -> Result<libc::xdp_statistics, Errno> {
        self.read::<libc::xdp_statistics>(libc::XDP_STATISTICS)
            .map(|(statistics, _)| statistics)
    }

    /// Asks the kernel to look at the TX ring.
    pub(crate) fn kick_tx(&self) -> Result<(), Errno> {
        // SAFETY: the empty buffer and address are null with length 0, which the kernel accepts as such.
        let result = unsafe {
            libc::sendto(
                self.fd.as_raw_fd(),
                ptr::null(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null(),
                0,
            )
        };
        Errno::check(result as libc::c_long).map(drop)
    }

    /// Asks the kernel to look at the fill ring; also tells whether the socket is still bound.
    pub(crate) fn kick_rx(&self) -> Result<(), Errno> {
        // SAFETY: the empty buffer and address are null with length 0, which the kernel accepts as such.
        let result = unsafe {
            libc::recvfrom(
                self.fd.as_raw_fd(),
                ptr::null_mut(),
                0,
                libc::MSG_DONTWAIT,
                ptr::null_mut(),
                ptr::null_mut(),
            )
        };
        Errno::check(result as libc::c_long).map(drop)
    }

    fn set<T: Copy>(
        &self,
        level: libc::c_int,
        option: libc::c_int,
        value: &T,
    ) -> Result<(), Errno> {
        // SAFETY: the value lives through the call, its length is its own, and the kernel only reads it.
        let result = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                ptr::from_ref(value).cast(),
                size_of::<T>() as u32,
            )
        };
        Errno::check(result.into()).map(drop)
    }

    fn read<T: KernelData>(&self, option: libc::c_int) -> Result<(T, usize), Errno> {
        self.get(libc::SOL_XDP, option)
    }

    fn get<T: KernelData>(
        &self,
        level: libc::c_int,
        option: libc::c_int,
    ) -> Result<(T, usize), Errno> {
        // SAFETY: all-zero bytes are a value of T, by the contract of KernelData.
        let mut value: T = unsafe { mem::zeroed() };
        let mut len = size_of::<T>() as u32;
        // SAFETY: the value is writable for `len` bytes, and any bytes are a value of T, by the contract of KernelData.
        let result = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                level,
                option,
                (&raw mut value).cast(),
                &raw mut len,
            )
        };
        Errno::check(result.into())?;
        Ok((value, len as usize))
    }
}

impl AsFd for XdpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Structures of integers that the kernel fills.
///
/// # Safety
/// Any sequence of bytes must be a valid value.
unsafe trait KernelData: Copy {}

// SAFETY: an integer.
unsafe impl KernelData for u32 {}
// SAFETY: integers only.
unsafe impl KernelData for libc::xdp_mmap_offsets {}
// SAFETY: one integer.
unsafe impl KernelData for libc::xdp_options {}
// SAFETY: integers only.
unsafe impl KernelData for libc::xdp_statistics {}
