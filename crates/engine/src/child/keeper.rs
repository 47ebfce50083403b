//! Which context keeps which trust anchor file, and what the others get instead.

use std::ffi::CString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::anchors::{Anchors, Source, files_in, rewrite};
use crate::wire::KeepAnchors;

/// The configuration's text, for each kind of context.
#[derive(Debug)]
pub(super) struct Texts {
    /// For the first context: it keeps the files that can be written.
    pub(super) keeper: String,
    /// For all others: the keys alone.
    pub(super) others: String,
    /// Whose keys are kept, in presentation format, to be asked for.
    pub(super) owners: Vec<CString>,
    /// Folders that the keeper writes in.
    pub(super) folders: Vec<PathBuf>,
    /// What the operator should know.
    pub(super) notes: Vec<String>,
}

/// Keys that nobody looked at for so long may have been replaced: RFC 5011's hold-down is 30 days.
const OLD: Duration = Duration::from_hours(30 * 24);

impl Texts {
    /// Looks at the files that the text names; makes those that are missing or empty.
    pub(super) fn of(text: &str, keep: KeepAnchors) -> Self {
        let files: Vec<Kept> = files_in(text)
            .into_iter()
            .map(|path| Kept::look(path, keep))
            .collect();
        let find = |path: &Path| files.iter().find(|file| file.path == path);
        let mut texts = Self {
            keeper: rewrite(text, |path| {
                find(path).filter(|file| !file.writable).map(Kept::options)
            }),
            others: rewrite(text, |path| find(path).map(Kept::options)),
            owners: Vec::new(),
            folders: Vec::new(),
            notes: Vec::new(),
        };
        for file in files {
            if file.writable {
                texts.owners.extend(CString::new(file.anchors.owner));
                texts.folders.extend(file.path.parent().map(Path::to_owned));
            }
            texts.notes.extend(file.note);
        }
        texts
    }
}

/// One such file.
#[derive(Debug)]
struct Kept {
    path: PathBuf,
    anchors: Anchors,
    writable: bool,
    note: Option<String>,
}

impl Kept {
    fn look(path: PathBuf, keep: KeepAnchors) -> Self {
        let shown = path.display().to_string();
        let (anchors, source) = Anchors::kept_in(&path);
        let fresh = source == Source::Root;
        let writable = keep == KeepAnchors::Yes && can_replace(&path);
        let mut file = Self {
            anchors,
            path,
            writable,
            note: None,
        };
        if fresh && writable && std::fs::write(&file.path, file.anchors.text()).is_err() {
            file.writable = false;
        }
        if file.anchors.records.is_empty() {
            // Revoked, or nothing that we can read: libunbound says what it thinks of it.
            file.writable = file.writable && file.path.exists();
        } else if !file.writable && keep == KeepAnchors::Yes {
            file.note = Some(format!(
                "warning: auto-trust-anchor-file {shown} can't be replaced: its keys are trusted, but \
                 rollovers are not followed (RFC 5011)"
            ));
        } else if file.anchors.is_old() {
            file.note = Some(format!(
                "warning: the keys in {shown} were last seen more than 30 days ago: if validation fails, \
                 fetch new ones (unbound-anchor)"
            ));
        } else if fresh {
            file.note = Some(format!(
                "info: auto-trust-anchor-file {shown} was missing or empty: made with the root's keys"
            ));
        }
        file
    }

    /// What stands for its line where the file itself is not to be read.
    fn options(&self) -> String {
        self.anchors.as_options()
    }
}

impl Anchors {
    fn text(&self) -> String {
        self.records.join("\n") + "\n"
    }

    fn is_old(&self) -> bool {
        let seen = self.last_success_secs;
        let seen = seen.map(|secs| SystemTime::UNIX_EPOCH + Duration::from_secs(secs));
        seen.is_some_and(|seen| seen.elapsed().is_ok_and(|age| age > OLD))
    }
}

/// Whether a file can be replaced without privileges, which the engine won't have: tried by a thread that has
/// dropped them.
fn can_replace(path: &Path) -> bool {
    let trial = path.with_extension(format!("{}{TRIAL}", std::process::id()));
    let path = path.to_owned();
    let attempt = move || {
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, none).map_err(io::Error::from)?;
        remove_leftovers(&path);
        let written = std::fs::File::create_new(&trial).and_then(|mut file| file.write_all(b";\n"));
        let _ = std::fs::remove_file(&trial);
        written
    };
    let thread = std::thread::Builder::new().spawn(attempt);
    thread.is_ok_and(|thread| thread.join().is_ok_and(|written| written.is_ok()))
}

