#![allow(unsafe_code)]

use std::mem::{self, size_of};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::time::Duration;

use super::errno::Errno;

/// A netlink socket. Whole messages in and out; what they mean is up to the caller.
#[derive(Debug)]
pub(crate) struct NetlinkSocket {
    fd: OwnedFd,
}

impl NetlinkSocket {
    /// Opens a socket of a netlink protocol, subscribed to the multicast `groups` (a bit mask).
    pub(crate) fn open(protocol: i32, groups: u32) -> Result<Self, Errno> {
        // SAFETY: no pointer is passed.
        let fd = unsafe {
            libc::socket(
                libc::AF_NETLINK,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                protocol,
            )
        };
        Errno::check(fd.into())?;
        // SAFETY: the kernel just gave us this descriptor, so it is open and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: all-zero bytes are a valid sockaddr_nl, a structure of integers.
        let mut address: libc::sockaddr_nl = unsafe { mem::zeroed() };
        address.nl_family = libc::AF_NETLINK as u16;
        address.nl_groups = groups;
        // SAFETY: the address lives through the call and its length is its own.
        let result = unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_nl>() as u32,
            )
        };
        Errno::check(result.into())?;
        Ok(Self { fd })
    }

    pub(crate) fn send(&self, message: &[u8]) -> Result<(), Errno> {
        // SAFETY: the message is readable for its length through the call.
        let sent = unsafe {
            libc::send(
                self.fd.as_raw_fd(),
                message.as_ptr().cast(),
                message.len(),
                0,
            )
        };
        Errno::check(sent as libc::c_long).map(drop)
    }

    /// Receives one datagram into `buffer` without waiting; returns its length, which is larger than the buffer if it
    /// did not fit.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Result<usize, Errno> {
        // SAFETY: the buffer is writable for its length through the call.
        let received = unsafe {
            libc::recv(
                self.fd.as_raw_fd(),
                buffer.as_mut_ptr().cast(),
                buffer.len(),
                libc::MSG_DONTWAIT | libc::MSG_TRUNC,
            )
        };
        Errno::check(received as libc::c_long).map(|len| len.unsigned_abs() as usize)
    }
}

impl AsFd for NetlinkSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Waits until `first` or `second` can be read, at most `timeout` (rounded up to whole milliseconds). A signal ends the
/// wait early, as if the time were up.
pub(crate) fn ready(
    first: BorrowedFd<'_>,
    second: Option<BorrowedFd<'_>>,
    timeout: Duration,
) -> Result<(bool, bool), Errno> {
    let entry = |fd: i32| libc::pollfd {
        fd,
        events: libc::POLLIN,
        revents: 0,
    };
    // poll(2) skips entries with a negative descriptor.
    let mut entries = [
        entry(first.as_raw_fd()),
        entry(second.map_or(-1, |fd| fd.as_raw_fd())),
    ];
    let timeout_ms = i32::try_from(timeout.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
    // SAFETY: the array lives through the call and its length is told.
    let result = unsafe {
        libc::poll(
            entries.as_mut_ptr(),
            entries.len() as libc::nfds_t,
            timeout_ms,
        )
    };
    match Errno::check(result.into()) {
        Ok(_) => Ok((entries[0].revents != 0, entries[1].revents != 0)),
        Err(errno) if errno.number() == libc::EINTR => Ok((false, false)),
        Err(errno) => Err(errno),
    }
}

/// The reading commands of `SIOCETHTOOL` that are used here; the kernel answers them to anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum EthtoolGet {
    /// `struct ethtool_drvinfo`, 196 bytes.
    Driver = 0x03,
    /// `struct ethtool_ringparam`, 36 bytes.
    Rings = 0x10,
    /// `struct ethtool_rxnfc`, 192 bytes: what of a flow's packets is hashed.
    FlowHash = 0x29,
    /// `struct ethtool_rxnfc`, 192 bytes: how many steering rules there are.
    RuleCount = 0x2e,
    /// `struct ethtool_channels`, 36 bytes.
    Channels = 0x3c,
}

/// Words of the largest structure of [`EthtoolGet`].
pub(crate) const ETHTOOL_WORDS: usize = 49;

/// Runs `command` on the interface `name`; the answer is the command's structure as 32-bit words, zeros behind it.
pub(crate) fn ethtool_get(name: &str, command: EthtoolGet) -> Result<[u32; ETHTOOL_WORDS], Errno> {
    ethtool_ask(name, command, 0)
}

/// The same for commands that take `argument` in the word after the command.
pub(crate) fn ethtool_ask(
    name: &str,
    command: EthtoolGet,
    argument: u32,
) -> Result<[u32; ETHTOOL_WORDS], Errno> {
    let mut words = [0u32; ETHTOOL_WORDS];
    words[0] = command as u32;
    words[1] = argument;
    // SAFETY: all-zero bytes are a valid ifreq (integers, arrays and null pointers).
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    // The last byte stays 0, the terminator.
    if name.len() >= request.ifr_name.len() {
        return Err(Errno::new(libc::ENODEV));
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from.cast_signed();
    }
    request.ifr_ifru.ifru_data = words.as_mut_ptr().cast();
    // SAFETY: no pointer is passed.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    Errno::check(socket.into())?;
    // SAFETY: the kernel just gave us this descriptor, so it is open and nobody else's.
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: request and words live through the call, and there are as many words as the largest structure of
    // these commands has.
    let result = unsafe {
        libc::ioctl(
            socket.as_raw_fd(),
            libc::SIOCETHTOOL as _,
            ptr::from_mut(&mut request),
        )
    };
    Errno::check(result.into())?;
    Ok(words)
}

/// How much memory this process may lock without `CAP_IPC_LOCK`, in bytes.
pub(crate) fn memlock_limit_bytes() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the structure is writable through the call, which fills it or fails.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_MEMLOCK, &raw mut limit) };
    if result == 0 { limit.rlim_cur } else { 0 }
}
