use std::net::Ipv4Addr;

use domain::base::Name;
use domain::base::iana::Rtype;
use domain::base::rdata::ComposeRecordData;
use domain::zonefile::inplace::{Entry, Zonefile};
use sluicegate_dns::{Name as WireName, NameError};

use super::location::parse_location;

/// Why the data of a record does not fit its type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RdataError {
    /// Something is missing at the end.
    #[error("{0} expected")]
    Missing(&'static str),
    /// A word is not what its place asks for.
    #[error("{expected} expected, found `{found}`")]
    Field {
        /// What belongs there.
        expected: &'static str,
        /// What stands there.
        found: String,
    },
    /// Words are left over.
    #[error("unexpected `{0}` at the end")]
    Trailing(String),
    /// A quotation mark or a parenthesis is not closed, or closed without being open.
    #[error("unbalanced quotation mark or parenthesis")]
    Unbalanced,
    /// A name in the data.
    #[error("bad name: {0}")]
    Name(#[from] NameError),
    /// A backslash that is not followed by a character, or by three digits up to 255.
    #[error("bad escape")]
    Escape,
    /// A character string of more than 255 bytes, or data of more than 65,535.
    #[error("too long")]
    TooLong,
    /// As the zone file parser says it.
    #[error("{0}")]
    Zonefile(String),
}

/// The wire form of a record's data, from its presentation format; RFC 3597's generic form is taken for
/// every type.
pub(crate) fn parse_rdata(rtype: Rtype, text: &str) -> Result<Vec<u8>, RdataError> {
    let words = split_words(text)?;
    let rdata = match fields_of(rtype) {
        _ if words
            .first()
            .is_some_and(|word| !word.quoted && word.text == r"\#") =>
        {
            generic(&words[1..])?
        }
        Some(fields) => by_fields(fields, &words)?,
        None => by_zonefile(rtype, text)?,
    };
    if rdata.len() > usize::from(u16::MAX) {
        Err(RdataError::TooLong)
    } else {
        Ok(rdata)
    }
}

/// The types that the zone file parser does not know, or reads otherwise than Unbound.
#[expect(
    clippy::match_same_arms,
    reason = "a table, in the order of the type numbers"
)]
fn fields_of(rtype: Rtype) -> Option<&'static [Field]> {
    use Field::{
        Base64, Bitmap, Eui, Hex, Ip4, Location, Locator, Name, Number8, Number16, Number32,
        Octets, Text, Texts,
    };
    Some(match rtype {
        Rtype::TXT | Rtype::SPF => &[Texts],
        Rtype::AFSDB | Rtype::RT | Rtype::KX | Rtype::LP => &[Number16, Name],
        Rtype::X25 => &[Text],
        Rtype::ISDN => &[Texts],
        Rtype::PX => &[Number16, Name, Name],
        Rtype::GPOS => &[Text, Text, Text],
        Rtype::LOC => &[Location],
        Rtype::CERT => &[Number16, Number16, Number8, Base64],
        Rtype::DHCID => &[Base64],
        Rtype::SMIMEA => &[Number8, Number8, Number8, Hex],
        Rtype::CSYNC => &[Number32, Number16, Bitmap],
        Rtype::NID | Rtype::L64 => &[Number16, Locator],
        Rtype::L32 => &[Number16, Ip4],
        Rtype::EUI48 => &[Eui(6)],
        Rtype::EUI64 => &[Eui(8)],
        Rtype::URI => &[Number16, Number16, Octets],
        _ => return None,
    })
}

/// What stands in one place of a record's data.
#[derive(Clone, Copy)]
enum Field {
    Number8,
    Number16,
    Number32,
    Name,
    Ip4,
    /// One character string.
    Text,
    /// All that follow, at least one.
    Texts,
    /// One string without a length.
    Octets,
    /// All that follows.
    Hex,
    Base64,
    /// Types, as in NSEC.
    Bitmap,
    /// Pairs of hexadecimal digits between hyphens.
    Eui(usize),
    /// Four groups of hexadecimal digits between colons.
    Locator,
    Location,
}

fn by_fields(fields: &[Field], words: &[Word]) -> Result<Vec<u8>, RdataError> {
    let mut wire = Vec::new();
    let mut words = words.iter();
    for field in fields {
        match field {
            Field::Texts => {
                text(
                    words
                        .next()
                        .ok_or(RdataError::Missing("a character string"))?,
                    &mut wire,
                )?;
                for word in words.by_ref() {
                    text(word, &mut wire)?;
                }
            }
            Field::Hex => hex(words.by_ref(), &mut wire)?,
            Field::Base64 => base64(words.by_ref(), &mut wire)?,
            Field::Bitmap => bitmap(words.by_ref(), &mut wire)?,
            Field::Location => parse_location(
                &mut words.by_ref().map(|word| word.text.as_str()),
                &mut wire,
            )?,
            field => single(
                *field,
                words.next().ok_or(RdataError::Missing("more data"))?,
                &mut wire,
            )?,
        }
    }
    match words.next() {
        Some(word) => Err(RdataError::Trailing(word.text.clone())),
        None => Ok(wire),
    }
}

