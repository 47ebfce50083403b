use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::Machine;
use super::boot::base;

/// What any installation changes and no removal brings back: logs, and the books of apt, dpkg and the linker.
const BOOKS: [&str; 8] = [
    "/etc/ld.so.cache",
    "/etc/.pwd.lock",
    "/etc/machine-id",
    "/var/cache/",
    "/var/lib/apt/",
    "/var/lib/dpkg/",
    "/var/log/",
    "/var/lib/systemd/random-seed",
];

/// The user database keeps a copy of its last state but one.
const PREVIOUS: [&str; 6] = [
    "passwd-", "shadow-", "group-", "gshadow-", "subuid-", "subgid-",
];

impl Machine {
    /// The files whose content, owner or mode differs from the base folder's, the new ones, and those that are gone
    /// (`- /path`), sorted. Folders count where they are new. The books that dpkg and apt keep don't count.
    ///
    /// # Errors
    /// A file could not be read.
    pub fn changes(&self) -> Result<Vec<String>> {
        let mut found = Vec::new();
        walk(&self.path("/mnt"), "", &mut found)?;
        found.sort();
        Ok(found)
    }
}

fn walk(upper: &Path, inside: &str, found: &mut Vec<String>) -> Result<()> {
    for entry in fs::read_dir(upper).with_context(|| upper.display().to_string())? {
        let entry = entry?;
        let path = format!("{inside}/{}", entry.file_name().to_string_lossy());
        if is_book(&path) {
            continue;
        }
        let new = entry.path().symlink_metadata()?;
        let old = match base().join(&path[1..]).symlink_metadata() {
            Ok(old) => Some(old),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).context(path),
        };
        if new.file_type().is_char_device() && new.rdev() == 0 {
            // The overlay's mark for a file that was removed.
            if old.is_some() {
                found.push(format!("- {path}"));
            }
        } else if new.is_dir() {
            if old.is_none() {
                found.push(path.clone());
            }
            walk(&entry.path(), &path, found)?;
        } else if !old.is_some_and(|old| same(&entry.path(), &new, &base().join(&path[1..]), &old))
        {
            found.push(path);
        }
    }
    Ok(())
}

fn is_book(path: &str) -> bool {
    let previous = path
        .strip_prefix("/etc/")
        .is_some_and(|name| PREVIOUS.contains(&name));
    previous || BOOKS.iter().any(|book| path.starts_with(book))
}

fn same(new: &Path, new_about: &fs::Metadata, old: &Path, old_about: &fs::Metadata) -> bool {
    let about = |data: &fs::Metadata| (data.mode(), data.uid(), data.gid());
    if about(new_about) != about(old_about) {
        return false;
    }
    if new_about.is_symlink() {
        return fs::read_link(new).ok() == fs::read_link(old).ok();
    }
    match (fs::read(new), fs::read(old)) {
        (Ok(new), Ok(old)) => new == old,
        _ => false,
    }
}
