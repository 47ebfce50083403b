use std::path::Path;

use super::{anchors, checks, engine, listen, places, settings, status};
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
    anchors::check(&mut resolver, &places);
    if options.check_files {
        places.check_files(&mut resolver);
    }
    config.engine.text = engine::text(&mut resolver, &places);
    config
}

/// What all steps need.
pub(super) struct Resolver<'a> {
    pub(super) tree: &'a Tree,
    pub(super) sources: &'a SourceMap,
    pub(super) options: &'a LoadOptions,
    pub(super) diagnostics: &'a mut Vec<Diagnostic>,
}

impl<'a> Resolver<'a> {
    /// A value of an option.
    pub(super) fn text(&self, option: &OptionNode, index: usize) -> &'a str {
        option.text(index, self.sources)
    }

    pub(super) fn report(&mut self, diagnostic: Diagnostic) {
        self.diagnostics.push(diagnostic);
    }
}
