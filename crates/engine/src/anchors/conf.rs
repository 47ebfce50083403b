//! The lines of a configuration that name such files.

use std::path::{Path, PathBuf};

const OPTION: &str = "auto-trust-anchor-file:";

/// The files that a configuration's text names, each once.
pub(crate) fn files_in(text: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for file in text.lines().filter_map(file_in) {
        if !files.iter().any(|known| known == file) {
            files.push(PathBuf::from(file));
        }
    }
    files
}

/// The text with other options in place of those lines: what `instead` says for a file; `None` leaves a line as
/// it is. Lines keep their numbers.
pub(crate) fn rewrite(text: &str, instead: impl Fn(&Path) -> Option<String>) -> String {
    let mut written = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        match file_in(line).and_then(|file| instead(Path::new(file))) {
            Some(options) => {
                written.push_str(&options);
                written.push('\n');
            }
            None => written.push_str(line),
        }
    }
    written
}

/// The file that a line names.
fn file_in(line: &str) -> Option<&str> {
    value_of(line, OPTION)
}

/// What a line gives an option, named with its colon: quoted, or up to the next blank.
pub(super) fn value_of<'a>(line: &'a str, option: &str) -> Option<&'a str> {
    let value = line.trim_start().strip_prefix(option)?.trim_start();
    let value = match value.chars().next()? {
        quote @ ('"' | '\'') => value[1..].split(quote).next()?,
        _ => value.split_whitespace().next()?,
    };
    (!value.is_empty()).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "server: # line 1\n    auto-trust-anchor-file: \"/a b/root.key\" # line 2\n  \
                        auto-trust-anchor-file: /c # line 3\nauto-trust-anchor-file: ''\n    \
                        trust-anchor-file: \"/d\"\n";

    #[test]
    fn files_are_found_and_lines_replaced() {
        assert_eq!(
            files_in(TEXT),
            [Path::new("/a b/root.key"), Path::new("/c")]
        );
        let other = rewrite(TEXT, |file| {
            (file == Path::new("/c")).then(|| "    trust-anchor: \"x\"".to_owned())
        });
        assert_eq!(
            other,
            TEXT.replace(
                "  auto-trust-anchor-file: /c # line 3",
                "    trust-anchor: \"x\""
            )
        );
        assert_eq!(rewrite(TEXT, |_| None), TEXT);
    }
}
