use std::collections::BTreeMap;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use aya::programs::{ProgramError, Xdp};
use aya::{Ebpf, EbpfLoader};

use super::attach::{AttachMode, AttachedLink};
use super::error::{AttachError, LoadError, MapError, TestError};
use super::map::{Map, XskMap};
use crate::nic::Nic;
use crate::privileges::{Capability, MissingCapabilities};
use crate::sys::{self, Errno, TestContext};

/// An XDP program in the kernel, with its maps. It runs where it is attached; see [`Program::attach`].
///
/// It is nothing but descriptors, so that a process with privileges can load it for one without: see
/// [`Program::into_parts`].
#[derive(Debug)]
pub struct Program {
    fd: OwnedFd,
    maps: BTreeMap<String, OwnedFd>,
    name: String,
}

/// How an object is loaded.
#[derive(Clone, Debug, Default)]
pub struct LoadOptions {
    max_entries: BTreeMap<String, u32>,
    globals: BTreeMap<String, Vec<u8>>,
}

impl LoadOptions {
    /// Everything as the object says.
    pub fn new() -> Self {
        Self::default()
    }

    /// Gives the map `name` room for `entries`.
    #[must_use]
    pub fn max_entries(mut self, name: &str, entries: u32) -> Self {
        self.max_entries.insert(name.to_owned(), entries);
        self
    }

    /// Sets the constant `name` of the program, which must be as long as `value`.
    #[must_use]
    pub fn global(mut self, name: &str, value: &[u8]) -> Self {
        self.globals.insert(name.to_owned(), value.to_vec());
        self
    }
}

/// The name of a loaded program by its number, at most 15 bytes. Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// `ENOENT` if there is none, `EPERM` without the capability.
pub fn program_name(id: u32) -> Result<String, Errno> {
    sys::program_name(id)
}

impl Program {
    /// Makes the maps of an object (an ELF file) and loads its XDP program `name`. Needs `CAP_BPF` and `CAP_NET_ADMIN`.
    ///
    /// # Errors
    /// [`LoadError`].
    pub fn load(object: &[u8], name: &str, options: &LoadOptions) -> Result<Self, LoadError> {
        let loaded = Self::load_by_aya(object, name, options);
        // aya has read the types of the whole kernel, megabytes of them.
        sys::give_back_freed_memory();
        loaded
    }

    fn load_by_aya(object: &[u8], name: &str, options: &LoadOptions) -> Result<Self, LoadError> {
        let mut loader = EbpfLoader::new();
        for (map, entries) in &options.max_entries {
            loader.map_max_entries(map, *entries);
        }
        for (global, value) in &options.globals {
            loader.override_global(global.as_str(), value.as_slice(), true);
        }
        // The parser reads words in place.
        let mut room = Vec::new();
        let mut object = loader.load(aligned(object, &mut room)).map_err(refused)?;
        let fd = load_program(&mut object, name)?;
        let maps = map_files(&object)?;
        Ok(Self::from_parts(name, fd, maps))
    }

    /// The descriptors of the program and of its maps by their names, to be sent elsewhere.
    pub fn into_parts(self) -> (OwnedFd, BTreeMap<String, OwnedFd>) {
        (self.fd, self.maps)
    }

    /// A program that somebody else loaded, from its parts.
    pub fn from_parts(name: &str, fd: OwnedFd, maps: BTreeMap<String, OwnedFd>) -> Self {
        Self {
            fd,
            maps,
            name: name.to_owned(),
        }
    }

