use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use super::Resolver;
use crate::pattern::Pattern;
use crate::reader::{describe, remedy};
use crate::table::{Arg, Clause, Status};
use crate::tree::{ClauseNode, OptionNode};
use crate::{At, Diagnostic, Span};

/// Where file names begin.
///
/// Unbound, once it has changed its root, sees `chroot:` as `/`; names may be written both ways. We keep our
/// root, so each name is turned into the one that means the same file from outside.
#[derive(Debug)]
pub(super) struct Places {
    base: PathBuf,
    /// Without a trailing slash; empty when there is none.
    chroot: String,
    directory: Option<(PathBuf, Span)>,
}

impl Places {
    pub(super) fn of(resolver: &Resolver<'_>, base: &Path) -> Self {
        let last = |name: &str| {
            let all = resolver
                .tree
                .options(Clause::Server)
                .filter(|option| option.keyword.name == name);
            all.last()
                .filter(|option| !resolver.text(option, 0).is_empty())
        };
        let chroot = last("chroot").map_or("", |option| resolver.text(option, 0));
        let chroot = chroot.trim_end_matches('/').to_owned();
        let mut places = Self {
            base: base.to_owned(),
            chroot,
            directory: None,
        };
        places.directory = last("directory").map(|option| {
            let inside = places.with_root(resolver.text(option, 0));
            (places.base.join(inside), option.first())
        });
        places
    }

    /// The directory that `directory:` names, and where.
    pub(super) fn directory(&self) -> Option<At<PathBuf>> {
        self.directory.as_ref().map(|(path, at)| At {
            value: path.clone(),
            at: *at,
        })
    }

    /// The file that a name means.
    pub(super) fn locate(&self, name: &str) -> PathBuf {
        let relative_to = self
            .directory
            .as_ref()
            .map_or(&self.base, |(directory, _)| directory);
        relative_to.join(self.with_root(name))
    }

    /// Whether a name means just what it says.
    pub(super) fn is_plain(&self, name: &str) -> bool {
        self.locate(name).as_os_str() == name
    }

    /// An absolute name, with the changed root before it unless it stands there already.
    fn with_root(&self, name: &str) -> PathBuf {
        if self.chroot.is_empty() || !name.starts_with('/') || within(name, &self.chroot) {
            return PathBuf::from(name);
        }
        PathBuf::from(format!("{}{name}", self.chroot))
    }

    /// Reports files and directories that are not there.
    pub(super) fn check_files(&self, resolver: &mut Resolver<'_>) {
        if let Some((directory, at)) = &self.directory
            && let Err(why) = std::fs::read_dir(directory)
        {
            let message = format!(
                "cannot enter the directory `{}`: {}",
                directory.display(),
                describe(&why)
            );
            resolver.report(Diagnostic::error(*at, message).help("create it, or name another"));
        }
        let tree = resolver.tree;
        let handed = tree
            .clauses
            .iter()
            .filter(|clause| !matches!(clause.keyword.status, Status::NotBuilt { .. }));
        for (clause, option) in
            handed.flat_map(|clause| clause.options.iter().map(move |option| (clause, option)))
        {
            if matches!(
                option.keyword.status,
                Status::NotBuilt { .. } | Status::Inert { .. }
            ) {
                continue;
            }
            let missing = match option.keyword.args {
                [Arg::ReadFile] => self.unreadable(resolver.text(option, 0)),
                [Arg::Path] if option.keyword.name == "zonefile" && !is_transferred(clause) => {
                    self.unreadable(resolver.text(option, 0))
                }
                [Arg::ReadFiles] => self.unreadable_matches(resolver.text(option, 0)),
                _ => None,
            };
            if let Some((path, why)) = missing {
                resolver.report(not_readable(option, &path, &why));
            }
        }
    }

    fn unreadable(&self, name: &str) -> Option<(PathBuf, io::Error)> {
        if name.is_empty() {
            return None;
        }
        let path = self.locate(name);
        // Opening a directory succeeds; reading from it does not.
        let opened = File::open(&path).and_then(|file| {
            if file.metadata()?.is_dir() {
                Err(io::ErrorKind::IsADirectory.into())
            } else {
                Ok(())
            }
        });
        opened.err().map(|why| (path, why))
    }

    /// A pattern may match nothing.
    fn unreadable_matches(&self, name: &str) -> Option<(PathBuf, io::Error)> {
        if !Pattern::new(name).has_wildcards() {
            return self.unreadable(name);
        }
        let root = self.locate(name);
        let files = Pattern::new(root.to_str()?)
            .files(&self.base)
            .unwrap_or_default();
        files
            .iter()
            .find_map(|file| self.unreadable(file.to_str()?))
    }
}

/// A zone that comes from elsewhere has no file at first.
fn is_transferred(zone: &ClauseNode) -> bool {
    zone.options
        .iter()
        .any(|option| matches!(option.keyword.canonical, "primary" | "url"))
}

fn not_readable(option: &OptionNode, path: &Path, why: &io::Error) -> Diagnostic {
    let message = format!("cannot read `{}`: {}", path.display(), describe(why));
    Diagnostic::error(option.first(), message)
        .label(format!("{} needs this file", option.keyword.written()))
        .help(remedy(why, path))
}

/// Whether a name lies in a directory.
fn within(name: &str, directory: &str) -> bool {
    name.strip_prefix(directory)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}
