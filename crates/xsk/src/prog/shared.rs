use std::ffi::CString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::error::{MapError, ShareError};
use super::map::{Map, XskMap};
use crate::privileges::{Capability, MissingCapabilities};
use crate::sys::{self, BpfMap, Errno, MapGeometry};

/// A map of [`SharedMaps`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// Its name in the directory: letters, digits and `_`, at most 12 bytes.
    pub name: &'static str,
    /// Its type.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_bytes: u32,
    /// Bytes of a value.
    pub value_bytes: u32,
    /// The most entries that it can hold, when it is made here. One that is there already may have another number.
    pub max_entries: u32,
}

/// The type of a map of [`SharedMaps`]: `enum bpf_map_type` of `linux/bpf.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum MapKind {
    /// `BPF_MAP_TYPE_HASH`.
    Hash = 1,
    /// `BPF_MAP_TYPE_ARRAY`.
    Array = 2,
    /// `BPF_MAP_TYPE_XSKMAP`.
    XskMap = 17,
}

/// Maps in a directory of a BPF file system, by which a program of somebody else's redirects into our sockets.
///
/// A map that is there already is used if its type fits, so that a program which holds it goes on working. What was made
/// here, by this value or by one whose process was killed, is taken away when this value is dropped; what somebody else
/// has made stays. The kernel's name of a map tells them apart: those made here begin with `xsk_`.
#[derive(Debug)]
pub struct SharedMaps {
    directory: PathBuf,
    /// Directories that were made here, the innermost first.
    made: Vec<PathBuf>,
    maps: Vec<SharedMap>,
}

#[derive(Debug)]
struct SharedMap {
    name: &'static str,
    map: BpfMap,
    ours: bool,
}

/// What the kernel's names of maps made here begin with.
const MARK: &str = "xsk_";
/// Only the owner may look into a directory made here. Maps are made so by the kernel.
const DIRECTORY_MODE: u32 = 0o700;
/// The directory itself and the one above it.
const OWN_LEVELS: usize = 2;
/// Write permission of the group and of others.
const OTHERS_WRITE: u32 = 0o022;

impl SharedMaps {
    /// Opens or makes the maps, and the directory if it isn't there. Needs `CAP_BPF`, and for the directory's sake mostly
    /// root.
    ///
    /// # Errors
    /// [`ShareError`]; what was made for it is taken away again.
    pub fn open(directory: &Path, specs: &[MapSpec]) -> Result<Self, ShareError> {
        let mut shared = Self {
            directory: directory.to_owned(),
            made: make_directory(directory)?,
            maps: Vec::new(),
        };
        for spec in specs {
            let map = shared.open_map(spec)?;
            shared.maps.push(map);
        }
        Ok(shared)
    }

    /// The directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// A map by its name.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn map(&self, name: &str) -> Result<Map, MapError> {
        Map::from_fd(self.find(name)?)
    }

    /// The XSKMAP of that name.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn xskmap(&self, name: &str) -> Result<XskMap, MapError> {
        XskMap::from_fd(self.find(name)?, name)
    }

    /// Whether a loaded program uses the map of that name itself; one that it calls in another's name may. Needs
    /// `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn is_used_by(&self, name: &str, program: u32) -> Result<bool, MapError> {
        let map = self.find(name)?.id();
        let maps = sys::program_maps(program).map_err(|errno| MapError::Os { errno })?;
        Ok(maps.contains(&map))
    }

    fn find(&self, name: &str) -> Result<&BpfMap, MapError> {
        let found = self.maps.iter().find(|shared| shared.name == name);
        found
            .map(|shared| &shared.map)
            .ok_or_else(|| MapError::NoMap {
                name: name.to_owned(),
            })
    }

    fn open_map(&self, spec: &MapSpec) -> Result<SharedMap, ShareError> {
        let path = self.directory.join(spec.name);
        let at = c_path(&path)?;
        let own_name = format!("{MARK}{}", spec.name);
        match sys::object_get(&at) {
            Ok(fd) => {
                let map = BpfMap::from_fd(fd.as_fd()).map_err(|errno| os(&path, errno))?;
                let ours = map.name() == own_name;
                if map.is_of(spec.kind as u32, spec.key_bytes, spec.value_bytes) {
                    return Ok(SharedMap {
                        name: spec.name,
                        map,
                        ours,
                    });
                }
                if !ours {
                    return Err(ShareError::Mismatch { path });
                }
                // Left behind by another version.
                fs::remove_file(&path).map_err(|error| io_error(&path, &error))?;
            }
            Err(errno) if errno.number() == libc::ENOENT => {}
            Err(errno) => return Err(os(&path, errno)),
        }
        let geometry = MapGeometry {
            kind: spec.kind as u32,
            key_bytes: spec.key_bytes,
            value_bytes: spec.value_bytes,
            max_entries: spec.max_entries,
        };
        let fd = sys::map_create(&own_name, geometry).map_err(|errno| os(&path, errno))?;
        sys::object_pin(fd.as_fd(), &at).map_err(|errno| os(&path, errno))?;
        let map = BpfMap::from_fd(fd.as_fd()).map_err(|errno| os(&path, errno))?;
        Ok(SharedMap {
            name: spec.name,
            map,
            ours: true,
        })
    }
}

