//! From the tree to the [`Config`]: values are checked, the last one of an option wins, references and
//! files are looked up, and the engine's part is written.

mod access;
mod checks;
mod engine;
mod listen;
mod places;
mod settings;
mod status;
#[cfg(test)]
mod tests;

use std::path::Path;

use crate::tree::{OptionNode, Tree};
use crate::{Config, Diagnostic, LoadOptions, SourceMap};

/// The configuration that a tree means. Whether it may be used is for the diagnostics to say.
pub(crate) fn resolve(
    tree: &Tree,
    sources: &SourceMap,
    options: &LoadOptions,
    base: &Path,
    diagnostics: &mut Vec<Diagnostic>,
) -> Config {
    let mut resolver = Resolver {
        tree,
        sources,
        options,
        diagnostics,
    };
    status::report(&mut resolver);
    checks::values(&mut resolver);
    checks::clauses(&mut resolver);
    let places = places::Places::of(&resolver, base);
    let mut config = settings::settings(&mut resolver, &places);
    config.listen = listen::listen(&mut resolver, config.port);
    checks::sense(&mut resolver, &config);
    if options.check_files {
        places.check_files(&mut resolver);
    }
    config.engine.text = engine::text(&mut resolver, &places);
    config
}

/// What all steps need.
struct Resolver<'a> {
    tree: &'a Tree,
    sources: &'a SourceMap,
    options: &'a LoadOptions,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Resolver<'a> {
    /// A value of an option.
    fn text(&self, option: &OptionNode, index: usize) -> &'a str {
        option.text(index, self.sources)
    }

    fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}
