//! The fuzz target's corpus, replayed: what fuzzing once found stays found, also where no fuzzer runs.

use std::fs;
use std::path::Path;

#[path = "../../../fuzz/checks/packet_reply.rs"]
mod packet_reply;

#[test]
fn packet_reply_corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/packet_reply");
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the project") {
        let path = entry.expect("a readable folder").path();
        let input = fs::read(&path).expect("a readable file");
        packet_reply::check(&input);
        // Each input once more with mended checksums and another reply: more ways for the price of one.
        if let Some((control, frame)) = input.split_first() {
            packet_reply::check(&[&[control ^ 0x55], frame].concat());
        }
        inputs += 1;
    }
    assert!(inputs >= 20, "{} holds {inputs} inputs", folder.display());
}
