//! Records and questions in presentation format (RFC 1035 section 5.1, RFC 3597), one for each line.

use std::str::FromStr;

use anyhow::{Context, Result, anyhow, bail, ensure};
use domain::base::Name;
use domain::base::iana::{Class, Rtype};
use domain::base::rdata::ComposeRecordData;
use domain::base::scan::IterScanner;
use domain::rdata::ZoneRecordData;

/// What a line may leave out.
#[derive(Clone, Debug)]
pub(super) struct Defaults {
    /// What relative owners end in.
    pub(super) origin: String,
    /// The TTL in seconds.
    pub(super) ttl_secs: u32,
}

/// A question in wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) name: Vec<u8>,
    pub(super) qtype: u16,
    pub(super) qclass: u16,
}

/// A record in wire form, without compression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WireRecord {
    pub(super) name: Vec<u8>,
    pub(super) rtype: u16,
    pub(super) class: u16,
    pub(super) ttl_secs: u32,
    pub(super) rdata: Vec<u8>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            origin: ".".to_owned(),
            ttl_secs: 3600,
        }
    }
}

/// Reads the question of a line: name, type, and perhaps a class.
pub(super) fn question(line: &str, defaults: &Defaults) -> Result<Question> {
    let tokens = tokens(line)?;
    let head = Head::read(&tokens, defaults)?;
    Ok(Question {
        name: head.name,
        qtype: head.rtype.to_int(),
        qclass: head.class.to_int(),
    })
}

/// Reads the record of a line.
pub(super) fn record(line: &str, defaults: &Defaults) -> Result<WireRecord> {
    let tokens = tokens(line)?;
    let head = Head::read(&tokens, defaults)?;
    let rdata = rdata(head.rtype, &tokens[head.length..], defaults)
        .with_context(|| format!("the RDATA of {line:?}"))?;
    Ok(WireRecord {
        name: head.name,
        rtype: head.rtype.to_int(),
        class: head.class.to_int(),
        ttl_secs: head.ttl_secs,
        rdata,
    })
}

/// A name in wire form, ended with the origin unless it ends with a dot.
pub(super) fn name(text: &str, defaults: &Defaults) -> Result<Vec<u8>> {
    let whole = match text {
        "@" => defaults.origin.clone(),
        _ if text.ends_with('.') || defaults.origin == "." => text.to_owned(),
        _ => format!("{text}.{}", defaults.origin),
    };
    let name = Name::<Vec<u8>>::from_str(&whole).with_context(|| format!("the name {whole:?}"))?;
    Ok(name.as_slice().to_vec())
}

const ALGORITHMS: &[(&str, &str)] = &[("DSA", "3"), ("RSASHA1", "5"), ("RSASHA256", "8")];

/// What stands before the RDATA.
struct Head {
    name: Vec<u8>,
    ttl_secs: u32,
    class: Class,
    rtype: Rtype,
    /// How many tokens it takes.
    length: usize,
}

impl Head {
    fn read(tokens: &[String], defaults: &Defaults) -> Result<Self> {
        let owner = tokens.first().context("an empty line")?;
        let mut head = Self {
            name: name(owner, defaults)?,
            ttl_secs: defaults.ttl_secs,
            class: Class::IN,
            rtype: Rtype::ANY,
            length: 1,
        };
        // TTL and class may stand in either order; the first word that is neither is the type.
        for (index, token) in tokens.iter().enumerate().skip(1) {
            head.length += 1;
            // As the last word ANY is the type.
            let class = match token.as_str() {
                "ANY" => (index + 1 < tokens.len()).then_some(Class::ANY),
                token => Class::from_str(token).ok(),
            };
            if let Ok(ttl_secs) = token.parse() {
                head.ttl_secs = ttl_secs;
            } else if let Some(class) = class {
                head.class = class;
            } else {
                head.rtype = Rtype::from_str(token).map_err(|_| anyhow!("no type: {token:?}"))?;
                return Ok(head);
            }
        }
        bail!("a line without a type: {tokens:?}");
    }
}

fn rdata(rtype: Rtype, tokens: &[String], defaults: &Defaults) -> Result<Vec<u8>> {
    match tokens {
        [marker, length, rest @ ..] if marker == "\\#" => {
            let bytes = hex(&rest.concat())?;
            let length: usize = length.parse()?;
            ensure!(bytes.len() == length, "{} bytes, not {length}", bytes.len());
            Ok(bytes)
        }
        [priority, target, parameters @ ..] if matches!(rtype, Rtype::SVCB | Rtype::HTTPS) => {
            let mut rdata = priority.parse::<u16>()?.to_be_bytes().to_vec();
            rdata.extend(name(target, defaults)?);
            for parameter in parameters {
                rdata.extend(service_parameter(parameter)?);
            }
            Ok(rdata)
        }
        _ => scan(rtype, tokens),
    }
}

