#![allow(unsafe_code)]

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::ptr;

use super::abi::MapUpdate;
use super::errno::Errno;

/// A BPF map and its geometry as the kernel tells it, so that keys and values can be checked before every call.
#[derive(Debug)]
pub(crate) struct BpfMap {
    fd: OwnedFd,
    #[cfg(feature = "loader")]
    id: u32,
    kind: u32,
    key_bytes: usize,
    value_bytes: usize,
    max_entries: u32,
    #[cfg(feature = "loader")]
    name: [u8; 16],
}

#[cfg(feature = "loader")]
const MAP_LOOKUP: u32 = 1;
const MAP_UPDATE: u32 = 2;
const MAP_DELETE: u32 = 3;
#[cfg(feature = "loader")]
const MAP_NEXT_KEY: u32 = 4;
const OBJECT_INFO: u32 = 15;

const KIND_XSKMAP: u32 = 17;
/// Per-CPU hash, array, LRU hash, cgroup storage.
const KINDS_PER_CPU: [u32; 4] = [5, 6, 10, 21];

/// Commands on map elements: the third anonymous structure of `union bpf_attr`.
#[repr(C)]
struct ElementAttr {
    map_fd: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

#[repr(C)]
struct InfoAttr {
    fd: u32,
    len: u32,
    info: u64,
}

/// The head of `struct bpf_map_info`.
#[derive(Clone, Copy, Default)]
#[repr(C)]
struct RawMapInfo {
    kind: u32,
    id: u32,
    key_bytes: u32,
    value_bytes: u32,
    max_entries: u32,
    flags: u32,
    name: [u8; 16],
}

impl BpfMap {
    /// Duplicates `fd` and asks the kernel what map it is.
    pub(crate) fn from_fd(fd: BorrowedFd<'_>) -> Result<Self, Errno> {
        let fd = fd
            .try_clone_to_owned()
            .map_err(|error| Errno::new(error.raw_os_error().unwrap_or(libc::EBADF)))?;
        let info: RawMapInfo = object_info(fd.as_fd())?;
        Ok(Self {
            fd,
            #[cfg(feature = "loader")]
            id: info.id,
            kind: info.kind,
            key_bytes: info.key_bytes as usize,
            value_bytes: info.value_bytes as usize,
            max_entries: info.max_entries,
            #[cfg(feature = "loader")]
            name: info.name,
        })
    }

    pub(crate) const fn is_xskmap(&self) -> bool {
        self.kind == KIND_XSKMAP
    }

    pub(crate) fn is_per_cpu(&self) -> bool {
        KINDS_PER_CPU.contains(&self.kind)
    }

    /// Bytes that one look-up gives: for per-CPU maps, the values of all possible CPUs, each padded to 8 bytes.
    pub(crate) fn value_bytes(&self) -> usize {
        if self.is_per_cpu() {
            self.cpu_value_bytes() * possible_cpus()
        } else {
            self.value_bytes
        }
    }

    /// The padded size of one CPU's value.
    pub(crate) const fn cpu_value_bytes(&self) -> usize {
        self.value_bytes.next_multiple_of(8)
    }

    pub(crate) const fn max_entries(&self) -> u32 {
        self.max_entries
    }

    pub(crate) fn update(&self, key: &[u8], value: &[u8], how: MapUpdate) -> Result<(), Errno> {
        self.check_key(key)?;
        if value.len() != self.value_bytes() {
            return Err(Errno::new(libc::EINVAL));
        }
        let attr = self.attr(key.as_ptr(), value.as_ptr().cast_mut(), how.flags());
        // SAFETY: key and value live through the call, are as long as the map's, and the kernel only reads them.
        unsafe { bpf(MAP_UPDATE, &attr) }.map(drop)
    }

    pub(crate) fn delete(&self, key: &[u8]) -> Result<(), Errno> {
        self.check_key(key)?;
        let attr = self.attr(key.as_ptr(), ptr::null_mut(), 0);
        // SAFETY: the key lives through the call and is as long as the map's; the value is not used.
        unsafe { bpf(MAP_DELETE, &attr) }.map(drop)
    }

    fn check_key(&self, key: &[u8]) -> Result<(), Errno> {
        if key.len() == self.key_bytes {
            Ok(())
        } else {
            Err(Errno::new(libc::EINVAL))
        }
    }

