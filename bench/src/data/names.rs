use std::fmt;
use std::net::Ipv4Addr;

use sluicegate_lab::wire::encode_name;

/// The zone that names are in which need no world.
pub(crate) const ORIGIN: &str = "bench.lab";
/// How many zones of each kind the world has. Misses are resolved in all of them in turn: a resolver that gives each zone
/// a thread of its own would have one thread's work in one zone.
pub(super) const WORLD_ZONES: u32 = 16;

/// One of the names: a letter and a number below [`ORIGIN`], 20 bytes on the wire, or below a zone of the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) kind: Kind,
    /// Below 10,000,000.
    pub(crate) number: u32,
}

/// What a name has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One address that may be remembered for a day.
    Known,
    /// One address that may not be remembered.
    Fresh,
    /// A text record that makes the whole answer 1,200 bytes long, the EDNS record included.
    Large,
    /// One address with a signature, which is told to those who ask with DO.
    Sealed,
    /// One address in a zone that is not signed, below a root and a top level that are.
    Plain,
    /// One address in a signed zone there.
    Signed,
}

impl Kind {
    /// The letter that its names begin with.
    fn letter(self) -> char {
        match self {
            Self::Known => 'h',
            Self::Fresh => 'm',
            Self::Large => 'b',
            Self::Sealed => 'd',
            Self::Plain => 'p',
            Self::Signed => 's',
        }
    }

    /// The zone that the name of this number is in.
    pub(super) fn origin(self, number: u32) -> String {
        let zone = number % WORLD_ZONES;
        match self {
            Self::Plain => format!("plain{zone}.lab"),
            Self::Signed => format!("signed{zone}.lab"),
            _ => ORIGIN.to_owned(),
        }
    }
}

/// How long the answer of a [`Kind::Large`] is in bytes.
pub(crate) const LARGE_ANSWER_BYTES: usize = 1200;
/// Header, question, the record's own fixed part, EDNS.
const AROUND_TEXT_BYTES: usize = 12 + (20 + 4) + 12 + 11;

impl Name {
    /// Reads the letter and the number of a name's first label.
    pub(crate) fn from_label(label: &[u8]) -> Option<Self> {
        let (letter, digits) = label.split_first()?;
        let kind = match letter.to_ascii_lowercase() {
            b'h' => Kind::Known,
            b'm' => Kind::Fresh,
            b'b' => Kind::Large,
            b'd' => Kind::Sealed,
            _ => return None,
        };
        let number = std::str::from_utf8(digits).ok()?.parse().ok()?;
        Some(Self { kind, number })
    }

    /// The record type that it is asked for.
    pub(crate) fn qtype(self) -> u16 {
        if self.kind == Kind::Large { 16 } else { 1 }
    }

    /// That type as text.
    pub(crate) fn type_text(self) -> &'static str {
        if self.kind == Kind::Large { "TXT" } else { "A" }
    }

    /// TTL in seconds.
    pub(crate) fn ttl_secs(self) -> u32 {
        if self.kind == Kind::Fresh { 0 } else { 86_400 }
    }

    /// The address that it has.
    pub(crate) fn address(self) -> Ipv4Addr {
        Ipv4Addr::from(0x0a00_0000 | self.number)
    }

    /// The data of its record in wire format.
    pub(crate) fn rdata(self) -> Vec<u8> {
        if self.kind != Kind::Large {
            return self.address().octets().to_vec();
        }
        let mut rdata = Vec::new();
        for text in texts() {
            rdata.push(text.len() as u8);
            rdata.extend_from_slice(text.as_bytes());
        }
        rdata
    }

    /// The data of its record's signature in wire format, if it has one. Nobody here validates: the signature proper is
    /// as long as one of ECDSA P-256, and nothing but zeros.
    pub(crate) fn signature(self) -> Option<Vec<u8>> {
        let mut rdata = self.qtype().to_be_bytes().to_vec();
        rdata.extend([13, 3]);
        for number in [self.ttl_secs(), SIGNED_UNTIL.0, SIGNED_FROM.0] {
            rdata.extend(number.to_be_bytes());
        }
        rdata.extend(KEY_TAG.to_be_bytes());
        rdata.extend(encode_name(ORIGIN));
        rdata.extend([0; SIGNATURE_BYTES]);
        (self.kind == Kind::Sealed).then_some(rdata)
    }

    /// Its records as in a zone file, the name left out.
    pub(crate) fn records(self) -> Vec<String> {
        let mut records = vec![self.record()];
        if self.kind == Kind::Sealed {
            records.push(signature_text("A", 3, self.ttl_secs()));
        }
        records
    }

    /// Its record as in a zone file, the name left out.
    pub(crate) fn record(self) -> String {
        if self.kind != Kind::Large {
            return format!("{} IN A {}", self.ttl_secs(), self.address());
        }
        let texts: Vec<String> = texts().iter().map(|text| format!("\"{text}\"")).collect();
        format!("{} IN TXT {}", self.ttl_secs(), texts.join(" "))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (letter, origin) = (self.kind.letter(), self.kind.origin(self.number));
        write!(f, "{letter}{:07}.{origin}", self.number)
    }
}

/// When signatures begin and end to hold: in seconds since 1970, and as a zone file has it.
const SIGNED_FROM: (u32, &str) = (1_704_067_200, "20240101000000");
const SIGNED_UNTIL: (u32, &str) = (2_145_916_800, "20380101000000");
const KEY_TAG: u16 = 12_345;
const SIGNATURE_BYTES: usize = 64;

/// A signature as in a zone file, the name left out.
pub(super) fn signature_text(covered: &str, labels: usize, ttl_secs: u32) -> String {
    // 64 zeros in Base64.
    let zeros = "A".repeat(SIGNATURE_BYTES.div_ceil(3) * 4 - 2);
    format!(
        "{ttl_secs} IN RRSIG {covered} 13 {labels} {ttl_secs} {} {} {KEY_TAG} {ORIGIN}. {zeros}==",
        SIGNED_UNTIL.1, SIGNED_FROM.1
    )
}

/// The strings of a large record.
fn texts() -> Vec<String> {
    let mut left = LARGE_ANSWER_BYTES - AROUND_TEXT_BYTES;
    let mut texts = Vec::new();
    while left > 0 {
        let length = (left - 1).min(255);
        texts.push("s".repeat(length));
        left -= length + 1;
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;
    use sluicegate_lab::wire::query;

    #[test]
    fn names_are_twenty_bytes_and_read_back() {
        for kind in [Kind::Known, Kind::Fresh, Kind::Large, Kind::Sealed] {
            for number in [0, 7, 9_999_999] {
                let name = Name { kind, number };
                let wire = encode_name(&name.to_string());
                assert_eq!(wire.len(), 20);
                assert_eq!(Name::from_label(&wire[1..9]), Some(name));
            }
        }
    }

    #[test]
    fn a_large_answer_has_its_length() {
        let name = Name {
            kind: Kind::Large,
            number: 1,
        };
        let query = query(&name.to_string(), 16).edns(1232, false).build();
        assert_eq!(query.len() + 12 + name.rdata().len(), LARGE_ANSWER_BYTES);
    }
}
