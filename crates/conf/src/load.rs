use std::path::{Path, PathBuf};

use crate::diagnostic::has_errors;
use crate::parse::parse;
use crate::reader::{Reader, describe, remedy};
use crate::resolve::resolve;
use crate::table::{Version, keyword};
use crate::tree::Tree;
use crate::{Config, Diagnostic, SourceMap, Span, render};

/// What is known when a configuration is read.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// The version of the libunbound that will get the engine's part; options newer than it are left out.
    /// `None`: all are handed over.
    pub engine_version: Option<Version>,
    /// Whether that libunbound knows an option of `server:` all the same: distributions add some with their
    /// security fixes. Asked only for options that are newer than the version; default: no.
    pub engine_knows: fn(&str) -> bool,
    /// The modules that libunbound was built with; others are left out of `module-config:`. `None`: all
    /// are taken to be there.
    pub engine_modules: Option<Vec<String>>,
    /// Whether the files that options name are looked for.
    pub check_files: bool,
    /// Whether `include:` reads files. If not, it brings in nothing.
    pub follow_includes: bool,
    /// Where relative file names begin until `directory:` says otherwise. `None`: where the first file
    /// stands. (Unbound has a directory compiled in, which is where Debian keeps the first file.)
    pub directory: Option<PathBuf>,
}

impl Default for LoadOptions {
    fn default() -> Self {
        Self {
            engine_version: None,
            engine_knows: |_| false,
            engine_modules: None,
            check_files: true,
            follow_includes: true,
            directory: None,
        }
    }
}

/// A configuration that was read, and what there is to say about it.
#[derive(Debug)]
pub struct Loaded {
    /// The configuration; `None` when there is an error.
    pub config: Option<Config>,
    /// Errors, warnings and notes, in the order they were found.
    pub diagnostics: Vec<Diagnostic>,
    /// The files, to tell places by.
    pub sources: SourceMap,
    tree: Tree,
}

impl Loaded {
    /// The diagnostics as text; empty when there are none.
    pub fn render(&self, colour: bool) -> String {
        render(&self.diagnostics, &self.sources, colour)
    }

    /// What `checkconf -o` prints for an option: the values that hold, one on a line, as they were written
    /// (aliases count as the option they stand for), or the default. `None` for a name that is no option.
    pub fn value_of(&self, name: &str) -> Option<String> {
        let row = keyword(name).filter(|row| row.opens.is_none())?;
        let all = self.tree.clauses.iter().flat_map(|clause| &clause.options);
        let written = all.filter(|option| option.keyword.canonical == row.canonical);
        let mut values: Vec<String> = written
            .map(|option| {
                let texts: Vec<&str> = option
                    .values()
                    .iter()
                    .map(|value| self.sources.text(value.span))
                    .collect();
                texts.join(" ")
            })
            .collect();
        if !row.accumulates() {
            values.drain(..values.len().saturating_sub(1));
        }
        if values.is_empty() {
            values.push(row.default.to_owned());
        }
        Some(values.join("\n"))
    }
}

/// Reads a configuration file and all that it includes.
pub fn load(path: &Path, options: &LoadOptions) -> Loaded {
    match Reader::of_file(path, base(path, options), options.follow_includes) {
        Ok(reader) => finish(reader, path, options),
        Err(why) => {
            let message = format!("cannot read `{}`: {}", path.display(), describe(&why));
            let error = Diagnostic::error(Span::NONE, message).help(remedy(&why, path));
            Loaded {
                config: None,
                diagnostics: vec![error],
                sources: SourceMap::default(),
                tree: Tree::default(),
            }
        }
    }
}

/// Reads a configuration from a text that stands for the file `path`. Included files are read from disk.
pub fn load_text(path: &Path, text: impl AsRef<[u8]>, options: &LoadOptions) -> Loaded {
    finish(
        Reader::of_text(
            path,
            text.as_ref(),
            base(path, options),
            options.follow_includes,
        ),
        path,
        options,
    )
}

/// What `checkconf` says of a file, and whether it may be used.
pub fn check(path: &Path, options: &LoadOptions, colour: bool) -> (String, bool) {
    let loaded = load(path, options);
    (loaded.render(colour), loaded.config.is_some())
}

fn finish(mut reader: Reader, path: &Path, options: &LoadOptions) -> Loaded {
    let tree = parse(&mut reader);
    let Reader {
        sources,
        mut diagnostics,
        ..
    } = reader;
    let config = resolve(
        &tree,
        &sources,
        options,
        &base(path, options),
        &mut diagnostics,
    );
    let config = (!has_errors(&diagnostics)).then_some(config);
    Loaded {
        config,
        diagnostics,
        sources,
        tree,
    }
}

/// Where relative names begin.
fn base(path: &Path, options: &LoadOptions) -> PathBuf {
    let parent = || {
        path.parent()
            .filter(|parent| !parent.as_os_str().is_empty())
            .map(Path::to_owned)
    };
    let base = options
        .directory
        .clone()
        .or_else(parent)
        .unwrap_or_else(|| PathBuf::from("."));
    std::path::absolute(&base).unwrap_or(base)
}
