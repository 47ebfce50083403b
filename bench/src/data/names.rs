use std::fmt;
use std::net::Ipv4Addr;

/// The zone that names are in which need no world.
pub(crate) const ORIGIN: &str = "bench.lab";
/// The zones of the world below which misses are resolved.
const PLAIN_ORIGIN: &str = "plain.lab";
const SIGNED_ORIGIN: &str = "signed.lab";

/// One of the names: a letter and a number below [`ORIGIN`], 20 bytes on the wire.
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
    /// One address in a zone that is not signed, below a root and a top level that are.
    Plain,
    /// One address in a signed zone there.
    Signed,
}

impl Kind {
    /// The letter that its names begin with, and the zone that they are in.
    fn place(self) -> (char, &'static str) {
        match self {
            Self::Known => ('h', ORIGIN),
            Self::Fresh => ('m', ORIGIN),
            Self::Large => ('b', ORIGIN),
            Self::Plain => ('p', PLAIN_ORIGIN),
            Self::Signed => ('s', SIGNED_ORIGIN),
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
        let (letter, origin) = self.kind.place();
        write!(f, "{letter}{:07}.{origin}", self.number)
    }
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
    use sluicegate_lab::wire::{encode_name, query};

    #[test]
    fn names_are_twenty_bytes_and_read_back() {
        for kind in [Kind::Known, Kind::Fresh, Kind::Large] {
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
