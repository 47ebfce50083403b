#![allow(unsafe_code)]

use std::mem::size_of;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};

use super::bpf::{Info, bpf, fill_info, object_info, raw};
use super::errno::Errno;

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
    owner: u32,
    map_count: u32,
    map_ids: u64,
    name: [u8; 16],
}

// SAFETY: integers only.
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
    let info: RawProgramInfo = object_info(program_by_id(id)?.as_fd())?;
    let end = info
        .name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(info.name.len());
    Ok(String::from_utf8_lossy(&info.name[..end]).into_owned())
}

/// The numbers of the maps that a loaded program uses, by its own number. Needs `CAP_SYS_ADMIN`.
pub(crate) fn program_maps(id: u32) -> Result<Vec<u32>, Errno> {
    let program = program_by_id(id)?;
    let mut maps = [0u32; MAX_USED_MAPS];
    let mut info = RawProgramInfo {
        map_count: MAX_USED_MAPS as u32,
        map_ids: maps.as_mut_ptr() as u64,
        ..RawProgramInfo::default()
    };
    // SAFETY: the kernel writes at most `map_count` numbers of 4 bytes to `map_ids`, which lives through the call and
    // has room for them; the other pointers are null, with lengths of zero.
    unsafe { fill_info(program.as_fd(), &mut info) }?;
    let count = (info.map_count as usize).min(maps.len());
    Ok(maps[..count].to_vec())
}

/// The most maps that the kernel lets a program use.
const MAX_USED_MAPS: usize = 64;

fn program_by_id(id: u32) -> Result<OwnedFd, Errno> {
    let attr = ByIdAttr {
        id,
        next_id: 0,
        open_flags: 0,
    };
    // SAFETY: the structure is PROG_GET_FD_BY_ID's, without pointers.
    let fd = unsafe { bpf(PROGRAM_BY_ID, &attr) }?;
    // SAFETY: the kernel just gave us this descriptor, so it is open and nobody else's.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
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

/// `BPF_F_TEST_XDP_LIVE_FRAMES` (Linux 5.18): what the program decides is carried out.
const LIVE_FRAMES: u32 = 1 << 1;

/// Has one frame received on an interface, as if it had come from there and the program, run on it, had decided on it.
pub(crate) fn inject(
    program: BorrowedFd<'_>,
    frame: &[u8],
    context: TestContext,
) -> Result<(), Errno> {
    let mut attr = TestRunAttr {
        prog_fd: raw(program),
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        ctx_size_in: size_of::<TestContext>() as u32,
        ctx_in: std::ptr::from_ref(&context) as u64,
        repeat: 1,
        flags: LIVE_FRAMES,
        ..TestRunAttr::default()
    };
    // SAFETY: frame and context live through the call, with their own lengths; without room for an output there is
    // none.
    unsafe { run(&mut attr) }
}

/// # Safety
/// What the attribute points to must live through the call and be as long as it says, the output valid for writes.
unsafe fn run(attr: &mut TestRunAttr) -> Result<(), Errno> {
    // The kernel answers in the attribute itself: it must be reached through a pointer that may write.
    let attr = &raw mut *attr;
    // SAFETY: the structure is PROG_TEST_RUN's and valid for writes; its pointers are the caller's promise.
    let result = unsafe { libc::syscall(libc::SYS_bpf, TEST_RUN, attr, size_of::<TestRunAttr>()) };
    Errno::check(result).map(drop)
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
    // SAFETY: frame, context and room for the output live through the call, with their own lengths.
    unsafe { run(&mut attr) }?;
    out.truncate(attr.data_size_out as usize);
    Ok(TestRun {
        action: attr.retval,
        frame: out,
        duration_ns: attr.duration,
    })
}
