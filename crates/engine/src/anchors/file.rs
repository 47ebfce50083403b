//! What such a file says: keys with their states, or plain DS and DNSKEY records to begin with.

use std::io;
use std::path::Path;

use super::{DISTRIBUTION_ROOT_KEY, ROOT_ANCHORS};

/// The keys that a file says are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Anchors {
    /// Whose keys they are, in presentation format.
    pub(crate) owner: String,
    /// DS and DNSKEY records in presentation format.
    pub(crate) records: Vec<String>,
    /// When libunbound last saw the keys, in seconds since 1970; `None` when the file does not say.
    pub(crate) last_success_secs: Option<u64>,
}

/// What a DS and a DNSKEY record of the same key have in common: algorithm and key tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyId(u8, u16);

impl KeyId {
    /// The key tag (RFC 4034, appendix B).
    pub(super) const fn tag(self) -> u16 {
        self.1
    }
}

/// Where the keys come from that an `auto-trust-anchor-file` makes trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// The file, which may name none.
    File,
    /// [`Anchors::of_the_root`].
    Root,
}

/// Files beyond this are no anchor files.
const MAX_BYTES: u64 = 1 << 20;
/// `AUTR_STATE_VALID` and `AUTR_STATE_MISSING` (RFC 5011, 4.2): a missing key stays trusted.
const TRUSTED_STATES: [&str; 2] = ["2", "3"];

impl Anchors {
    /// Reads a file.
    ///
    /// # Errors
    /// The system's; and `InvalidData` for what is too large or no text.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        if std::fs::metadata(path)?.len() > MAX_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self::parse(&std::fs::read_to_string(path)?))
    }

    /// What an `auto-trust-anchor-file` makes trusted: what it says; the root's keys if it is missing or empty, for then
    /// it is made of them; and nothing if it is revoked, or if it can't be read.
    pub(crate) fn kept_in(path: &Path) -> (Self, Source) {
        let read = Self::read(path);
        let begins = match &read {
            Ok(_) => std::fs::metadata(path).is_ok_and(|file| file.len() == 0),
            Err(error) => error.kind() == io::ErrorKind::NotFound,
        };
        if begins {
            (Self::of_the_root(), Source::Root)
        } else {
            (read.unwrap_or_default(), Source::File)
        }
    }

    /// The root's keys, to begin with: the distribution's, if it has any, else those built in.
    pub(crate) fn of_the_root() -> Self {
        Self::of_the_root_from(Path::new(DISTRIBUTION_ROOT_KEY))
    }

    /// The same, with the distribution's in this file.
    fn of_the_root_from(distribution: &Path) -> Self {
        let distribution = Self::read(distribution);
        distribution
            .ok()
            .filter(|anchors| anchors.owner == "." && !anchors.records.is_empty())
            .unwrap_or_else(|| Self::parse(&ROOT_ANCHORS.join("\n")))
    }

    /// What a file's text says. Lines that are no DS or DNSKEY record are passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut anchors = Self::default();
        if text.lines().any(|line| line.trim() == ";;REVOKED") {
            return anchors;
        }
        anchors.last_success_secs = text
            .lines()
            .find_map(|line| line.strip_prefix(";;last_success:"))
            .and_then(|rest| rest.split_whitespace().next())
            .and_then(|number| number.parse().ok())
            .filter(|secs| *secs > 0);
        // In a file that libunbound has written each key has its state; one without is cut off.
        let is_kept = text.contains(";;id:");
        for (record, comment) in records(text) {
            let words: Vec<&str> = record.split_whitespace().collect();
            let is_key = words
                .iter()
                .any(|word| word.eq_ignore_ascii_case("DS") || word.eq_ignore_ascii_case("DNSKEY"));
            let state = comment.split_once("state=").map(|(_, rest)| rest);
            let trusted = state.map_or(!is_kept, |state| {
                TRUSTED_STATES
                    .iter()
                    .any(|trusted| state.starts_with(trusted))
            });
            if is_key && trusted && !record.contains(['"', '\\', '$']) {
                words[0].clone_into(&mut anchors.owner);
                anchors.records.push(words.join(" "));
            }
        }
        anchors
    }

    /// The keys, whatever records name them.
    pub(crate) fn keys(&self) -> Vec<KeyId> {
        let mut keys: Vec<KeyId> = self
            .records
            .iter()
            .filter_map(|record| key_id(record))
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }

    /// Options that trust the same keys, on one line.
    pub(crate) fn as_options(&self) -> String {
        let options = self
            .records
            .iter()
            .map(|record| format!(" trust-anchor: \"{record}\""));
        options.collect()
    }
}

