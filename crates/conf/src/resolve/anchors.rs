use std::path::Path;

use super::Resolver;
use super::places::Places;
use crate::Diagnostic;
use crate::table::Clause;
use crate::tree::OptionNode;

/// Files beyond this are not looked into.
const MAX_BYTES: u64 = 1 << 20;

/// Reports trust anchors and root hints that libunbound would not start with. What it would is let pass, also where
/// this is not sure.
pub(super) fn check(resolver: &mut Resolver<'_>, places: &Places) {
    let tree = resolver.tree;
    for option in tree.options(Clause::Server) {
        let text = resolver.text(option, 0);
        let fault = match option.keyword.canonical {
            _ if text.is_empty() => None,
            "trust-anchor" => fault_of_anchor(text).map(|fault| malformed(option, fault)),
            "trust-anchor-file" if resolver.options.check_files => {
                let has_any = |record: &str| fault_of_anchor(record).is_none();
                without(option, &places.locate(text), "DS or DNSKEY", has_any)
            }
            "root-hints" if resolver.options.check_files => {
                without(option, &places.locate(text), "NS", has_type_ns)
            }
            _ => None,
        };
        if let Some(error) = fault {
            resolver.report(error);
        }
    }
}

fn malformed(option: &OptionNode, fault: &str) -> Diagnostic {
    Diagnostic::error(option.first(), "this is not a trust anchor")
        .label(fault)
        .help("write a DS or DNSKEY record, such as \"example. DS 31589 8 2 CDE0D742...\"")
}

/// An error, if no record of a file is as it must be; not if it can't be read, which is reported elsewhere.
fn without(
    option: &OptionNode,
    path: &Path,
    types: &str,
    is_one: impl Fn(&str) -> bool,
) -> Option<Diagnostic> {
    let file = std::fs::metadata(path).ok()?;
    if !file.is_file() || file.len() > MAX_BYTES {
        return None;
    }
    let text = String::from_utf8_lossy(&std::fs::read(path).ok()?).into_owned();
    let has_any = records(&text).iter().any(|record| is_one(record));
    let message = format!("there is no {types} record in `{}`", path.display());
    (!has_any).then(|| {
        Diagnostic::error(option.first(), message)
            .label(format!("{} needs one at least", option.keyword.written()))
            .help("fill the file, or remove this line")
    })
}

/// Each record of a zone file on a line, without comments and parentheses.
fn records(text: &str) -> Vec<String> {
    let (mut records, mut record) = (Vec::new(), String::new());
    for line in text.lines() {
        let line = line.split(';').next().unwrap_or_default();
        record.push_str(line);
        record.push(' ');
        if record.matches('(').count() <= record.matches(')').count() {
            records.push(std::mem::take(&mut record).replace(['(', ')'], " "));
        }
    }
    records
}

/// What keeps a record from being a trust anchor.
fn fault_of_anchor(text: &str) -> Option<&'static str> {
    let record = records(text).concat();
    let words: Vec<&str> = record.split_whitespace().collect();
    let is = |word: &str, rtype: &str| word.eq_ignore_ascii_case(rtype);
    // A name, a TTL, a class: both may lack, and so may the name where a file names it before.
    let place = words
        .iter()
        .take(4)
        .position(|word| is(word, "DS") || is(word, "DNSKEY"));
    let Some((rtype, data)) = place.and_then(|place| words[place..].split_first()) else {
        return Some("it is neither a DS nor a DNSKEY record");
    };
    let [first, _, _, last @ ..] = data else {
        return Some("the record is cut off");
    };
    // Any data may be written in octets (RFC 3597, 5).
    if *first == "\\#" {
        return None;
    }
    let last = last.concat();
    if last.is_empty() {
        Some("the record is cut off")
    } else if is(rtype, "DS") {
        let is_hexadecimal = last.bytes().all(|octet| octet.is_ascii_hexdigit());
        match (first.parse::<u16>(), is_hexadecimal) {
            (Err(_), _) => Some("the key tag is no number from 0 to 65535"),
            (_, false) => Some("the digest is not in hexadecimal"),
            _ => None,
        }
    } else {
        let is_base64 = |octet: u8| octet.is_ascii_alphanumeric() || b"+/=".contains(&octet);
        (!last.bytes().all(is_base64)).then_some("the key is not in base64")
    }
}

fn has_type_ns(record: &str) -> bool {
    let mut words = record.split_whitespace();
    words.any(|word| word.eq_ignore_ascii_case("NS"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libunbound_takes_is_taken() {
        for good in [
            ". IN DS 20326 8 2 E06D44B80B8F1D39A95C0B0D7C65D084 58E880409BBC683457104237C7F8EC8D",
            "example. 3600 IN DS 2854 3 1 46e4ffc6e9a4793b488954bd3f0cc6af0dfb201b ; a comment",
            "example DS 1 RSASHA256 2 00",
            "jelte.nlnetlabs.nl. 1d dnskey 257 3 RSASHA1 ( AwEAAav9\n  C+gj= )",
            "x. CLASS1 DS \\# 24 0102",
        ] {
            assert_eq!(fault_of_anchor(good), None, "{good}");
        }
    }

    #[test]
    fn what_libunbound_refuses_is_named() {
        for (bad, why) in [
            ("garbage here", "neither"),
            (". A 192.0.2.1", "neither"),
            (". DS 20326 8 2", "cut off"),
            (". DS x 8 2 00", "key tag"),
            (". DS 20326 8 2 XYZ", "hexadecimal"),
            (". DNSKEY 257 3 8 ???", "base64"),
        ] {
            let fault = fault_of_anchor(bad).expect(bad);
            assert!(fault.contains(why), "{bad}: {fault}");
        }
    }

    #[test]
    fn records_are_found_among_comments_and_parentheses() {
        let text = "; DS only here\n$TTL 1d\n. 3600000 NS (a. ; NS\n )\na. A 192.0.2.1\n";
        let records = records(text);
        let of_type = records.iter().filter(|record| has_type_ns(record));
        assert_eq!(of_type.count(), 1);
        assert!(
            !records
                .iter()
                .any(|record| fault_of_anchor(record).is_none())
        );
    }
}