fn single(field: Field, word: &Word, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    match field {
        Field::Number8 => wire.push(number(word)?),
        Field::Number16 => wire.extend(number::<u16>(word)?.to_be_bytes()),
        Field::Number32 => wire.extend(number::<u32>(word)?.to_be_bytes()),
        Field::Name => wire.extend(WireName::from_text(&word.text)?.as_bytes()),
        Field::Ip4 => wire.extend(parsed::<Ipv4Addr>(word, "an IPv4 address")?.octets()),
        Field::Text => text(word, wire)?,
        Field::Octets => wire.extend(unescaped(word)?),
        Field::Eui(len) => groups(word, '-', len, 2, wire)?,
        Field::Locator => groups(word, ':', 4, 4, wire)?,
        Field::Texts | Field::Hex | Field::Base64 | Field::Bitmap | Field::Location => {}
    }
    Ok(())
}

fn wrong(expected: &'static str, word: &Word) -> RdataError {
    RdataError::Field {
        expected,
        found: word.text.clone(),
    }
}

fn parsed<T: std::str::FromStr>(word: &Word, expected: &'static str) -> Result<T, RdataError> {
    word.text.parse().map_err(|_| wrong(expected, word))
}

fn number<T: std::str::FromStr>(word: &Word) -> Result<T, RdataError> {
    parsed(word, "a number in range")
}

fn unescaped(word: &Word) -> Result<Vec<u8>, RdataError> {
    let mut out = Vec::new();
    let mut bytes = word.text.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'\\' {
            unescape(&mut bytes)?
        } else {
            byte
        });
    }
    Ok(out)
}

/// What follows a backslash: one character that stands for itself, or three digits.
fn unescape(bytes: &mut impl Iterator<Item = u8>) -> Result<u8, RdataError> {
    let first = bytes.next().ok_or(RdataError::Escape)?;
    if !first.is_ascii_digit() {
        return Ok(first);
    }
    let mut value = u32::from(first - b'0');
    for _ in 0..2 {
        let digit = bytes
            .next()
            .filter(u8::is_ascii_digit)
            .ok_or(RdataError::Escape)?;
        value = value * 10 + u32::from(digit - b'0');
    }
    u8::try_from(value).map_err(|_| RdataError::Escape)
}

fn text(word: &Word, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let bytes = unescaped(word)?;
    wire.push(u8::try_from(bytes.len()).map_err(|_| RdataError::TooLong)?);
    wire.extend(bytes);
    Ok(())
}

/// Groups of hexadecimal digits: `count` of them, each of `digits` digits or, between colons, fewer.
fn groups(
    word: &Word,
    between: char,
    count: usize,
    digits: usize,
    wire: &mut Vec<u8>,
) -> Result<(), RdataError> {
    let expected = if between == '-' {
        "pairs of hexadecimal digits between hyphens"
    } else {
        "four groups of hexadecimal digits between colons"
    };
    let groups: Vec<_> = word.text.split(between).collect();
    let fits = |group: &&str| {
        (if between == '-' {
            group.len() == digits
        } else {
            (1..=digits).contains(&group.len())
        }) && group.bytes().all(|b| b.is_ascii_hexdigit())
    };
    if groups.len() != count || !groups.iter().all(fits) {
        return Err(wrong(expected, word));
    }
    for group in groups {
        let value = u16::from_str_radix(group, 16).map_err(|_| wrong(expected, word))?;
        wire.extend(&value.to_be_bytes()[2 - digits / 2..]);
    }
    Ok(())
}

fn hex<'a>(words: impl Iterator<Item = &'a Word>, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let digits: Vec<u8> = words.flat_map(|word| word.text.bytes()).collect();
    if digits.is_empty() {
        return Err(RdataError::Missing("hexadecimal digits"));
    }
    for pair in digits.chunks(2) {
        let value = std::str::from_utf8(pair)
            .ok()
            .filter(|_| pair.len() == 2)
            .and_then(|p| u8::from_str_radix(p, 16).ok());
        let found = || String::from_utf8_lossy(pair).into_owned();
        wire.push(value.ok_or_else(|| RdataError::Field {
            expected: "pairs of hexadecimal digits",
            found: found(),
        })?);
    }
    Ok(())
}

