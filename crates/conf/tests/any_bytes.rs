//! Whatever the bytes are: no panic, places within their files, and an end.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use sluicegate_conf::table;

#[path = "../../../fuzz/checks/conf_text.rs"]
mod conf_text;

use conf_text::check;

/// The fuzz target's corpus, replayed: what fuzzing once found stays found, also where no fuzzer runs.
#[test]
fn the_corpus_is_survived() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/conf_text");
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the project") {
        let path = entry.expect("a readable folder").path();
        check(&fs::read(&path).expect("a readable file"));
        inputs += 1;
    }
    assert!(inputs >= 30, "{} holds {inputs} inputs", folder.display());
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
