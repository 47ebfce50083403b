//! Whether a message is like an entry, by the entry's rules.

use anyhow::Result;

use super::{Entry, Rule};
use crate::wire::{Message, Record, rtype};

/// How a message came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// How many seconds a TTL may be less than what is expected, since real clocks go on; and by rounding, one more.
const TTL_LESS: u32 = 3;
const TTL_MORE: u32 = 1;

const EDE: u16 = 15;

/// What is wrong with the message by the entry's rules, `None` if it matches.
pub(super) fn mismatch(entry: &Entry, bytes: &[u8], transport: Transport) -> Option<String> {
    let read = || -> Result<(Message, Message)> {
        let expected = entry.packets[0].encode(0)?;
        Ok((Message::parse(&expected)?, Message::parse(bytes)?))
    };
    match read() {
        Ok((expected, mut message)) => entry
            .rules
            .iter()
            .find_map(|rule| error_code(*rule, &mut message))
            .or_else(|| {
                let mut broken = entry.rules.iter();
                broken.find_map(|rule| breach(*rule, entry, &expected, &message, transport))
            }),
        Err(error) => Some(format!("a message can't be read: {error:#}")),
    }
}

/// Looks for the Extended DNS Error that a rule asks for and takes it out of the message.
fn error_code(rule: Rule, message: &mut Message) -> Option<String> {
    let wanted = match rule {
        Rule::Ede(code) => Some(code),
        Rule::AnyEde => None,
        _ => return None,
    };
    let options = message.edns.as_ref().map(|edns| edns.options.clone());
    let options = split_options(&options.unwrap_or_default());
    let is_wanted = |(code, value): &(u16, Vec<u8>)| {
        let info = value
            .get(..2)
            .map(|info| u16::from_be_bytes([info[0], info[1]]));
        *code == EDE && wanted.is_none_or(|wanted| info == Some(wanted))
    };
    if !options.iter().any(is_wanted) {
        return Some(format!("no extended error {wanted:?} in {options:?}"));
    }
    if let Some(edns) = &mut message.edns {
        let others = options.iter().filter(|(code, _)| *code != EDE);
        edns.options = others.flat_map(option_bytes).collect();
    }
    None
}

fn breach(
    rule: Rule,
    entry: &Entry,
    expected: &Message,
    message: &Message,
    transport: Transport,
) -> Option<String> {
    let with_ttl = entry.has(Rule::Ttl);
    let differs = |what: &str, theirs: &dyn std::fmt::Debug, ours: &dyn std::fmt::Debug| {
        let (theirs, ours) = (format!("{theirs:?}"), format!("{ours:?}"));
        (theirs != ours).then(|| format!("{what} is {theirs}, not {ours}"))
    };
    let unless = |right: bool, what: &str| (!right).then(|| what.to_owned());
    match rule {
        Rule::Opcode => differs(
            "opcode",
            &(message.flags >> 11 & 15),
            &(expected.flags >> 11 & 15),
        ),
        Rule::Qtype => differs("QTYPE", &qtype(message), &qtype(expected)),
        Rule::Qname => differs("QNAME", &qname(message), &qname(expected)),
        Rule::Subdomain => unless(
            is_at_or_below(qname(message), qname(expected)),
            "QNAME is no subdomain",
        ),
        Rule::Rcode => differs("RCODE", &message.rcode(), &expected.rcode()),
        Rule::Question => differs("the question", &questions(message), &questions(expected)),
        Rule::Answer => section("answer", &expected.answer, &message.answer, with_ttl),
        Rule::All => whole(expected, message, with_ttl).or_else(|| {
            let with_do = !entry.has(Rule::EdnsData);
            edns(expected, message, with_do)
        }),
        Rule::AllNoEdns => whole(expected, message, with_ttl),
        Rule::DnssecOk => unless(
            message.edns.as_ref().is_some_and(|edns| edns.dnssec_ok),
            "no DO bit",
        ),
        Rule::NoEdns => unless(message.edns.is_none(), "there is EDNS"),
        Rule::EdnsData => differs("EDNS", &options(message), &options(expected)),
        Rule::Udp => unless(transport == Transport::Udp, "it came over TCP"),
        Rule::Tcp => unless(transport == Transport::Tcp, "it came over UDP"),
        Rule::Serial(serial) => differs("the serial", &ixfr_serial(message), &Some(serial)),
        // Looked at before, or only together with others.
        Rule::Ttl | Rule::Ede(_) | Rule::AnyEde => None,
    }
}