    fn attr(&self, key: *const u8, value: *mut u8, flags: u64) -> ElementAttr {
        ElementAttr {
            map_fd: raw(self.fd.as_fd()),
            padding: 0,
            key: key as u64,
            value: value as u64,
            flags,
        }
    }
}

/// What only the users of maps other than XSKMAPs need.
#[cfg(feature = "loader")]
impl BpfMap {
    /// The kernel's number of it.
    pub(crate) const fn id(&self) -> u32 {
        self.id
    }

    /// The kernel's name of it.
    pub(crate) fn name(&self) -> String {
        let end = self.name.iter().position(|&byte| byte == 0);
        String::from_utf8_lossy(&self.name[..end.unwrap_or(self.name.len())]).into_owned()
    }

    /// Whether it is of this type, with keys and values of these lengths.
    pub(crate) const fn is_of(&self, kind: u32, key_bytes: u32, value_bytes: u32) -> bool {
        self.kind == kind
            && self.key_bytes == key_bytes as usize
            && self.value_bytes == value_bytes as usize
    }

    pub(crate) const fn key_bytes(&self) -> usize {
        self.key_bytes
    }

    pub(crate) fn lookup(&self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.check_key(key)?;
        let mut value = vec![0; self.value_bytes()];
        let attr = self.attr(key.as_ptr(), value.as_mut_ptr(), 0);
        // SAFETY: key and value live through the call and are as long as the kernel said the map's are.
        unsafe { bpf(MAP_LOOKUP, &attr) }?;
        Ok(value)
    }

    /// The key after `key`, or the first one; `None` after the last.
    pub(crate) fn next_key(&self, key: Option<&[u8]>) -> Result<Option<Vec<u8>>, Errno> {
        key.map_or(Ok(()), |key| self.check_key(key))?;
        let mut next = vec![0; self.key_bytes];
        let attr = self.attr(
            key.map_or(ptr::null(), <[u8]>::as_ptr),
            next.as_mut_ptr(),
            0,
        );
        // SAFETY: both keys live through the call and are as long as the map's; a null key asks for the first.
        match unsafe { bpf(MAP_NEXT_KEY, &attr) } {
            Ok(_) => Ok(Some(next)),
            Err(errno) if errno.number() == libc::ENOENT => Ok(None),
            Err(errno) => Err(errno),
        }
    }
}

impl AsFd for BpfMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// The number of CPUs that per-CPU maps have values for; at least 1.
fn possible_cpus() -> usize {
    let text = std::fs::read_to_string("/sys/devices/system/cpu/possible").unwrap_or_default();
    let last = text
        .trim()
        .rsplit([',', '-'])
        .next()
        .and_then(|n| n.parse::<usize>().ok());
    // The kernel copies a value for every possible CPU: too small a buffer would be written past its end. Without
    // sysfs, take the most that any kernel is built for.
    last.map_or(MAX_CPUS, |last| last + 1)
}

const MAX_CPUS: usize = 8192;

/// # Safety
/// `attr` must be the structure that `command` takes, and each pointer in it must be valid for what the command reads
/// and writes through it, or null where the command allows that.
pub(super) unsafe fn bpf<T>(command: u32, attr: &T) -> Result<i32, Errno> {
    // SAFETY: the attribute lives through the call and its size is its own; the rest is our caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attr), size_of::<T>()) };
    Errno::check(result).map(|value| value as i32)
}

pub(super) fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Reads the head of an object's information structure.
pub(super) fn object_info<T: Info>(fd: BorrowedFd<'_>) -> Result<T, Errno> {
    let mut info = T::default();
    // SAFETY: what pointers there are in it are null.
    unsafe { fill_info(fd, &mut info) }?;
    Ok(info)
}

/// Reads the head of an object's information structure, and what the pointers in it ask for.
///
/// # Safety
/// Each pointer in `info` must be null, or valid for writes of what the count that belongs to it says.
pub(super) unsafe fn fill_info<T: Info>(fd: BorrowedFd<'_>, info: &mut T) -> Result<(), Errno> {
    let attr = InfoAttr {
        fd: raw(fd),
        len: size_of::<T>() as u32,
        info: ptr::from_mut(info) as u64,
    };
    // SAFETY: the kernel writes at most `len` bytes to `info`, which lives through the call; any bytes are a valid T,
    // by the contract of Info; what is behind its pointers is our caller's promise.
    unsafe { bpf(OBJECT_INFO, &attr) }.map(drop)
}

/// # Safety
/// A `repr(C)` structure of integers that mirrors the head of the kernel's: any bytes are a valid value.
pub(super) unsafe trait Info: Default + Copy {}

// SAFETY: integers only.
unsafe impl Info for RawMapInfo {}
