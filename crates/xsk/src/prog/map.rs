use std::os::fd::{AsFd, BorrowedFd};

use super::error::MapError;
use crate::sys::{BpfMap, Errno, MapUpdate};

/// A BPF map of any type, its keys and values as bytes. The map lives as long as a value or a program refers to it.
#[derive(Debug)]
pub struct Map(BpfMap);

/// A map of AF_XDP sockets, one slot per queue.
#[derive(Debug)]
pub struct XskMap(BpfMap);

impl Map {
    /// Any map that is held by a file descriptor, which is duplicated.
    ///
    /// # Errors
    /// [`MapError::Os`] if it isn't a map.
    pub fn from_fd(fd: impl AsFd) -> Result<Self, MapError> {
        BpfMap::from_fd(fd.as_fd()).map(Self).map_err(os)
    }

    /// Bytes of a key.
    pub const fn key_bytes(&self) -> usize {
        self.0.key_bytes()
    }

    /// Bytes of a value as [`Map::get`] gives it: for per-CPU maps, of all CPUs together.
    pub fn value_bytes(&self) -> usize {
        self.0.value_bytes()
    }

    /// The most entries that it can hold.
    pub const fn max_entries(&self) -> u32 {
        self.0.max_entries()
    }

    /// The value of a key, if there is one.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, MapError> {
        self.check_key(key)?;
        match self.0.lookup(key) {
            Ok(value) => Ok(Some(value)),
            Err(errno) if errno.number() == libc::ENOENT => Ok(None),
            Err(errno) => Err(os(errno)),
        }
    }

    /// The values of a key of a per-CPU map, one for each possible CPU. Each is padded to a multiple of 8 bytes. For other
    /// maps, the one value.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn get_per_cpu(&self, key: &[u8]) -> Result<Vec<Vec<u8>>, MapError> {
        let all = self.get(key)?.unwrap_or_default();
        if !self.0.is_per_cpu() {
            return Ok(vec![all]);
        }
        Ok(all
            .chunks_exact(self.0.cpu_value_bytes())
            .map(<[u8]>::to_vec)
            .collect())
    }

    /// The sum over all CPUs of a per-CPU map of `u64`; 0 if there is no such key.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn sum_per_cpu(&self, key: &[u8]) -> Result<u64, MapError> {
        let number = |value: &Vec<u8>| value.first_chunk().copied().map_or(0, u64::from_ne_bytes);
        let values = self.get_per_cpu(key)?;
        Ok(values.iter().map(number).fold(0, u64::wrapping_add))
    }

    /// Writes a value, whether or not the key exists.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn set(&self, key: &[u8], value: &[u8]) -> Result<(), MapError> {
        self.check_key(key)?;
        check(value, self.0.value_bytes())?;
        self.0.update(key, value, MapUpdate::Any).map_err(os)
    }

    /// Removes a key; `false` if there was none. Entries of arrays can't be removed.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn remove(&self, key: &[u8]) -> Result<bool, MapError> {
        self.check_key(key)?;
        match self.0.delete(key) {
            Ok(()) => Ok(true),
            Err(errno) if errno.number() == libc::ENOENT => Ok(false),
            Err(errno) => Err(os(errno)),
        }
    }

    /// All keys, in no order. While others write, some may be missing or twice.
    ///
    /// # Errors
    /// [`MapError`].
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, MapError> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        // A key that was removed meanwhile makes the kernel start over: bounded by the map's size.
        for _ in 0..self.0.max_entries() {
            match self
                .0
                .next_key(keys.last().map(Vec::as_slice))
                .map_err(os)?
            {
                Some(key) => keys.push(key),
                None => break,
            }
        }
        Ok(keys)
    }

    fn check_key(&self, key: &[u8]) -> Result<(), MapError> {
        check(key, self.0.key_bytes())
    }
}

impl XskMap {
    /// Any XSKMAP that is held by a file descriptor, which is duplicated.
    ///
    /// # Errors
    /// [`MapError`] if it isn't one.
    pub fn from_fd(fd: impl AsFd, name: &str) -> Result<Self, MapError> {
        let map = BpfMap::from_fd(fd.as_fd()).map_err(os)?;
        if map.is_xskmap() {
            Ok(Self(map))
        } else {
            Err(MapError::NotXskMap {
                name: name.to_owned(),
            })
        }
    }

    /// The number of slots.
    pub const fn slots(&self) -> u32 {
        self.0.max_entries()
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsFd for XskMap {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

fn check(bytes: &[u8], expected_bytes: usize) -> Result<(), MapError> {
    if bytes.len() == expected_bytes {
        return Ok(());
    }
    Err(MapError::Length {
        expected_bytes,
        given_bytes: bytes.len(),
    })
}

fn os(errno: Errno) -> MapError {
    MapError::Os { errno }
}
