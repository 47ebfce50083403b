//! What ARCHITECTURE.md says of the tree is so.

use std::fs;
use std::path::Path;

use sluicegate_lab::workspace_root;

/// The words between back-ticks of a Markdown text, code blocks left out.
fn quoted(text: &str) -> Vec<&str> {
    let mut in_block = false;
    let mut words = Vec::new();
    for line in text.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            words.extend(line.split('`').skip(1).step_by(2));
        }
    }
    words
}

fn is_path(word: &str) -> bool {
    let plain = word
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
    let file = Path::new(word)
        .extension()
        .is_some_and(|ext| ["rs", "c", "md", "toml", "sh"].iter().any(|e| ext == *e));
    plain && (word.contains('/') || file)
}

#[test]
fn every_path_that_the_documents_name_exists() {
    let root = workspace_root();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md", "README.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let paths: Vec<&str> = quoted(&text)
            .into_iter()
            .filter(|word| is_path(word))
            .collect();
        assert!(
            !paths.is_empty(),
            "{document} names no path: is it read rightly?"
        );
        // What a build makes need not be there yet.
        let missing: Vec<_> = paths
            .iter()
            .filter(|path| {
                !path.starts_with('/')
                    && !path.starts_with("target/")
                    && !path.starts_with(".peers")
            })
            .filter(|path| !root.join(path).exists())
            .collect();
        assert!(
            missing.is_empty(),
            "{document} names what isn't there: {missing:?}"
        );
    }
}

#[test]
fn every_crate_is_on_the_map() {
    let root = workspace_root();
    let text = fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(
            text.contains(&format!("`crates/{name}`")),
            "crates/{name} is not on the map"
        );
    }
}

/// Edges point downwards: who may depend on whom, tests aside.
#[test]
fn edges_point_downwards() {
    let root = workspace_root();
    let allowed: [(&str, &[&str]); 11] = [
        ("xsk", &[]),
        ("packet", &[]),
        ("dns", &[]),
        ("conf", &[]),
        ("telemetry", &[]),
        ("answer", &["conf", "dns", "telemetry"]),
        ("engine", &["conf", "dns", "telemetry"]),
        ("doctor", &["bpf", "conf", "xsk"]),
        ("places", &["bpf", "xsk"]),
        (
            "serve",
            &[
                "answer",
                "bpf",
                "conf",
                "dns",
                "engine",
                "packet",
                "places",
                "telemetry",
                "xsk",
            ],
        ),
        (
            "sluicegate",
            &["answer", "conf", "doctor", "engine", "serve"],
        ),
    ];
    for entry in fs::read_dir(root.join("crates")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let known = allowed.iter().find(|(known, _)| *known == name);
        let (_, below) = known.unwrap_or_else(|| panic!("crates/{name} has no place in the order"));
        let manifest =
            fs::read_to_string(root.join("crates").join(&name).join("Cargo.toml")).unwrap();
        let shipped = manifest.split("[dev-dependencies]").next().unwrap();
        let edges = shipped.lines().filter_map(|line| {
            line.strip_prefix("sluicegate-")?
                .split(['.', ' ', '='])
                .next()
        });
        for edge in edges {
            assert!(
                below.contains(&edge),
                "crates/{name} must not depend on {edge}"
            );
        }
    }
}
