//! Which context keeps which trust anchor file, and what the others get instead.

use std::ffi::CString;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};

use crate::ROOT_ANCHORS;
use crate::anchors::{Anchors, DISTRIBUTION_ROOT_KEY, files_in, rewrite};
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
        let read = Anchors::read(&path);
        let fresh = match &read {
            Ok(_) => std::fs::metadata(&path).is_ok_and(|file| file.len() == 0),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        let writable = keep == KeepAnchors::Yes && can_replace(&path);
        let mut file = Self {
            anchors: if fresh {
                first_anchors()
            } else {
                read.unwrap_or_default()
            },
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

/// The root's keys: the distribution's, if it has any, else those built in.
fn first_anchors() -> Anchors {
    let distribution = Anchors::read(Path::new(DISTRIBUTION_ROOT_KEY));
    distribution
        .ok()
        .filter(|anchors| anchors.owner == "." && !anchors.records.is_empty())
        .unwrap_or_else(|| Anchors::parse(&ROOT_ANCHORS.join("\n")))
}

/// Whether a file can be replaced without privileges, which the engine won't have: tried by a thread that has
/// dropped them.
fn can_replace(path: &Path) -> bool {
    let trial = path.with_extension(format!("{}-trial", std::process::id()));
    let attempt = move || {
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, none).map_err(io::Error::from)?;
        let written = std::fs::File::create_new(&trial).and_then(|mut file| file.write_all(b";\n"));
        let _ = std::fs::remove_file(&trial);
        written
    };
    let thread = std::thread::Builder::new().spawn(attempt);
    thread.is_ok_and(|thread| thread.join().is_ok_and(|written| written.is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
