use std::path::{Path, PathBuf};

use sluicegate_answer::Policy;
use sluicegate_conf::{Config, Diagnostic, LoadOptions, Severity, Version, render};

/// A configuration that can be used, with the policy that it makes.
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What `answer()` decides by.
    pub policy: Policy,
    /// Warnings as text, with their places; empty if there are none.
    pub warnings: String,
}

/// Why a configuration can't be used: everything there is to say about it, as text.
#[derive(Debug, thiserror::Error)]
#[error("the configuration can't be used:\n{text}")]
pub struct LoadError {
    text: String,
}

/// What `checkconf` says of a file.
pub struct Checked {
    /// Errors, warnings and notes as text; empty if there are none.
    pub text: String,
    /// Whether a server would take it.
    pub usable: bool,
    read: sluicegate_conf::Loaded,
}

impl Checked {
    /// The value of one option, as `checkconf -o` prints it; `None`: there is no such option.
    pub fn value_of(&self, option: &str) -> Option<String> {
        self.read.value_of(option)
    }
}

/// Reads a configuration and makes a policy of it, exactly as the server does.
///
/// # Errors
/// It can't be used.
pub fn load(path: &Path) -> Result<Loaded, LoadError> {
    let (mut read, policy) = read(path);
    let usable = read.config.take().zip(policy);
    let told = if usable.is_some() {
        Severity::Warning
    } else {
        Severity::Error
    };
    read.diagnostics
        .retain(|diagnostic| diagnostic.severity == told);
    let text = read.render(false);
    let (config, policy) = usable.ok_or_else(|| LoadError { text: text.clone() })?;
    Ok(Loaded {
        config,
        policy,
        warnings: text,
    })
}

/// Reads a configuration and says everything there is to say about it.
pub fn check(path: &Path, colour: bool) -> Checked {
    let (read, policy) = read(path);
    Checked {
        text: render(&read.diagnostics, &read.sources, colour),
        usable: policy.is_some(),
        read,
    }
}

/// Reads, and builds the policy if there is a configuration; its errors join the others.
fn read(path: &Path) -> (sluicegate_conf::Loaded, Option<Policy>) {
    let mut read = sluicegate_conf::load(path, &options());
    let policy = match read.config.as_ref().map(Policy::build) {
        Some(Ok(policy)) => Some(policy),
        Some(Err(errors)) => {
            let diagnostics = errors
                .iter()
                .map(|error| Diagnostic::error(error.at, error.to_string()));
            read.diagnostics.extend(diagnostics);
            None
        }
        None => None,
    };
    (read, policy)
}

/// What is known of the library that gets the resolver's part.
fn options() -> LoadOptions {
    let engine_version: Option<Version> = sluicegate_engine::version().parse().ok();
    LoadOptions {
        engine_version,
        engine_knows: Some(library_knows),
        engine_tls: library_speaks_tls(),
        ..LoadOptions::default()
    }
}

/// Whether our libunbound knows an option: it looks them up by the texts `name:` that it carries. Asked of what is
/// newer than it only, which security fixes may have brought to it.
///
/// A context that could be asked would have to be made in the server's process, where nothing of libunbound runs.
fn library_knows(option: &str) -> bool {
    let Some(library) = std::fs::read_to_string("/proc/self/maps")
        .ok()
        .and_then(|mapped| library_path(&mapped))
    else {
        return false;
    };
    let bytes = std::fs::read(library).unwrap_or_default();
    let text = format!("\0{option}:\0");
    holds(&bytes, text.as_bytes())
}

/// The file of our libunbound, from the process's map.
fn library_path(mapped: &str) -> Option<PathBuf> {
    let mut paths = mapped
        .lines()
        .filter_map(|line| line.find('/').map(|at| &line[at..]));
    paths
        .find(|path| path.contains("/libunbound.so"))
        .map(PathBuf::from)
}

/// Whether `bytes` has `part` in it.
fn holds(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Whether our libunbound can speak TLS to upstreams: only if it was built with OpenSSL, which nothing else
/// here uses. `None`: it can't be seen (a libunbound that is part of the program).
fn library_speaks_tls() -> Option<bool> {
    let mapped = std::fs::read_to_string("/proc/self/maps").ok()?;
    mapped
        .contains("/libunbound.so")
        .then(|| mapped.contains("/libssl.so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_is_asked_for_what_it_knows() {
        // Called so that the library is loaded.
        assert!(!sluicegate_engine::version().is_empty());
        // Old enough for every libunbound.
        assert!(library_knows("cache-max-ttl"));
        assert!(!library_knows("cache-max-tt"));
        assert!(!library_knows("no-such-option"));
    }

    #[test]
    fn the_library_is_found_in_the_map() {
        let map = "7f0-7f1 r--p 0 fe:00 1 /lib/libc.so.6\n7f2-7f3 r--p 0 fe:00 2   /lib/libunbound.so.8.1.19\n";
        let found = library_path(map);
        assert_eq!(
            found.as_deref(),
            Some(Path::new("/lib/libunbound.so.8.1.19"))
        );
        assert_eq!(library_path("7f0-7f1 rw-p 0 00:00 0\n"), None);
    }
}