fn base64<'a>(words: impl Iterator<Item = &'a Word>, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let joined: String = words.map(|word| word.text.as_str()).collect();
    let bytes: Vec<u8> = domain::utils::base64::decode(&joined).map_err(|_| RdataError::Field {
        expected: "Base 64",
        found: joined.clone(),
    })?;
    wire.extend(bytes);
    Ok(())
}

/// RFC 4034, section 4.1.2.
fn bitmap<'a>(words: impl Iterator<Item = &'a Word>, wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut types = Vec::new();
    for word in words {
        types.push(parsed::<Rtype>(word, "a record type")?.to_int());
    }
    types.sort_unstable();
    for window in types.chunk_by(|a, b| a >> 8 == b >> 8) {
        let len = usize::from(window[window.len() - 1] as u8) / 8 + 1;
        wire.extend([(window[0] >> 8) as u8, len as u8]);
        let start = wire.len();
        wire.resize(start + len, 0);
        for rtype in window {
            wire[start + usize::from(*rtype as u8) / 8] |= 0x80 >> (rtype & 7);
        }
    }
    Ok(())
}

/// RFC 3597, section 5: a length, then as many bytes in hexadecimal.
fn generic(words: &[Word]) -> Result<Vec<u8>, RdataError> {
    let (len, digits) = words
        .split_first()
        .ok_or(RdataError::Missing("the length of the data"))?;
    let expected = usize::from(number::<u16>(len)?);
    let mut wire = Vec::new();
    if expected > 0 || !digits.is_empty() {
        hex(digits.iter(), &mut wire)?;
    }
    if wire.len() == expected {
        Ok(wire)
    } else {
        Err(wrong("the length of the data that follows", len))
    }
}

fn by_zonefile(rtype: Rtype, text: &str) -> Result<Vec<u8>, RdataError> {
    // The class says nothing about the data's form, and the parser knows types for IN only.
    let line = format!(". 0 IN {rtype} {text}\n");
    let mut zonefile = Zonefile::from(line.as_str());
    zonefile.set_origin(Name::root());
    let entry = zonefile
        .next_entry()
        .map_err(|error| RdataError::Zonefile(error.to_string()))?;
    let Some(Entry::Record(record)) = entry else {
        return Err(RdataError::Missing("data"));
    };
    let mut wire = Vec::new();
    record
        .data()
        .compose_rdata(&mut wire)
        .map_err(|_| RdataError::TooLong)?;
    match zonefile.next_entry() {
        Ok(None) => Ok(wire),
        _ => Err(RdataError::Trailing(text.to_owned())),
    }
}

/// One word of a record's data, its escapes not yet read.
struct Word {
    text: String,
    quoted: bool,
}

/// Splits at white space; quotation marks of both kinds hold words together, parentheses vanish, a
/// semicolon starts a comment.
fn split_words(text: &str) -> Result<Vec<Word>, RdataError> {
    let mut words = Vec::new();
    let mut depth = 0;
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            ' ' | '\t' | '\n' | '\r' => drop(chars.next()),
            ';' => while chars.next_if(|&c| c != '\n').is_some() {},
            '(' => {
                chars.next();
                depth += 1;
            }
            ')' => {
                chars.next();
                depth -= 1;
                if depth < 0 {
                    return Err(RdataError::Unbalanced);
                }
            }
            '"' | '\'' => {
                chars.next();
                let (text, closed) = take_until(&mut chars, |end| end == c);
                if !closed {
                    return Err(RdataError::Unbalanced);
                }
                words.push(Word { text, quoted: true });
            }
            _ => {
                let ends = |c: char| matches!(c, ' ' | '\t' | '\n' | '\r' | ';' | '(' | ')');
                let mut text = String::new();
                while let Some(c) = chars.next_if(|&c| !ends(c)) {
                    text.push(c);
                    if c == '\\' {
                        text.extend(chars.next());
                    }
                }
                words.push(Word {
                    text,
                    quoted: false,
                });
            }
        }
    }
    if depth == 0 {
        Ok(words)
    } else {
        Err(RdataError::Unbalanced)
    }
}

/// Takes up to and with the character that ends it, leaving that out; whether it was found.
fn take_until(
    chars: &mut impl Iterator<Item = char>,
    ends: impl Fn(char) -> bool,
) -> (String, bool) {
    let mut text = String::new();
    while let Some(c) = chars.next() {
        if ends(c) {
            return (text, true);
        }
        text.push(c);
        if c == '\\' {
            text.extend(chars.next());
        }
    }
    (text, false)
}

#[cfg(test)]
mod tests;
