use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::Change;

/// The changes that were made and not yet put back, kept in a file.
///
/// The file belongs below `/run`: the settings in it last no longer than that does. A change is written down before it is
/// made, so that none is forgotten whatever happens in between.
#[derive(Clone, Debug)]
pub struct Undo {
    path: PathBuf,
}

/// Why the file of changes can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UndoError {
    /// The system's own words.
    #[error("{}: {source}", path.display())]
    Os {
        /// The file.
        path: PathBuf,
        /// What happened.
        source: io::Error,
    },
    /// Somebody else could have written it.
    #[error("{}: not a file of this user's own", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
    },
    /// It is not what was written.
    #[error("{}: it doesn't hold changes that doctor made", path.display())]
    Unsound {
        /// The file.
        path: PathBuf,
    },
}

/// A change, and the network namespace that it was made in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    namespace: String,
    change: Change,
}

/// More than anybody can have made.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Undo {
    /// Where changes are kept if nobody says otherwise.
    pub const DEFAULT_FILE: &str = "/run/sluicegate-doctor/undo.json";

    /// The changes in a file, which need not be there.
    pub fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
        }
    }

    /// Writes a change down, before it is made.
    ///
    /// # Errors
    /// [`UndoError`]; nothing has been written.
    pub fn record(&self, change: &Change) -> Result<(), UndoError> {
        let mut all = self.read()?;
        all.push(Entry {
            namespace: namespace(),
            change: change.clone(),
        });
        self.write(&all)
    }

    /// The changes of this network namespace, last one first, and how many there are of others.
    ///
    /// # Errors
    /// [`UndoError`].
    pub fn pending(&self) -> Result<(Vec<Change>, usize), UndoError> {
        let here = namespace();
        let (ours, others): (Vec<_>, Vec<_>) = self
            .read()?
            .into_iter()
            .partition(|entry| entry.namespace == here);
        Ok((
            ours.into_iter().rev().map(|entry| entry.change).collect(),
            others.len(),
        ))
    }

    /// Writes down that the last change of this namespace that equals `change` came out as `made`: some drivers round
    /// what they are given.
    ///
    /// # Errors
    /// [`UndoError`]; the file is as it was.
    pub fn amend(&self, change: &Change, made: &Change) -> Result<(), UndoError> {
        let mut all = self.read()?;
        if let Some(last) = last_of(&all, change) {
            all[last].change = made.clone();
        }
        self.write(&all)
    }

    /// Strikes out the last change of this namespace that equals `change`.
    ///
    /// # Errors
    /// [`UndoError`]; the file is as it was.
    pub fn forget(&self, change: &Change) -> Result<(), UndoError> {
        let mut all = self.read()?;
        if let Some(last) = last_of(&all, change) {
            all.remove(last);
        }
        if all.is_empty() {
            return match fs::remove_file(&self.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => Err(self.os(error)),
                _ => Ok(()),
            };
        }
        self.write(&all)
    }

    fn read(&self) -> Result<Vec<Entry>, UndoError> {
        let file = match OpenOptions::new()
            .read(true)
            .custom_flags(NO_FOLLOW)
            .open(&self.path)
        {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.os(error)),
        };
        self.check_owner(&file)?;
        let mut text = String::new();
        file.take(MAX_FILE_BYTES)
            .read_to_string(&mut text)
            .map_err(|error| self.os(error))?;
        let entries: Vec<Entry> = serde_json::from_str(&text).map_err(|_| self.unsound())?;
        if entries.iter().all(|entry| entry.change.is_sound()) {
            Ok(entries)
        } else {
            Err(self.unsound())
        }
    }

    fn write(&self, entries: &[Entry]) -> Result<(), UndoError> {
        let text = serde_json::to_string_pretty(entries).map_err(|_| self.unsound())?;
        if let Some(folder) = self.path.parent().filter(|folder| !folder.exists()) {
            DirBuilder::new()
                .mode(0o700)
                .create(folder)
                .map_err(|error| self.os(error))?;
        }
        let beside = self.path.with_extension("new");
        // One that a crash left.
        let _ = fs::remove_file(&beside);
        let written = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&beside)
            .and_then(|mut file| {
                file.write_all(text.as_bytes())?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&beside, &self.path));
        written.map_err(|error| self.os(error))
    }

    /// What this file says is done with this user's rights: nobody else may have written it.
    fn check_owner(&self, file: &File) -> Result<(), UndoError> {
        let own = fs::metadata("/proc/self")
            .map_err(|error| self.os(error))?
            .uid();
        let found = file.metadata().map_err(|error| self.os(error))?;
        let others_write = found.mode() & 0o022 != 0;
        if found.uid() == own && found.is_file() && !others_write {
            Ok(())
        } else {
            Err(UndoError::NotOurs {
                path: self.path.clone(),
            })
        }
    }

    fn os(&self, source: io::Error) -> UndoError {
        UndoError::Os {
            path: self.path.clone(),
            source,
        }
    }

    fn unsound(&self) -> UndoError {
        UndoError::Unsound {
            path: self.path.clone(),
        }
    }
}

