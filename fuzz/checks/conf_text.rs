//! What must hold for every text that claims to be a configuration. Run by the fuzz target, over its corpus by
//! `cargo test`, and on generated texts.

use std::path::Path;

use sluicegate_conf::{LoadOptions, Span, load_text};

/// Neither reads other files nor looks for them: a name may be that of a device.
fn options() -> LoadOptions {
    LoadOptions {
        check_files: false,
        follow_includes: false,
        ..LoadOptions::default()
    }
}

/// Panics if a place lies outside of its file, a mistake cannot be shown, or what is handed to libunbound cannot
/// be read back by the same rules.
pub(crate) fn check(bytes: &[u8]) {
    let loaded = load_text(Path::new("/nonexistent/x.conf"), bytes, &options());
    for diagnostic in &loaded.diagnostics {
        if diagnostic.span == Span::NONE {
            continue;
        }
        let source = loaded
            .sources
            .source(diagnostic.span)
            .expect("the file of a place is known");
        let (start, end) = (diagnostic.span.start as usize, diagnostic.span.end as usize);
        assert!(source.text.get(start..end).is_some(), "{diagnostic:?}");
        assert!(loaded.sources.line_column(diagnostic.span).is_some());
    }
    let rendered = loaded.render(false);
    assert_eq!(rendered.is_empty(), loaded.diagnostics.is_empty());
    if let Some(config) = loaded.config {
        let engine = &config.engine.text;
        let again = load_text(Path::new("/nonexistent/engine.conf"), engine, &options());
        assert!(again.config.is_some(), "{engine}\n{}", again.render(false));
    }
}
