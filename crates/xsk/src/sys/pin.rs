#![allow(unsafe_code)]

use std::ffi::CStr;
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};

use super::bpf::{bpf, raw};
use super::errno::Errno;

const MAP_CREATE: u32 = 0;
const OBJECT_PIN: u32 = 6;
const OBJECT_GET: u32 = 7;
/// `BPF_OBJ_NAME_LEN`, the terminating zero included.
const NAME_BYTES: usize = 16;

/// The geometry of a map to be made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapGeometry {
    /// `enum bpf_map_type`.
    pub(crate) kind: u32,
    pub(crate) key_bytes: u32,
    pub(crate) value_bytes: u32,
    pub(crate) max_entries: u32,
}

#[repr(C)]
struct MapCreateAttr {
    kind: u32,
    key_bytes: u32,
    value_bytes: u32,
    max_entries: u32,
    flags: u32,
    inner_map_fd: u32,
    numa_node: u32,
    name: [u8; NAME_BYTES],
}

#[repr(C)]
struct ObjectAttr {
    path: u64,
    fd: u32,
    flags: u32,
}

/// Makes a map. `name` is cut to 15 bytes; the kernel takes letters, digits, `_` and `.`.
pub(crate) fn map_create(name: &str, geometry: MapGeometry) -> Result<OwnedFd, Errno> {
    let mut attr = MapCreateAttr {
        kind: geometry.kind,
        key_bytes: geometry.key_bytes,
        value_bytes: geometry.value_bytes,
        max_entries: geometry.max_entries,
        flags: 0,
        inner_map_fd: 0,
        numa_node: 0,
        name: [0; NAME_BYTES],
    };
    for (to, from) in attr.name[..NAME_BYTES - 1].iter_mut().zip(name.bytes()) {
        *to = from;
    }
    // SAFETY: the structure is MAP_CREATE's, without pointers.
    owned(unsafe { bpf(MAP_CREATE, &attr) })
}

/// Gives a map a path in a BPF file system.
pub(crate) fn object_pin(fd: BorrowedFd<'_>, path: &CStr) -> Result<(), Errno> {
    let attr = ObjectAttr {
        path: path.as_ptr() as u64,
        fd: raw(fd),
        flags: 0,
    };
    // SAFETY: the structure is OBJ_PIN's; the path ends in a zero and lives through the call.
    unsafe { bpf(OBJECT_PIN, &attr) }.map(drop)
}

/// What is pinned at a path: a map, a program, a link.
pub(crate) fn object_get(path: &CStr) -> Result<OwnedFd, Errno> {
    let attr = ObjectAttr {
        path: path.as_ptr() as u64,
        fd: 0,
        flags: 0,
    };
    // SAFETY: the structure is OBJ_GET's; the path ends in a zero and lives through the call.
    owned(unsafe { bpf(OBJECT_GET, &attr) })
}

/// Whether a path lies in a BPF file system.
pub(crate) fn is_bpf_file_system(path: &CStr) -> Result<bool, Errno> {
    let mut about = MaybeUninit::<libc::statfs>::zeroed();
    // SAFETY: the path ends in a zero; the kernel writes one structure to `about`; both live through the call.
    let result = unsafe { libc::statfs(path.as_ptr(), about.as_mut_ptr()) };
    if result != 0 {
        return Err(Errno::last());
    }
    // SAFETY: the structure is made of integers, and was zeroed before the kernel filled it in.
    let about = unsafe { about.assume_init() };
    Ok(about.f_type == libc::BPF_FS_MAGIC)
}

fn owned(result: Result<i32, Errno>) -> Result<OwnedFd, Errno> {
    // SAFETY: the kernel just gave us this descriptor, so it is open and nobody else's.
    result.map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
}