/// `O_NOFOLLOW` of `asm-generic/fcntl.h`; `open` of a symbolic link then fails.
#[cfg(not(any(
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "powerpc64"
)))]
const NO_FOLLOW: i32 = 0o400_000;
#[cfg(any(
    target_arch = "aarch64",
    target_arch = "arm",
    target_arch = "powerpc64"
))]
const NO_FOLLOW: i32 = 0o100_000;

/// Where the last change of this namespace that equals `change` stands.
fn last_of(all: &[Entry], change: &Change) -> Option<usize> {
    let here = namespace();
    all.iter()
        .rposition(|entry| entry.namespace == here && entry.change == *change)
}

/// The network namespace of this process, as the kernel names it; empty where /proc is missing.
fn namespace() -> String {
    fs::read_link("/proc/self/ns/net")
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path =
                std::env::temp_dir().join(format!("sluicegate-undo-{name}-{}", std::process::id()));
            fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn undo(&self) -> Undo {
            Undo::new(&self.0.join("more/undo.json"))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn mtu(from: u32, to: u32) -> Change {
        Change::Mtu {
            interface: "eth0".into(),
            from,
            to,
        }
    }

    #[test]
    fn changes_are_put_back_last_one_first() {
        let folder = Folder::new("order");
        let undo = folder.undo();
        assert_eq!(undo.pending().unwrap(), (Vec::new(), 0));
        undo.record(&mtu(9000, 3000)).unwrap();
        undo.record(&mtu(3000, 1500)).unwrap();
        assert_eq!(
            undo.pending().unwrap().0,
            [mtu(3000, 1500), mtu(9000, 3000)]
        );
        undo.forget(&mtu(3000, 1500)).unwrap();
        assert_eq!(undo.pending().unwrap().0, [mtu(9000, 3000)]);
        undo.forget(&mtu(9000, 3000)).unwrap();
        assert!(!undo.path.exists());
        undo.forget(&mtu(9000, 3000)).unwrap();
    }

    #[test]
    fn what_came_out_is_remembered() {
        let folder = Folder::new("amend");
        let undo = folder.undo();
        undo.record(&mtu(9000, 3000)).unwrap();
        undo.amend(&mtu(9000, 3000), &mtu(9000, 2992)).unwrap();
        assert_eq!(undo.pending().unwrap().0, [mtu(9000, 2992)]);
    }

    #[test]
    fn a_file_that_others_could_write_is_not_obeyed() {
        let folder = Folder::new("owner");
        let undo = folder.undo();
        undo.record(&mtu(9000, 1500)).unwrap();
        let mode = |mode| fs::set_permissions(&undo.path, PermissionsExt::from_mode(mode)).unwrap();
        mode(0o622);
        assert!(matches!(undo.pending(), Err(UndoError::NotOurs { .. })));
        mode(0o600);
        let other = undo.path.with_extension("other");
        fs::rename(&undo.path, &other).unwrap();
        std::os::unix::fs::symlink(&other, &undo.path).unwrap();
        assert!(undo.pending().is_err());
    }

    #[test]
    fn other_text_is_refused() {
        let folder = Folder::new("text");
        let undo = folder.undo();
        undo.record(&mtu(9000, 1500)).unwrap();
        let odd = fs::read_to_string(&undo.path)
            .unwrap()
            .replace("eth0", "-h");
        for text in ["", "[{}]", odd.as_str()] {
            fs::write(&undo.path, text).unwrap();
            assert!(
                matches!(undo.pending(), Err(UndoError::Unsound { .. })),
                "{text}"
            );
        }
    }
}
