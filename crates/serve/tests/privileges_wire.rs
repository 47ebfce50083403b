//! The privileged process's protocol: the fuzz target's corpus, replayed, and datagrams made at random.

use std::fs;
use std::path::Path;

use proptest::prelude::*;

#[path = "../../../fuzz/checks/privileges_wire.rs"]
mod privileges_wire;

#[test]
fn corpus() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/privileges_wire");
    let mut inputs = 0;
    for entry in fs::read_dir(&folder).expect("the corpus is part of the project") {
        let path = entry.expect("a readable folder").path();
        let input = fs::read(&path).expect("a readable file");
        privileges_wire::check(&input);
        // Each bit of it, turned over: whatever is still read must be written like that.
        for bit in 0..input.len() * 8 {
            let mut other = input.clone();
            other[bit / 8] ^= 1 << (bit % 8);
            privileges_wire::check(&other);
        }
        inputs += 1;
    }
    assert!(inputs >= 10, "{} holds {inputs} inputs", folder.display());
}

proptest! {
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        privileges_wire::check(&bytes);
    }

    #[test]
    fn likely_requests(
        kind in 0u8..7, second in any::<u8>(), flags in [0u8..3, 0u8..8],
        port in any::<u16>(), scope in any::<u32>(), address in any::<[u8; 16]>(), tail in 0u8..2,
    ) {
        let mut bytes = vec![kind, second, flags[0], flags[1]];
        bytes.extend(port.to_be_bytes());
        bytes.extend([0, 0]);
        bytes.extend(scope.to_be_bytes());
        bytes.extend(address);
        bytes.extend([0, 0, 0, tail]);
        privileges_wire::check(&bytes);
    }
}