fn whole(expected: &Message, message: &Message, with_ttl: bool) -> Option<String> {
    if message.flags != expected.flags {
        let (ours, theirs) = (expected.flags, message.flags);
        return Some(format!("the flags are {theirs:#06x}, not {ours:#06x}"));
    }
    if questions(message) != questions(expected) {
        return Some("the question differs".to_owned());
    }
    section("answer", &expected.answer, &message.answer, with_ttl)
        .or_else(|| {
            section(
                "authority",
                &expected.authority,
                &message.authority,
                with_ttl,
            )
        })
        .or_else(|| {
            section(
                "additional",
                &expected.additional,
                &message.additional,
                with_ttl,
            )
        })
}

/// EDNS but for the UDP size. Where only the options are described the DO bit isn't.
fn edns(expected: &Message, message: &Message, with_do: bool) -> Option<String> {
    let shown = |message: &Message| {
        message.edns.as_ref().map(|edns| {
            let options = split_options(&edns.options);
            let dnssec_ok = with_do && edns.dnssec_ok;
            (edns.version, edns.extended_rcode, dnssec_ok, options)
        })
    };
    let (theirs, ours) = (shown(message), shown(expected));
    (theirs != ours).then(|| format!("EDNS is {theirs:?}, not {ours:?}"))
}

/// The records in any order.
fn section(name: &str, ours: &[Record], theirs: &[Record], with_ttl: bool) -> Option<String> {
    let (ours, theirs) = (sorted(ours), sorted(theirs));
    let same = |(ours, theirs): (&Record, &Record)| {
        let mut aged = theirs.clone();
        aged.ttl_secs = ours.ttl_secs;
        let least = ours.ttl_secs.saturating_sub(TTL_LESS);
        let right = (least..=ours.ttl_secs + TTL_MORE).contains(&theirs.ttl_secs);
        aged == *ours && (right || !with_ttl)
    };
    if ours.len() == theirs.len() && ours.iter().zip(&theirs).all(same) {
        return None;
    }
    let lines = |records: &[Record]| {
        let lines = records.iter().map(|record| format!("\n      {record:?}"));
        lines.collect::<String>()
    };
    Some(format!(
        "the {name} section has{}\n    instead of{}",
        lines(&theirs),
        lines(&ours)
    ))
}

fn sorted(records: &[Record]) -> Vec<Record> {
    let mut records = records.to_vec();
    let key = |record: &Record| {
        let mut record = record.clone();
        record.ttl_secs = 0;
        record
    };
    records.sort_by_key(key);
    records
}

fn qtype(message: &Message) -> Option<u16> {
    message.questions.first().map(|question| question.1)
}

fn qname(message: &Message) -> Option<Vec<u8>> {
    let name = message.questions.first().map(|question| &question.0)?;
    Some(name.to_ascii_lowercase())
}

fn questions(message: &Message) -> Vec<(Vec<u8>, u16, u16)> {
    let questions = message.questions.iter();
    questions
        .map(|(name, qtype, class)| (name.to_ascii_lowercase(), *qtype, *class))
        .collect()
}

fn is_at_or_below(name: Option<Vec<u8>>, zone: Option<Vec<u8>>) -> bool {
    let (Some(name), Some(zone)) = (name, zone) else {
        return false;
    };
    let mut at = 0;
    loop {
        if name[at..] == zone[..] {
            return true;
        }
        match name[at] {
            0 => return false,
            length => at += 1 + usize::from(length),
        }
    }
}

fn options(message: &Message) -> Vec<(u16, Vec<u8>)> {
    let options = message
        .edns
        .as_ref()
        .map(|edns| split_options(&edns.options));
    options.unwrap_or_default()
}

/// The options of an OPT record: code and value of each.
pub(super) fn split_options(mut bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
    let mut options = Vec::new();
    while let [code0, code1, length0, length1, rest @ ..] = bytes {
        let length = usize::from(u16::from_be_bytes([*length0, *length1])).min(rest.len());
        let (value, after) = rest.split_at(length);
        options.push((u16::from_be_bytes([*code0, *code1]), value.to_vec()));
        bytes = after;
    }
    options
}

/// An option in wire form.
pub(super) fn option_bytes((code, value): &(u16, Vec<u8>)) -> Vec<u8> {
    let length = u16::try_from(value.len()).expect("it was read from a message");
    [&code.to_be_bytes()[..], &length.to_be_bytes(), value].concat()
}

fn ixfr_serial(message: &Message) -> Option<u32> {
    let mut authority = message.authority.iter();
    let soa = authority.find(|record| record.rtype == rtype::SOA)?;
    let numbers = soa.rdata.last_chunk::<20>()?;
    Some(u32::from_be_bytes(*numbers.first_chunk()?))
}