/// The records of a zone file, parentheses resolved, each with the comments on its lines.
fn records(text: &str) -> Vec<(String, String)> {
    let (mut records, mut record, mut comments) = (Vec::new(), String::new(), String::new());
    for line in text.lines() {
        let (data, comment) = line.split_once(';').unwrap_or((line, ""));
        record.push_str(data);
        record.push(' ');
        comments.push_str(comment);
        if record.matches('(').count() > record.matches(')').count() {
            continue;
        }
        if !record.trim().is_empty() {
            let one_line = record.replace(['(', ')'], " ");
            records.push((one_line, std::mem::take(&mut comments)));
        }
        record.clear();
        comments.clear();
    }
    records
}

pub(super) fn key_id(record: &str) -> Option<KeyId> {
    let mut words = record.split_whitespace().skip(1);
    let kind = words
        .find(|word| word.eq_ignore_ascii_case("DS") || word.eq_ignore_ascii_case("DNSKEY"))?;
    if kind.eq_ignore_ascii_case("DS") {
        let tag = words.next()?.parse().ok()?;
        return Some(KeyId(words.next()?.parse().ok()?, tag));
    }
    let flags: u16 = words.next()?.parse().ok()?;
    let protocol: u8 = words.next()?.parse().ok()?;
    let algorithm: u8 = words.next()?.parse().ok()?;
    let mut data = flags.to_be_bytes().to_vec();
    data.extend([protocol, algorithm]);
    data.extend(base64(words)?);
    (data.len() <= MAX_RDATA_BYTES).then(|| KeyId(algorithm, key_tag(&data)))
}

/// RFC 1035, 3.2.1; and the sum below stays within 32 bits.
const MAX_RDATA_BYTES: usize = 65_535;

/// RFC 4034, appendix B.
fn key_tag(data: &[u8]) -> u16 {
    let sum: u32 = data
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0)))
        .sum();
    (sum + (sum >> 16)) as u16
}