    /// The program's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The XSKMAP `name` of the object.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn xskmap(&self, name: &str) -> Result<XskMap, MapError> {
        XskMap::from_fd(self.map_fd(name)?, name)
    }

    /// The map `name` of the object.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map(&self, name: &str) -> Result<Map, MapError> {
        Map::from_fd(self.map_fd(name)?)
    }

    /// Attaches the program to an interface, by a link. Nothing that is there already is replaced.
    ///
    /// # Errors
    /// [`AttachError`].
    pub fn attach(&self, nic: &Nic, mode: AttachMode) -> Result<AttachedLink, AttachError> {
        AttachedLink::create(self.as_fd(), nic.index(), mode)
    }

    /// Runs the program on `frame`, as if it had been received, without a network. Redirects are not carried out.
    ///
    /// # Errors
    /// [`TestError`].
    pub fn test_run(&self, frame: &[u8], options: &TestOptions) -> Result<TestOutcome, TestError> {
        let context = options
            .ingress
            .map(|(ingress_ifindex, rx_queue_index)| TestContext {
                data_end: frame.len() as u32,
                ingress_ifindex,
                rx_queue_index,
                ..TestContext::default()
            });
        let run = sys::test_run(self.as_fd(), frame, context, options.repeat.max(1))
            .map_err(|errno| TestError { errno })?;
        Ok(TestOutcome {
            action: XdpAction::from_number(run.action),
            frame: run.frame,
            duration: Duration::from_nanos(run.duration_ns.into()),
        })
    }

    /// Has `frame` received on an interface and its queue: this program decides on it as if it were attached there and the
    /// frame had come from outside, and what it decides is carried out. With `XDP_PASS` the frame goes through the whole
    /// receive path, a program in the interface's generic hook included. Linux 5.18 and later.
    ///
    /// The kernel doesn't keep the queue in a frame that is passed: behind this program it looks as if from the first one.
    ///
    /// # Errors
    /// [`TestError`].
    pub fn inject(&self, frame: &[u8], (ifindex, queue): (u32, u32)) -> Result<(), TestError> {
        let context = TestContext {
            data_end: frame.len() as u32,
            ingress_ifindex: ifindex,
            rx_queue_index: queue,
            ..TestContext::default()
        };
        sys::inject(self.as_fd(), frame, context).map_err(|errno| TestError { errno })
    }

    fn map_fd(&self, name: &str) -> Result<BorrowedFd<'_>, MapError> {
        let map = self.maps.get(name).ok_or_else(|| MapError::NoMap {
            name: name.to_owned(),
        })?;
        Ok(map.as_fd())
    }
}

impl AsFd for Program {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Where the frame of a test run seems to come from, and how often it runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct TestOptions {
    /// Interface and queue; both must exist in this network namespace. The loopback interface, queue 0, if not given.
    pub ingress: Option<(u32, u32)>,
    /// How often the program runs; at least once.
    pub repeat: u32,
}

/// What a test run gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestOutcome {
    /// What the program decided.
    pub action: XdpAction,
    /// The frame afterwards.
    pub frame: Vec<u8>,
    /// How long one run took on average.
    pub duration: Duration,
}

/// What becomes of a packet: `enum xdp_action` of `linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum XdpAction {
    /// Dropped, and counted as a fault of the program.
    Aborted,
    /// Dropped.
    Drop,
    /// Goes on to the kernel.
    Pass,
    /// Sent back out of the interface.
    Tx,
    /// Goes where the program said: to a socket, for one.
    Redirect,
    /// A number that means nothing.
    Unknown(u32),
}

impl XdpAction {
    const fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Aborted,
            1 => Self::Drop,
            2 => Self::Pass,
            3 => Self::Tx,
            4 => Self::Redirect,
            other => Self::Unknown(other),
        }
    }
}

fn load_program(object: &mut Ebpf, name: &str) -> Result<OwnedFd, LoadError> {
    let missing = || LoadError::NoProgram {
        name: name.to_owned(),
    };
    let program: &mut Xdp = object
        .program_mut(name)
        .ok_or_else(missing)?
        .try_into()
        .map_err(|_| missing())?;
    program.load().map_err(rejected)?;
    let fd = program.fd().map_err(rejected)?;
    own(fd.as_fd())
}

/// All maps of the object that a program can be asked for.
fn map_files(object: &Ebpf) -> Result<BTreeMap<String, OwnedFd>, LoadError> {
    object
        .maps()
        .filter_map(|(name, map)| Some((name.to_owned(), map_data(map)?)))
        .map(|(name, data)| Ok((name, own(data.fd().as_fd())?)))
        .collect()
}

