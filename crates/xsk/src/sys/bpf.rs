#![allow(unsafe_code)]

use std::mem::size_of;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

use super::abi::MapUpdate;
use super::errno::Errno;

/// A BPF map and its geometry as the kernel tells it, so that keys and values can be checked before every call.
#[derive(Debug)]
pub(crate) struct BpfMap {
    fd: OwnedFd,
    kind: u32,
    key_bytes: usize,
    value_bytes: usize,
    max_entries: u32,
}

const MAP_LOOKUP: u32 = 1;
const MAP_UPDATE: u32 = 2;
const MAP_DELETE: u32 = 3;
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
            kind: info.kind,
            key_bytes: info.key_bytes as usize,
            value_bytes: info.value_bytes as usize,
            max_entries: info.max_entries,
        })
    }

    pub(crate) const fn is_xskmap(&self) -> bool {
        self.kind == KIND_XSKMAP
    }

    pub(crate) fn is_per_cpu(&self) -> bool {
        KINDS_PER_CPU.contains(&self.kind)
    }

    pub(crate) const fn key_bytes(&self) -> usize {
        self.key_bytes
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

    pub(crate) fn lookup(&self, key: &[u8]) -> Result<Vec<u8>, Errno> {
        self.check_key(key)?;
        let mut value = vec![0; self.value_bytes()];
        let attr = self.attr(key.as_ptr(), value.as_mut_ptr(), 0);
        // SAFETY: key and value live through the call and are as long as the kernel said the map's are.
        unsafe { bpf(MAP_LOOKUP, &attr) }?;
        Ok(value)
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
unsafe fn bpf<T>(command: u32, attr: &T) -> Result<i32, Errno> {
    // SAFETY: the attribute lives through the call and its size is its own; the rest is our caller's promise.
    let result =
        unsafe { libc::syscall(libc::SYS_bpf, command, ptr::from_ref(attr), size_of::<T>()) };
    Errno::check(result).map(|value| value as i32)
}

fn raw(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().cast_unsigned()
}

/// Reads the head of an object's information structure.
fn object_info<T: Info>(fd: BorrowedFd<'_>) -> Result<T, Errno> {
    let mut info = T::default();
    let attr = InfoAttr {
        fd: raw(fd),
        len: size_of::<T>() as u32,
        info: (&raw mut info) as u64,
    };
    // SAFETY: the kernel writes at most `len` bytes to `info`, which lives through the call; any bytes are a valid T,
    // by the contract of Info.
    unsafe { bpf(OBJECT_INFO, &attr) }?;
    Ok(info)
}

/// # Safety
/// A `repr(C)` structure of integers that mirrors the head of the kernel's: any bytes are a valid value.
unsafe trait Info: Default + Copy {}

// SAFETY: integers only.
unsafe impl Info for RawMapInfo {}

#[cfg(feature = "loader")]
pub(crate) use loader::{
    AttachFlags, TestContext, link_create_xdp, link_info, link_update, program_name, test_run,
};

#[cfg(feature = "loader")]
mod loader {
    use super::{
        AsFd, BorrowedFd, Errno, FromRawFd, Info, OwnedFd, bpf, object_info, raw, size_of,
    };

    const TEST_RUN: u32 = 10;
    const PROGRAM_BY_ID: u32 = 13;
    const LINK_CREATE: u32 = 28;
    const LINK_UPDATE: u32 = 29;
    /// `BPF_XDP` of `enum bpf_attach_type`.
    const ATTACH_XDP: u32 = 37;
    /// `BPF_LINK_TYPE_XDP` of `enum bpf_link_type`.
    const LINK_TYPE_XDP: u32 = 6;
    /// Room for a frame that a program may have grown in a test run.
    const TEST_RUN_MAX_FRAME_BYTES: usize = 16 * 1024;

    /// `XDP_FLAGS_*` of `linux/if_link.h`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum AttachFlags {
        Generic,
        Native,
    }

    #[repr(C)]
    struct LinkCreateAttr {
        prog_fd: u32,
        target_ifindex: u32,
        attach_type: u32,
        flags: u32,
    }

    #[repr(C)]
    struct LinkUpdateAttr {
        link_fd: u32,
        new_prog_fd: u32,
        flags: u32,
        old_prog_fd: u32,
    }

    #[repr(C)]
    struct ByIdAttr {
        id: u32,
        next_id: u32,
        open_flags: u32,
    }

    #[derive(Default)]
    #[repr(C)]
    struct TestRunAttr {
        prog_fd: u32,
        retval: u32,
        data_size_in: u32,
        data_size_out: u32,
        data_in: u64,
        data_out: u64,
        repeat: u32,
        duration: u32,
        ctx_size_in: u32,
        ctx_size_out: u32,
        ctx_in: u64,
        ctx_out: u64,
        flags: u32,
        cpu: u32,
        batch_size: u32,
        padding: u32,
    }

    /// The head of `struct bpf_link_info` up to the interface of an XDP link.
    #[derive(Clone, Copy, Default)]
    #[repr(C)]
    struct RawLinkInfo {
        kind: u32,
        id: u32,
        prog_id: u32,
        padding: u32,
        ifindex: u32,
        padding_end: u32,
    }

    // SAFETY: integers only.
    unsafe impl Info for RawLinkInfo {}

    /// The head of `struct bpf_prog_info` up to the name.
    #[derive(Clone, Copy, Default)]
    #[repr(C)]
    struct RawProgramInfo {
        kind: u32,
        id: u32,
        tag: u64,
        lengths: u64,
        pointers: [u64; 2],
        load_time: u64,
        owner: u64,
        map_ids: u64,
        name: [u8; 16],
    }

    // SAFETY: integers only; the pointers in it stay null, so the kernel writes nothing through them.
    unsafe impl Info for RawProgramInfo {}

    /// What the kernel says of an XDP link.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) struct LinkInfo {
        pub(crate) is_xdp: bool,
        pub(crate) id: u32,
        pub(crate) program_id: u32,
        /// 0 once the interface is gone.
        pub(crate) ifindex: u32,
    }

    /// Attaches by `BPF_LINK_CREATE`, and by nothing else.
    pub(crate) fn link_create_xdp(
        program: BorrowedFd<'_>,
        ifindex: u32,
        how: AttachFlags,
    ) -> Result<OwnedFd, Errno> {
        let attr = LinkCreateAttr {
            prog_fd: raw(program),
            target_ifindex: ifindex,
            attach_type: ATTACH_XDP,
            flags: match how {
                AttachFlags::Generic => 1 << 1,
                AttachFlags::Native => 1 << 2,
            },
        };
        // SAFETY: the structure is LINK_CREATE's, without pointers.
        let fd = unsafe { bpf(LINK_CREATE, &attr) }?;
        // SAFETY: the kernel just gave us this descriptor, so it is open and nobody else's.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Replaces the program of a link, atomically.
    pub(crate) fn link_update(link: BorrowedFd<'_>, program: BorrowedFd<'_>) -> Result<(), Errno> {
        let attr = LinkUpdateAttr {
            link_fd: raw(link),
            new_prog_fd: raw(program),
            flags: 0,
            old_prog_fd: 0,
        };
        // SAFETY: the structure is LINK_UPDATE's, without pointers.
        unsafe { bpf(LINK_UPDATE, &attr) }.map(drop)
    }

    pub(crate) fn link_info(link: BorrowedFd<'_>) -> Result<LinkInfo, Errno> {
        let info: RawLinkInfo = object_info(link)?;
        Ok(LinkInfo {
            is_xdp: info.kind == LINK_TYPE_XDP,
            id: info.id,
            program_id: info.prog_id,
            ifindex: info.ifindex,
        })
    }

    /// The name of a loaded program by its number. Needs `CAP_SYS_ADMIN` (or `CAP_BPF` on newer kernels).
    pub(crate) fn program_name(id: u32) -> Result<String, Errno> {
        let attr = ByIdAttr {
            id,
            next_id: 0,
            open_flags: 0,
        };
        // SAFETY: the structure is PROG_GET_FD_BY_ID's, without pointers.
        let fd = unsafe { bpf(PROGRAM_BY_ID, &attr) }?;
        // SAFETY: the kernel just gave us this descriptor, so it is open and nobody else's.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let info: RawProgramInfo = object_info(fd.as_fd())?;
        let end = info
            .name
            .iter()
            .position(|&byte| byte == 0)
            .unwrap_or(info.name.len());
        Ok(String::from_utf8_lossy(&info.name[..end]).into_owned())
    }

    /// `struct xdp_md`: where a frame of a test run seems to come from.
    #[derive(Clone, Copy, Debug, Default)]
    #[repr(C)]
    pub(crate) struct TestContext {
        pub(crate) data: u32,
        pub(crate) data_end: u32,
        pub(crate) data_meta: u32,
        pub(crate) ingress_ifindex: u32,
        pub(crate) rx_queue_index: u32,
        pub(crate) egress_ifindex: u32,
    }

    /// What a test run gave.
    #[derive(Debug)]
    pub(crate) struct TestRun {
        pub(crate) action: u32,
        pub(crate) frame: Vec<u8>,
        pub(crate) duration_ns: u32,
    }

    pub(crate) fn test_run(
        program: BorrowedFd<'_>,
        frame: &[u8],
        context: Option<TestContext>,
        repeat: u32,
    ) -> Result<TestRun, Errno> {
        let mut out = vec![0u8; TEST_RUN_MAX_FRAME_BYTES.max(frame.len())];
        let mut attr = TestRunAttr {
            prog_fd: raw(program),
            data_size_in: frame.len() as u32,
            data_size_out: out.len() as u32,
            data_in: frame.as_ptr() as u64,
            data_out: out.as_mut_ptr() as u64,
            repeat,
            ..TestRunAttr::default()
        };
        if let Some(context) = &context {
            attr.ctx_size_in = size_of::<TestContext>() as u32;
            attr.ctx_in = std::ptr::from_ref(context) as u64;
        }
        // The kernel answers in the attribute itself: it must be reached through a pointer that may write.
        let attr_pointer = &raw mut attr;
        // SAFETY: the structure is PROG_TEST_RUN's and valid for writes; frame, context and room for the output live
        // through the call, with their own lengths.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                TEST_RUN,
                attr_pointer,
                size_of::<TestRunAttr>(),
            )
        };
        Errno::check(result)?;
        out.truncate(attr.data_size_out as usize);
        Ok(TestRun {
            action: attr.retval,
            frame: out,
            duration_ns: attr.duration,
        })
    }
}