/// RFC 4648, 4; in any number of pieces.
fn base64<'a>(pieces: impl Iterator<Item = &'a str>) -> Option<Vec<u8>> {
    let (mut bytes, mut bits, mut count) = (Vec::new(), 0_u32, 0);
    for letter in pieces.flat_map(str::bytes).filter(|letter| *letter != b'=') {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(value);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// KSK-2017, as libunbound keeps it, and two keys it does not trust.
    const KEPT: &str = "; autotrust trust anchor file\n;;id: . 1\n\
        ;;last_queried: 1700000000 ;;Tue Nov 14 22:13:20 2023\n\
        ;;last_success: 1700000001 ;;Tue Nov 14 22:13:21 2023\n\
        .\t86400\tIN\tDNSKEY\t257 3 8 AwEAAaz/tAm8yTn4Mfeh5eyI96WSVexTBAvkMgJzkKTOiW1vkIbzxeF3+/4RgWOq7HrxRixHlFlExOLAJr5emLvN7SWXgnLh4+B5xQlNVz8Og8kvArMtNROxVQuCaSnIDdD5LKyWbRd2n9WGe2R8PzgCmr3EgVLrjyBxWezF0jLHwVN8efS3rCj/EWgvIWgb9tarpVUDK/b58Da+sqqls3eNbuv7pr+eoZG+SrDK6nWeL3c6H5Apxz7LjVc1uTIdsIXxuOLYA4/ilBmSVIzuDWfdRUfhHdY6+cn8HFRm+2hM8AnXGXws9555KrUB5qihylGa8subX2Nn6UwNR1AkUTV74bU= ;{id = 20326 (ksk), size = 2048b} ;;state=2 [  VALID  ] ;;count=0 ;;lastchange=1700000000 ;;x\n\
        .\t86400\tIN\tDNSKEY\t257 3 13 AAAA ;{id = 1} ;;state=1 [ ADDPEND ] ;;count=3 ;;lastchange=1700000000 ;;x\n\
        .\t86400\tIN\tDNSKEY\t385 3 13 AAAB ;{id = 2} ;;state=4 [ REVOKED ] ;;count=0 ;;lastchange=1700000000 ;;x\n";

    #[test]
    fn only_trusted_keys_count() {
        let kept = Anchors::parse(KEPT);
        assert_eq!((kept.owner.as_str(), kept.records.len()), (".", 1));
        assert_eq!(kept.last_success_secs, Some(1_700_000_001));
        assert_eq!(kept.keys(), [KeyId(8, 20326)]);
        let options = kept.as_options();
        assert!(options.starts_with(" trust-anchor: \". 86400 IN DNSKEY 257 3 8 AwEAAaz/"));
        // The same key by its DS record.
        assert_eq!(Anchors::parse(ROOT_ANCHORS[0]).keys(), kept.keys());
        let missing = KEPT.replace("state=2", "state=3");
        assert_eq!(Anchors::parse(&missing).keys(), kept.keys());
    }

    #[test]
    fn only_a_file_that_is_missing_or_empty_stands_for_the_root() {
        let file = std::env::temp_dir().join(format!("sluicegate-kept-{}", std::process::id()));
        let root = (Anchors::of_the_root(), Source::Root);
        assert_eq!(Anchors::kept_in(&file), root);
        let kept_in = |bytes: &[u8]| {
            std::fs::write(&file, bytes).unwrap();
            Anchors::kept_in(&file)
        };
        assert_eq!(kept_in(b""), root);
        assert_eq!(
            kept_in(KEPT.as_bytes()),
            (Anchors::parse(KEPT), Source::File)
        );
        let nothing = (Anchors::default(), Source::File);
        let too_large = format!("{KEPT}{}", " ".repeat(1 << 20));
        for text in [
            format!(";;REVOKED\n{KEPT}").as_bytes(),
            too_large.as_bytes(),
            b"; \xff\n",
            b"; no keys\n",
        ] {
            assert_eq!(kept_in(text), nothing);
        }
        std::fs::remove_file(&file).unwrap();
        // A folder can't be read as a file, by root neither.
        assert_eq!(Anchors::kept_in(&std::env::temp_dir()), nothing);
    }

    #[test]
    fn the_distribution_s_keys_come_before_those_built_in() {
        let file = std::env::temp_dir().join(format!("sluicegate-root-{}", std::process::id()));
        let built_in = Anchors::parse(&ROOT_ANCHORS.join("\n"));
        assert_eq!(Anchors::of_the_root_from(&file), built_in);
        let from_file = |text: &str| {
            std::fs::write(&file, text).unwrap();
            Anchors::of_the_root_from(&file)
        };
        let theirs = from_file(". 86400 IN DS 4711 13 2 00AB\n");
        assert_eq!(theirs.keys(), [KeyId(13, 4711)]);
        for useless in ["", "\u{0}garbage\n", "example. IN DS 4711 13 2 00AB\n"] {
            assert_eq!(from_file(useless), built_in, "{useless:?}");
        }
        std::fs::remove_file(&file).unwrap();
    }

    #[test]
    fn no_text_is_too_odd() {
        for end in 0..KEPT.len() {
            let cut = Anchors::parse(&KEPT[..end]);
            assert!(cut.records.len() <= 1 && cut.keys().len() <= 1);
        }
        for odd in [
            "DNSKEY",
            "DS DS",
            ". DS",
            ". DNSKEY 257 3 8 !",
            "(((",
            ". DS 1 8 2 (",
            "\u{0}; ;",
        ] {
            assert_eq!(Anchors::parse(odd).keys(), [], "{odd}");
        }
        let huge = format!(". DNSKEY 257 3 8 {}", "/".repeat(200_000));
        assert_eq!(Anchors::parse(&huge).keys(), []);
    }

    #[test]
    fn plain_files_are_read_too() {
        let plain = Anchors::parse(&ROOT_ANCHORS.join("\n"));
        assert_eq!(plain.keys(), [KeyId(8, 20326), KeyId(8, 38696)]);
        assert_eq!((plain.records.len(), plain.last_success_secs), (2, None));
        let split = ". DS 20326 8 2 ( E06D44B80B8F1D39A95C0B0D7C65D084 ; first half\n\
                     58E880409BBC683457104237C7F8EC8D ) ; second\n";
        assert_eq!(Anchors::parse(split).keys(), [KeyId(8, 20326)]);
        assert_eq!(
            Anchors::parse("; nothing\n\n$TTL 3600\n"),
            Anchors::default()
        );
        assert_eq!(
            Anchors::parse(&format!(";;REVOKED\n{KEPT}")),
            Anchors::default()
        );
    }
}
