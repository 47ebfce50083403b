use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The files that the resolver's part of a configuration names, as they were at one time: root hints, trust
/// anchors, zone files, certificates. If one has changed, a reload must let the engine read it again.
///
/// Those of [`KEPT_BY_ENGINE`] are left out: libunbound itself writes them about once an hour, and other keys
/// in them are noticed by the engine's client without a reload.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NamedFiles(BTreeMap<PathBuf, Mark>);

/// Inode, size in octets, time of change in seconds and nanoseconds.
type Mark = (u64, u64, i64, i64);

/// The option for files that the engine keeps up to date (RFC 5011).
const KEPT_BY_ENGINE: &str = "auto-trust-anchor-file:";

impl NamedFiles {
    /// Those that are others than at that time, or there at one time only.
    pub(super) fn changed_since(&self, former: &Self) -> BTreeSet<PathBuf> {
        let all = self.0.keys().chain(former.0.keys());
        let changed = all.filter(|path| self.0.get(*path) != former.0.get(*path));
        changed.cloned().collect()
    }

    /// Looks at every word of the text that is the absolute name of a file. (The configuration's own reader has
    /// made all names absolute.)
    pub(super) fn now(text: &str) -> Self {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with(KEPT_BY_ENGINE));
        let words = lines.flat_map(|line| line.split(|c: char| c.is_whitespace() || c == '"'));
        let files = words
            .filter(|word| word.starts_with('/'))
            .filter_map(|word| {
                let file = std::fs::metadata(word)
                    .ok()
                    .filter(std::fs::Metadata::is_file)?;
                let mark = (file.ino(), file.len(), file.ctime(), file.ctime_nsec());
                Some((PathBuf::from(word), mark))
            });
        Self(files.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::NamedFiles;

    #[test]
    fn a_changed_file_is_seen() {
        let path = std::env::temp_dir().join(format!("sluicegate-named-{}", std::process::id()));
        let text = format!(
            "auth-zone:\n  name: x.\n  zonefile: \"{}\"\n",
            path.display()
        );
        let missing = NamedFiles::now(&text);
        std::fs::write(&path, "one").unwrap();
        let first = NamedFiles::now(&text);
        assert_ne!(first, missing);
        assert_eq!(first, NamedFiles::now(&text));
        std::fs::write(&path, "two!").unwrap();
        let second = NamedFiles::now(&text);
        assert_ne!(first, second);
        for (before, changed) in [(&missing, 1), (&first, 1), (&second, 0)] {
            assert_eq!(second.changed_since(before).len(), changed);
            assert_eq!(before.changed_since(&second).len(), changed);
        }
        std::fs::remove_file(&path).unwrap();
        assert_eq!(NamedFiles::now(&text), missing);
    }

    #[test]
    fn what_the_engine_writes_itself_does_not_count() {
        let path = std::env::temp_dir().join(format!("sluicegate-kept-{}", std::process::id()));
        let named_by = |option| {
            let text = format!("server:\n    {option}: \"{}\"\n", path.display());
            NamedFiles::now(&text)
        };
        std::fs::write(&path, ". IN DS 20326 8 2 E06D").unwrap();
        let (kept, read) = (
            named_by("auto-trust-anchor-file"),
            named_by("trust-anchor-file"),
        );
        std::fs::write(&path, ";;last_success: 1700000001").unwrap();
        assert_eq!(named_by("auto-trust-anchor-file"), kept);
        assert_ne!(named_by("trust-anchor-file"), read);
        std::fs::remove_file(&path).unwrap();
    }
}