/// Whether a loaded program itself uses the map that is pinned at a path. Needs `CAP_SYS_ADMIN`.
///
/// # Errors
/// `ENOENT` if there is no such map or program, `EPERM` without the capability.
pub fn uses_pinned_map(program: u32, path: &Path) -> Result<bool, Errno> {
    let at = CString::new(path.as_os_str().as_bytes()).map_err(|_| Errno::new(libc::EINVAL))?;
    let map = BpfMap::from_fd(sys::object_get(&at)?.as_fd())?.id();
    Ok(sys::program_maps(program)?.contains(&map))
}

impl Drop for SharedMaps {
    fn drop(&mut self) {
        // What can't be taken away, for want of rights, is used and taken away by the next who opens it.
        for shared in self.maps.iter().filter(|shared| shared.ours) {
            let _ = fs::remove_file(self.directory.join(shared.name));
        }
        for directory in &self.made {
            let _ = fs::remove_dir(directory);
        }
    }
}

/// Makes what is missing of a directory's path. Returns what is to be taken away in the end, the innermost first.
fn make_directory(directory: &Path) -> Result<Vec<PathBuf>, ShareError> {
    let missing: Vec<PathBuf> = directory
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && !path.exists())
        .map(Path::to_owned)
        .collect();
    let there = directory
        .ancestors()
        .nth(missing.len())
        .filter(|path| !path.as_os_str().is_empty())
        .unwrap_or(Path::new("/"));
    if !sys::is_bpf_file_system(&c_path(there)?).map_err(|errno| os(there, errno))? {
        return Err(ShareError::NotBpfFileSystem {
            path: there.to_owned(),
        });
    }
    DirBuilder::new()
        .recursive(true)
        .mode(DIRECTORY_MODE)
        .create(directory)
        .map_err(|error| io_error(directory, &error))?;
    if mode(directory).map_err(|error| io_error(directory, &error))? & OTHERS_WRITE != 0 {
        return Err(ShareError::Writable {
            path: directory.to_owned(),
        });
    }
    // What is as we would have made it was most likely made by one of us that was killed. Only empty ones will go.
    let as_ours = |path: &&Path| {
        missing.iter().any(|made| made == path)
            || mode(path).is_ok_and(|mode| mode == DIRECTORY_MODE)
    };
    Ok(directory
        .ancestors()
        .take(OWN_LEVELS)
        .filter(as_ours)
        .map(Path::to_owned)
        .collect())
}

/// A path's permission bits.
fn mode(path: &Path) -> io::Result<u32> {
    Ok(fs::metadata(path)?.permissions().mode() & 0o7777)
}

fn c_path(path: &Path) -> Result<CString, ShareError> {
    CString::new(path.as_os_str().as_bytes()).map_err(|_| os(path, Errno::new(libc::EINVAL)))
}

fn io_error(path: &Path, error: &io::Error) -> ShareError {
    os(path, Errno::new(error.raw_os_error().unwrap_or(libc::EIO)))
}

fn os(path: &Path, errno: Errno) -> ShareError {
    let path = path.to_owned();
    match errno.number() {
        libc::EPERM | libc::EACCES => ShareError::NotPermitted {
            path,
            missing: MissingCapabilities::of(&[Capability::Bpf]),
        },
        _ => ShareError::Os { path, errno },
    }
}