/// A descriptor beside the object's own.
fn own(fd: BorrowedFd<'_>) -> Result<OwnedFd, LoadError> {
    let own = fd.try_clone_to_owned();
    own.map_err(|error| rejected(ProgramError::IOError(error)))
}

/// Room for the end of the verifier's log, where the reason stands.
const LOG_TAIL_LINES: usize = 12;

fn rejected(error: ProgramError) -> LoadError {
    match error {
        ProgramError::LoadError {
            io_error,
            verifier_log,
            ..
        } => {
            let errno = Errno::new(io_error.raw_os_error().unwrap_or(0));
            if is_permission(errno) && verifier_log.to_string().trim().is_empty() {
                return not_permitted();
            }
            let log = verifier_log.to_string();
            let lines: Vec<&str> = log.lines().collect();
            let log_tail = lines[lines.len().saturating_sub(LOG_TAIL_LINES)..].join("\n");
            LoadError::Rejected { errno, log_tail }
        }
        other => refused(aya::EbpfError::ProgramError(other)),
    }
}

fn refused(error: aya::EbpfError) -> LoadError {
    if root_errno(&error).is_some_and(is_permission) {
        not_permitted()
    } else {
        LoadError::Object(Box::new(error))
    }
}

fn not_permitted() -> LoadError {
    LoadError::NotPermitted {
        missing: MissingCapabilities::of(&[Capability::Bpf, Capability::NetAdmin]),
    }
}

const fn is_permission(errno: Errno) -> bool {
    matches!(errno.number(), libc::EPERM | libc::EACCES)
}

/// The error number at the root of a chain of errors, if there is one.
fn root_errno(error: &(dyn std::error::Error + 'static)) -> Option<Errno> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(number) = error
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::raw_os_error)
        {
            return Some(Errno::new(number));
        }
        next = error.source();
    }
    None
}

/// `bytes` at an address that is a multiple of 8: themselves, or a copy in `room`.
fn aligned<'a>(bytes: &'a [u8], room: &'a mut Vec<u8>) -> &'a [u8] {
    if bytes.as_ptr().align_offset(ALIGNMENT) == 0 {
        return bytes;
    }
    room.resize(bytes.len() + ALIGNMENT, 0);
    let start = room.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    let end = start + bytes.len();
    room[start..end].copy_from_slice(bytes);
    &room[start..end]
}

const ALIGNMENT: usize = 8;

/// The part of a map that all types have; `None` for types that no XDP program of this kind uses.
const fn map_data(map: &aya::maps::Map) -> Option<&aya::maps::MapData> {
    use aya::maps::Map as M;
    match map {
        M::Array(data)
        | M::HashMap(data)
        | M::LpmTrie(data)
        | M::LruHashMap(data)
        | M::PerCpuArray(data)
        | M::PerCpuHashMap(data)
        | M::PerCpuLruHashMap(data)
        | M::RingBuf(data)
        | M::XskMap(data) => Some(data),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, LoadError, LoadOptions, Program, aligned};

    #[test]
    fn bytes_end_up_aligned_and_unchanged() {
        let bytes: Vec<u8> = (0..64).collect();
        for start in 0..ALIGNMENT {
            let mut room = Vec::new();
            let copy = aligned(&bytes[start..], &mut room);
            assert_eq!(copy.as_ptr() as usize % ALIGNMENT, 0);
            assert_eq!(copy, &bytes[start..]);
        }
    }

    #[test]
    fn garbage_is_an_error_and_no_panic() {
        for garbage in [&b""[..], b"\x7fELF", &[0; 64], &[0xff; 1000]] {
            let error =
                Program::load(garbage, "steer", &LoadOptions::new()).expect_err("no object");
            assert!(matches!(error, LoadError::Object(_)), "{error}");
        }
    }
}
