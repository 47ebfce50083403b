use std::path::{Path, PathBuf};

/// The file name of an `include:`, or of an option that takes wildcards.
///
/// As Unbound uses glob(3): `*`, `?`, `[...]`, `{a,b}` and a leading `~` are wildcards; matches come sorted;
/// a pattern that matches nothing names no file.
#[derive(Debug)]
pub(crate) struct Pattern<'a>(&'a str);

impl<'a> Pattern<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self(text)
    }

    /// Whether it is more than the name of one file.
    pub(crate) fn has_wildcards(&self) -> bool {
        self.0.contains(['*', '?', '[', '{', '~'])
    }

    /// The files meant; a name without wildcards is returned as it is, whether the file exists or not.
    ///
    /// # Errors
    /// The pattern is malformed, matches too much, or needs a directory that cannot be read.
    pub(crate) fn files(&self, directory: &Path) -> Result<Vec<PathBuf>, String> {
        if !self.has_wildcards() {
            return Ok(vec![directory.join(self.0)]);
        }
        let mut files = Vec::new();
        for pattern in expand_braces(&expand_home(self.0))? {
            // Only a glob of its own understands `**`.
            let pattern = pattern.replace("**", "*");
            check_fixed_part(directory, &pattern)?;
            let base = if pattern.starts_with('/') {
                String::new()
            } else {
                escaped(directory)
            };
            let found = glob::glob_with(&format!("{base}{pattern}"), OPTIONS)
                .map_err(|error| error.msg.to_owned())?;
            for path in found {
                files.push(path.map_err(|error| crate::reader::describe(error.error()))?);
                if files.len() > MAX_MATCHES {
                    return Err(format!("it matches more than {MAX_MATCHES} files"));
                }
            }
        }
        Ok(files)
    }
}

const MAX_MATCHES: usize = 10_000;

/// `{a,b}{c,d}...` doubles with each pair.
const MAX_ALTERNATIVES: usize = 256;

/// As glob(3) without flags for a leading dot.
const OPTIONS: glob::MatchOptions = glob::MatchOptions {
    case_sensitive: true,
    require_literal_separator: true,
    require_literal_leading_dot: true,
};

/// The directory before the first wildcard must be readable: a pattern there is a slip, not an empty set.
fn check_fixed_part(directory: &Path, pattern: &str) -> Result<(), String> {
    let wildcard = pattern.find(['*', '?', '[']).unwrap_or(pattern.len());
    let fixed = pattern[..wildcard]
        .rfind('/')
        .map_or("", |slash| &pattern[..=slash]);
    let fixed = directory.join(fixed);
    let read = std::fs::read_dir(&fixed).map(|_| ());
    read.map_err(|why| format!("{}: {}", fixed.display(), crate::reader::describe(&why)))
}

fn escaped(directory: &Path) -> String {
    format!("{}/", glob::Pattern::escape(&directory.to_string_lossy()))
}

fn expand_home(text: &str) -> String {
    match (text.strip_prefix('~'), std::env::var("HOME")) {
        (Some(rest), Ok(home)) if rest.is_empty() || rest.starts_with('/') => {
            format!("{home}{rest}")
        }
        _ => text.to_owned(),
    }
}

/// `a{b,c}d` as `abd`, `acd`; braces without a comma, or without an end, stand for themselves.
fn expand_braces(text: &str) -> Result<Vec<String>, String> {
    let mut done = Vec::new();
    let mut todo = vec![(text.to_owned(), 0)];
    while let Some((text, from)) = todo.pop() {
        let Some((open, close)) = braces(&text, from) else {
            done.push(text);
            continue;
        };
        let (head, body, tail) = (&text[..open], &text[open + 1..close], &text[close + 1..]);
        let parts = alternatives(body);
        if parts.len() < 2 {
            todo.push((text.clone(), close + 1));
            continue;
        }
        // The stack turns the order round twice.
        todo.extend(
            parts
                .iter()
                .rev()
                .map(|part| (format!("{head}{part}{tail}"), open)),
        );
        if todo.len() + done.len() > MAX_ALTERNATIVES {
            return Err(format!(
                "its braces mean more than {MAX_ALTERNATIVES} names"
            ));
        }
    }
    Ok(done)
}

/// The first pair of braces at or after `from`.
fn braces(text: &str, from: usize) -> Option<(usize, usize)> {
    let open = from + text.get(from..)?.find('{')?;
    let mut depth = 0usize;
    for (i, byte) in text.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some((open, i));
        }
    }
    None
}

/// Splits at the commas outside of inner braces.
fn alternatives(body: &str) -> Vec<&str> {
    let (mut parts, mut start, mut depth) = (Vec::new(), 0, 0usize);
    for (i, byte) in body.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                parts.push(&body[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&body[start..]);
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn braces_expand_in_order() {
        assert_eq!(
            expand_braces("a{b,c{d,e}}f").unwrap(),
            ["abf", "acdf", "acef"]
        );
        assert_eq!(expand_braces("{x}{1,2}").unwrap(), ["{x}1", "{x}2"]);
        assert_eq!(expand_braces("open{a,b").unwrap(), ["open{a,b"]);
        assert!(expand_braces(&"{a,b}".repeat(12)).is_err());
    }
}