fn scan(rtype: Rtype, tokens: &[String]) -> Result<Vec<u8>> {
    // The scanner wants the algorithm's number (RFC 4034 appendix A.1 allows its name).
    let place = match rtype {
        Rtype::DS | Rtype::RRSIG => Some(1),
        Rtype::DNSKEY => Some(2),
        _ => None,
    };
    let numbered = tokens.iter().enumerate().map(|(index, token)| {
        let named = ALGORITHMS.iter().find(|(name, _)| name == token);
        match named.filter(|_| Some(index) == place) {
            Some((_, number)) => *number,
            None => token,
        }
    });
    let mut scanner = IterScanner::<_, Vec<u8>>::new(numbered);
    let data: ZoneRecordData<Vec<u8>, Name<Vec<u8>>> =
        ZoneRecordData::scan(rtype, &mut scanner).map_err(|error| anyhow!("{error}"))?;
    ensure!(scanner.is_exhausted(), "too many words");
    let mut rdata: Vec<u8> = Vec::new();
    let Ok(()) = data.compose_rdata(&mut rdata);
    Ok(rdata)
}

/// A service parameter (RFC 9460 section 2.1) of the kinds that occur: `alpn`, `ipv4hint`.
fn service_parameter(text: &str) -> Result<Vec<u8>> {
    let (key, value) = text.split_once('=').context("a parameter without value")?;
    let parts = value.trim_matches('"').split(',');
    let (number, value): (u16, Vec<u8>) = match key {
        "alpn" => {
            let mut value = Vec::new();
            for part in parts {
                value.push(u8::try_from(part.len())?);
                value.extend_from_slice(part.as_bytes());
            }
            (1, value)
        }
        "ipv4hint" => {
            let mut value = Vec::new();
            for part in parts {
                value.extend(part.parse::<std::net::Ipv4Addr>()?.octets());
            }
            (4, value)
        }
        _ => bail!("the service parameter {key} isn't known"),
    };
    let length = u16::try_from(value.len())?;
    Ok([&number.to_be_bytes()[..], &length.to_be_bytes(), &value].concat())
}

/// Bytes from pairs of hexadecimal digits; white space is skipped.
pub(super) fn hex(text: &str) -> Result<Vec<u8>> {
    let digits: Vec<u8> = text
        .chars()
        .filter(|c| !c.is_whitespace())
        .map(|c| {
            let digit = c
                .to_digit(16)
                .with_context(|| format!("{c:?} in {text:?}"))?;
            Ok(u8::try_from(digit)?)
        })
        .collect::<Result<_>>()?;
    ensure!(digits.len().is_multiple_of(2), "half a byte in {text:?}");
    Ok(digits
        .chunks(2)
        .map(|pair| pair[0] << 4 | pair[1])
        .collect())
}

/// The words of a line: quotes hold them together, parentheses and comments are left out.
fn tokens(line: &str) -> Result<Vec<String>> {
    let mut tokens = Vec::new();
    let mut token: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                token.get_or_insert_default();
            }
            '\\' => {
                let token = token.get_or_insert_default();
                token.push(c);
                token.extend(chars.next());
            }
            _ if quoted => token.get_or_insert_default().push(c),
            ';' => break,
            '(' | ')' => tokens.extend(token.take()),
            _ if c.is_whitespace() => tokens.extend(token.take()),
            _ => token.get_or_insert_default().push(c),
        }
    }
    ensure!(!quoted, "a quote stays open in {line:?}");
    tokens.extend(token);
    Ok(tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> WireRecord {
        record(line, &Defaults::default()).unwrap()
    }

    #[test]
    fn ttl_and_class_may_be_left_out_or_swapped() {
        let whole = read("www.example.com. 3600 IN A 10.20.30.40");
        assert_eq!(whole.rdata, [10, 20, 30, 40]);
        for line in [
            "www.example.com. IN A 10.20.30.40",
            "www.example.com. IN 3600 A 10.20.30.40",
            "www.example.com.\tA\t10.20.30.40 ; a comment",
        ] {
            assert_eq!(read(line), whole, "{line}");
        }
        assert_eq!(read("a. 7 CH TXT \"a b\"").rdata, b"\x03a b");
    }

    #[test]
    fn relative_owners_end_in_the_origin() {
        let defaults = Defaults {
            origin: "example.com.".to_owned(),
            ttl_secs: 5,
        };
        let read = record("www A 1.2.3.4", &defaults).unwrap();
        assert_eq!(read.name, b"\x03www\x07example\x03com\0");
        assert_eq!(read.ttl_secs, 5);
    }

    #[test]
    fn signatures_and_unknown_types_are_read() {
        let rrsig = read(
            "a. 60 IN RRSIG DNSKEY RSASHA1 1 60 20110214110823 ( 20110205110823 55582 . WbDYJQ== ) ;{id = 55582}",
        );
        assert_eq!(rrsig.rdata[..4], [0, 48, 5, 1]);
        let unknown = read("a. IN TYPE63 \\# 3 0bee 1b");
        assert_eq!(
            (unknown.rtype, &unknown.rdata[..]),
            (63, &[0x0b, 0xee, 0x1b][..])
        );
        assert!(record("a. IN TYPE63 \\# 4 0bee1b", &Defaults::default()).is_err());
        let https = read("a. HTTPS 1 . alpn=\"h2,h3\" ipv4hint=1.2.3.4");
        assert_eq!(https.rdata.len(), 3 + 10 + 8);
    }

    #[test]
    fn questions_may_ask_for_any() {
        let any = question("www.example.com. IN ANY", &Defaults::default()).unwrap();
        assert_eq!((any.qtype, any.qclass), (255, 1));
        let any = question("www.example.com. ANY A", &Defaults::default()).unwrap();
        assert_eq!((any.qtype, any.qclass), (1, 255));
    }
}
