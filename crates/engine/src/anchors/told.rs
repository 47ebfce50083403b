//! What clients may be told of the trust anchors: `trustanchor.unbound`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::conf::value_of;
use super::file::{Anchors, key_id};

/// The trust anchors that a configuration's text names, itself or by its files as they are now: for each name a line
/// with that name and the tags of its keys, as Unbound answers for `trustanchor.unbound`. Anchors in
/// `trusted-keys-file` are not told.
pub fn trust_anchors(conf_text: &str) -> Vec<String> {
    let mut tags: BTreeMap<String, BTreeSet<u16>> = BTreeMap::new();
    for record in conf_text.lines().flat_map(records) {
        let owner = record.split_whitespace().next().unwrap_or_default();
        if let Some(key) = key_id(&record) {
            let owner = format!("{}.", owner.trim_end_matches('.').to_ascii_lowercase());
            tags.entry(owner).or_default().insert(key.tag());
        }
    }
    let line = |(owner, tags): (String, BTreeSet<u16>)| {
        let tags = tags.iter().map(|tag| format!(" {tag}"));
        owner + &tags.collect::<String>()
    };
    tags.into_iter().map(line).collect()
}

/// The records that a line stands for.
fn records(line: &str) -> Vec<String> {
    let anchors = if let Some(record) = value_of(line, "trust-anchor:") {
        Anchors::parse(record)
    } else if let Some(file) = value_of(line, "trust-anchor-file:") {
        Anchors::read(Path::new(file)).unwrap_or_default()
    } else if let Some(file) = value_of(line, "auto-trust-anchor-file:") {
        Anchors::kept_in(Path::new(file)).0
    } else {
        Anchors::default()
    };
    anchors.records
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ROOT_ANCHORS;

    #[test]
    fn each_name_has_a_line_with_its_tags() {
        let [first, second] = ROOT_ANCHORS;
        let file = std::env::temp_dir().join(format!("sluicegate-told-{}", std::process::id()));
        std::fs::write(
            &file,
            "b.example 3600 IN DS 7 13 2 AB ; x\na.example. DS 9 8 2 CD\n",
        )
        .unwrap();
        let text = format!(
            "server:\n  trust-anchor: \"{second}\"\n trust-anchor: '{first}'\n  trust-anchor-file: \"{}\"\n  \
             trust-anchor: \"A.example. IN DS 8 8 2 AB\"\n  trust-anchor-file: /proc/none\n  trust-anchor: x\n",
            file.display()
        );
        assert_eq!(
            trust_anchors(&text),
            [". 20326 38696", "a.example. 8 9", "b.example. 7"]
        );
        let kept = format!("auto-trust-anchor-file: {}\n", file.display());
        assert_eq!(trust_anchors(&kept), ["a.example. 9", "b.example. 7"]);
        std::fs::write(&file, format!(";;REVOKED\n{first}\n")).unwrap();
        assert_eq!(trust_anchors(&kept), [""; 0]);
        let missing = "auto-trust-anchor-file: /proc/none\n";
        assert!(trust_anchors(missing)[0].starts_with(". "));
        std::fs::remove_file(file).unwrap();
    }
}
