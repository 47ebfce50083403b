use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The files that the resolver's part of a configuration names, as they were at one time: root hints, trust
/// anchors, zone files, certificates. If one has changed, a reload must let the engine read it again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct NamedFiles(BTreeMap<PathBuf, Mark>);

/// Inode, size in octets, time of change in seconds and nanoseconds.
type Mark = (u64, u64, i64, i64);

impl NamedFiles {
    /// Looks at every word of the text that is the absolute name of a file. (The configuration's own reader has
    /// made all names absolute.)
    pub(super) fn now(text: &str) -> Self {
        let words = text.split(|c: char| c.is_whitespace() || c == '"');
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
        assert_ne!(first, NamedFiles::now(&text));
        std::fs::remove_file(&path).unwrap();
        assert_eq!(NamedFiles::now(&text), missing);
    }
}