/// Removes what processes left beside the file that were killed in the middle of a trial, or while libunbound wrote it
/// anew: it writes to `FILE.PID-THREAD-ADDRESS` first.
fn remove_leftovers(path: &Path) {
    let (Some(folder), Some(name), Some(stem)) =
        (path.parent(), path.file_name(), path.file_stem())
    else {
        return;
    };
    let (name, stem) = (name.to_string_lossy(), stem.to_string_lossy());
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let found = entry.file_name();
        let found = found.to_string_lossy();
        let pid = process_in(&found, &stem, TRIAL).or_else(|| process_in(&found, &name, "-"));
        let is_over = |pid: u32| {
            pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists()
        };
        if pid.is_some_and(is_over) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The process in a name `START.PID` with `end` behind it: `-trial`, and nothing more; or `-` and libunbound's numbers.
fn process_in(name: &str, start: &str, end: &str) -> Option<u32> {
    let rest = name.strip_prefix(start)?.strip_prefix('.')?;
    let digits = rest.find(|letter: char| !letter.is_ascii_digit())?;
    let (pid, rest) = rest.split_at(digits);
    let behind = rest.strip_prefix(end)?;
    let is_number = |letter: char| letter.is_ascii_hexdigit() || letter == '-';
    let fits = if end == TRIAL {
        behind.is_empty()
    } else {
        behind.contains('-') && behind.chars().all(is_number)
    };
    pid.parse().ok().filter(|_| fits)
}

/// The end of a trial's name.
const TRIAL: &str = "-trial";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ROOT_ANCHORS;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("sluicegate-keeper-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn text(&self) -> String {
            let path = self.0.join("root.key");
            format!(
                "server: # line 1\n  auto-trust-anchor-file: \"{}\"\n",
                path.display()
            )
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_missing_or_empty_file_is_made() {
        let folder = Folder::new("made");
        for _ in 0..2 {
            let texts = Texts::of(&folder.text(), KeepAnchors::Yes);
            assert_eq!(texts.keeper, folder.text());
            assert!(
                texts.others.contains(" trust-anchor: \". "),
                "{}",
                texts.others
            );
            assert_eq!(texts.folders, std::slice::from_ref(&folder.0));
            assert_eq!(texts.owners, [c".".to_owned()]);
            assert!(texts.notes[0].starts_with("info: "), "{:?}", texts.notes);
            let made = Anchors::read(&folder.0.join("root.key")).unwrap();
            assert!(made.keys().len() >= 2);
            // As if an installer had made it.
            std::fs::write(folder.0.join("root.key"), "").unwrap();
        }
        assert_eq!(
            std::fs::read_dir(&folder.0).unwrap().count(),
            1,
            "no trial is left"
        );
    }

    #[test]
    fn what_killed_processes_left_is_removed_and_nothing_else() {
        let folder = Folder::new("left");
        let dead = {
            let mut child = std::process::Command::new("true").spawn().unwrap();
            child.wait().unwrap();
            child.id()
        };
        let (own, living) = (std::process::id(), 1);
        let gone = [
            format!("root.{dead}-trial"),
            format!("root.{own}-trial"),
            format!("root.key.{dead}-0-55d0aa11"),
        ];
        let kept = [
            "root.key".to_owned(),
            format!("root.{living}-trial"),
            format!("root.key.{living}-0-55d0aa11"),
            format!("root.key.{dead}-backup"),
            format!("root.key.{dead}"),
            format!("other.{dead}-trial"),
        ];
        for name in gone.iter().chain(&kept) {
            std::fs::write(folder.0.join(name), ROOT_ANCHORS[0]).unwrap();
        }
        let texts = Texts::of(&folder.text(), KeepAnchors::Yes);
        assert_eq!(texts.folders, std::slice::from_ref(&folder.0));
        for name in gone {
            assert!(!folder.0.join(&name).exists(), "{name}");
        }
        for name in kept {
            assert!(folder.0.join(&name).exists(), "{name}");
        }
    }

    #[test]
    fn what_must_not_or_cannot_be_written_is_trusted_all_the_same() {
        let folder = Folder::new("fixed");
        std::fs::write(folder.0.join("root.key"), ROOT_ANCHORS[0]).unwrap();
        let texts = Texts::of(&folder.text(), KeepAnchors::No);
        assert_eq!(texts.keeper, texts.others);
        assert!(texts.folders.is_empty() && texts.owners.is_empty());
        let nowhere = "auto-trust-anchor-file: /proc/no-such-folder/root.key\n";
        let texts = Texts::of(nowhere, KeepAnchors::Yes);
        assert!(texts.keeper.contains("trust-anchor: "), "{}", texts.keeper);
        assert!(texts.notes[0].contains("not followed"), "{:?}", texts.notes);
    }
}
