//! Whatever the bytes are: no panic, places within their files, and an end.

use std::path::Path;

use proptest::prelude::*;
use sluicegate_conf::{LoadOptions, Span, load_text, table};

/// Neither reads other files nor looks for them.
fn options() -> LoadOptions {
    LoadOptions {
        check_files: false,
        directory: Some("/nonexistent".into()),
        ..LoadOptions::default()
    }
}

fn check(bytes: &[u8]) {
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
        assert!(
            start <= end && source.text.get(start..end).is_some(),
            "{diagnostic:?}"
        );
        assert!(loaded.sources.line_column(diagnostic.span).is_some());
    }
    // Rendering cuts lines; it must cut between characters.
    let rendered = loaded.render(false);
    assert_eq!(rendered.is_empty(), loaded.diagnostics.is_empty());
    if let Some(config) = loaded.config {
        // What is handed over must be read by the same rules without a mistake.
        let again = load_text(
            Path::new("/nonexistent/engine.conf"),
            &config.engine.text,
            &options(),
        );
        assert!(
            again.config.is_some(),
            "{}\n{}",
            config.engine.text,
            again.render(false)
        );
    }
}

/// Pieces that get further into the parser than bytes do.
fn piece() -> impl Strategy<Value = String> {
    let names: Vec<String> = table::keywords()
        .map(|row| format!("{}:", row.name))
        .collect();
    let values = [
        "yes",
        "no",
        "10",
        "4m",
        "192.0.2.1@53",
        "10.0.0.0/8",
        "allow",
        "static",
        "a.example.",
        "/x",
        "eth0",
    ];
    let rest = [
        "\"",
        "'",
        "\\",
        "#",
        "\n",
        "\r\n",
        " ",
        "include:",
        "include-toplevel: \"",
        "é",
        ":",
        "\0",
        "\"\"",
        "@",
    ];
    prop_oneof![
        prop::sample::select(names),
        prop::sample::select(values.map(String::from).to_vec()),
        prop::sample::select(rest.map(String::from).to_vec()),
    ]
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        check(&bytes);
    }

    #[test]
    fn pieces_of_configurations_are_survived(pieces in prop::collection::vec(piece(), 0..60)) {
        check(pieces.join(" ").as_bytes());
        check(pieces.concat().as_bytes());
    }

    #[test]
    fn every_option_survives_every_value(row in 0..table::keywords().count(), values in prop::collection::vec(piece(), 1..4)) {
        let row = table::keywords().nth(row).expect("within the count");
        for clause in row.clauses.iter() {
            check(format!("{}:\n {}: {}\n", clause.name(), row.name, values.join(" ")).as_bytes());
        }
    }
}
