//! The fuzz targets' corpora, replayed: what fuzzing once found stays found, also where no fuzzer runs.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/checks/dns_answer.rs"]
mod dns_answer;
#[path = "../../../fuzz/checks/dns_query.rs"]
mod dns_query;

#[test]
fn dns_query_corpus() {
    replay("dns_query", 100, dns_query::check);
}

#[test]
fn dns_answer_corpus() {
    replay("dns_answer", 60, dns_answer::check);
}

fn replay(target: &str, at_least: usize, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the project") {
        let path = entry.expect("a readable folder").path();
        check(&fs::read(&path).expect("a readable file"));
        inputs += 1;
    }
    assert!(
        inputs >= at_least,
        "{} holds {inputs} inputs",
        folder.display()
    );
}
