use std::str::FromStr;

use domain::base::iana::{Class, Rtype};
use sluicegate_dns::{Name, NameError};

use super::rdata::{RdataError, parse_rdata};

/// One resource record of local data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Record {
    /// Owner in lower-cased wire form.
    pub(crate) owner: Vec<u8>,
    pub(crate) rtype: u16,
    pub(crate) class: u16,
    pub(crate) ttl_secs: u32,
    /// Wire form without its length; names in it are whole and keep their case.
    pub(crate) rdata: Vec<u8>,
}

/// Why a line of local data is not a resource record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// There is nothing but white space.
    #[error("the record is empty")]
    Empty,
    /// The owner is no domain name.
    #[error("bad owner name: {0}")]
    Owner(#[source] NameError),
    /// A TTL that does not fit 32 bits, or has an unknown unit.
    #[error("bad TTL `{0}`: a number of seconds is expected, or units as in 1h30m")]
    Ttl(String),
    /// The type is missing.
    #[error("the record type is missing")]
    TypeMissing,
    /// A word that is neither TTL, class nor type.
    #[error("unknown record type `{0}`")]
    Type(String),
    /// The data does not fit the type.
    #[error("bad {rtype} data: {source}")]
    Rdata {
        /// The type's mnemonic.
        rtype: String,
        /// What is wrong.
        source: RdataError,
    },
}

impl Record {
    /// Reads `owner [TTL] [class] type rdata`. All names are absolute, with or without the last dot; the
    /// default TTL is 3600, the default class IN.
    pub(crate) fn parse(text: &str) -> Result<Self, RecordError> {
        let (owner, rest) = next_word(text).ok_or(RecordError::Empty)?;
        let owner = if owner == "@" {
            Name::ROOT
        } else {
            Name::from_text(owner).map_err(RecordError::Owner)?
        };
        let (mut word, mut rest) = next_word(rest).ok_or(RecordError::TypeMissing)?;
        let mut ttl_secs = DEFAULT_TTL_SECS;
        if word.starts_with(|c: char| c.is_ascii_digit()) {
            ttl_secs = parse_ttl(word).ok_or_else(|| RecordError::Ttl(word.to_owned()))?;
            (word, rest) = next_word(rest).ok_or(RecordError::TypeMissing)?;
        }
        let mut class = Class::IN;
        if let Ok(named) = Class::from_str(word) {
            class = named;
            (word, rest) = next_word(rest).ok_or(RecordError::TypeMissing)?;
        }
        let rtype = Rtype::from_str(word).map_err(|_| RecordError::Type(word.to_owned()))?;
        let rdata = parse_rdata(rtype, rest).map_err(|source| RecordError::Rdata {
            rtype: rtype.to_string(),
            source,
        })?;
        Ok(Self {
            owner: owner.as_bytes().to_vec(),
            rtype: rtype.to_int(),
            class: class.to_int(),
            ttl_secs,
            rdata,
        })
    }
}

/// Unbound's default for local data.
const DEFAULT_TTL_SECS: u32 = 3600;

/// The next word and what follows it.
fn next_word(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start_matches(BLANK);
    if text.is_empty() {
        return None;
    }
    Some(text.split_once(BLANK).unwrap_or((text, "")))
}

const BLANK: [char; 4] = [' ', '\t', '\n', '\r'];

/// A TTL in seconds, or in units: `1w2d3h4m5s`, a bare number at the end being seconds.
fn parse_ttl(text: &str) -> Option<u32> {
    let (mut total, mut number) = (0u64, 0u64);
    for c in text.chars() {
        let unit_secs = match c.to_ascii_lowercase() {
            digit @ '0'..='9' => {
                number = number * 10 + u64::from(digit as u8 - b'0');
                if number > u64::from(u32::MAX) {
                    return None;
                }
                continue;
            }
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 604_800,
            _ => return None,
        };
        total += number * unit_secs;
        number = 0;
        if total > u64::from(u32::MAX) {
            return None;
        }
    }
    u32::try_from(total + number).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record {
        Record::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn ttl_and_class_may_be_missing() {
        let plain = record("www.Example.com. A 192.0.2.1");
        assert_eq!(plain.owner, b"\x03www\x07example\x03com\x00");
        assert_eq!(
            (plain.rtype, plain.class, plain.ttl_secs, &plain.rdata[..]),
            (1, 1, 3600, &[192, 0, 2, 1][..])
        );
        assert_eq!(record("www.example.com IN A 192.0.2.1"), plain);
        assert_eq!(record(" www.example.com\t3600 IN  A   192.0.2.1 "), plain);
        assert_eq!(record("www.example.com 1h A 192.0.2.1"), plain);
        assert_eq!(record("x CH TXT y").class, 3);
        assert_eq!(record("@ A 192.0.2.1").owner, [0]);
        assert_eq!(record(". A 192.0.2.1").owner, [0]);
    }

    #[test]
    fn ttls_have_units() {
        assert_eq!(parse_ttl("0"), Some(0));
        assert_eq!(
            parse_ttl("1w2d3h4m5s"),
            Some(604_800 + 2 * 86_400 + 3 * 3600 + 4 * 60 + 5)
        );
        assert_eq!(parse_ttl("1H30"), Some(3630));
        assert_eq!(parse_ttl("4294967295"), Some(u32::MAX));
        assert_eq!(parse_ttl("4294967296"), None);
        assert_eq!(parse_ttl("10000w"), None);
        assert_eq!(parse_ttl("5y"), None);
    }

    #[test]
    fn what_is_no_record_is_refused() {
        for bad in [
            "",
            "  ",
            "www.example.com",
            "www.example.com IN",
            "www.example.com NOSUCH 1",
            "www.example.com IN A",
            "www.example.com IN A 192.0.2.256",
            "www.example.com IN A 192.0.2.1 192.0.2.2",
            "www.example.com IN AAAA 192.0.2.1",
            "www..example.com A 192.0.2.1",
            "www.example.com 99999999999 A 192.0.2.1",
            "www.example.com IN 3600 A 192.0.2.1", // Unbound takes the TTL only before the class
            "www.example.com MX example.com",
            "www.example.com TXT \"open",
        ] {
            assert!(Record::parse(bad).is_err(), "{bad:?} was taken");
        }
    }
}
