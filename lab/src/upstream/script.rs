use std::time::Duration;

use crate::wire::{encode_name, rcode, read_name, rtype};

/// What the script says about one query.
pub(super) enum Play {
    Answer { message: Vec<u8>, delay: Duration },
    Silence,
}

/// A query as far as the script must know it.
struct Asked {
    name: Vec<u8>,
    qtype: u16,
    question_end: usize,
    limit_bytes: usize,
}

struct Section {
    records: Vec<u8>,
    count: u16,
}

const DEFAULT_TTL_SECS: u32 = 300;
const NEGATIVE_TTL_SECS: u32 = 60;
const BIG_TEXT_STRINGS: usize = 12;
const BIG_ADDRESSES: u8 = 60;

/// Plays the script on `query`; `None` if it isn't a query that can be read.
pub(super) fn play(query: &[u8], tcp: bool) -> Option<Play> {
    let asked = Asked::read(query, tcp)?;
    let labels = labels(&asked.name);
    let script = &labels[..labels.len().saturating_sub(2)];
    let says = |word: &str| script.iter().any(|label| label.starts_with(word));
    if says("drop") {
        return Some(Play::Silence);
    }
    let delay = Duration::from_millis(number(script, "delay").unwrap_or(0).into());
    let ttl_secs = number(script, "ttl").unwrap_or(DEFAULT_TTL_SECS);
    let mut answer = Section::new();
    let mut authority = Section::new();
    let mut code = rcode::NOERROR;
    if says("servfail") {
        code = rcode::SERVFAIL;
    } else if says("refused") {
        code = rcode::REFUSED;
    } else {
        let last = follow(&asked, ttl_secs, &mut answer);
        let negative = fill(&last, asked.qtype, ttl_secs, &mut answer);
        if let Some(negative) = negative {
            code = negative;
            soa(&last, &mut authority);
        }
    }
    let mut message = assemble(query, &asked, code, &answer, &authority);
    if (says("tc") && !tcp) || message.len() > asked.limit_bytes {
        message = assemble(query, &asked, code, &Section::new(), &Section::new());
        message[2] |= 0x02;
    }
    Some(Play::Answer { message, delay })
}

impl Asked {
    fn read(query: &[u8], tcp: bool) -> Option<Self> {
        if query.len() < 17 || query[2] & 0x80 != 0 || query[4..6] != [0, 1] {
            return None;
        }
        let (name, end) = read_name(query, 12).ok()?;
        let qtype = u16::from_be_bytes([*query.get(end)?, *query.get(end + 1)?]);
        let question_end = end + 4;
        let has_opt = query.get(10..12) == Some(&[0, 1]);
        let size = query
            .get(question_end + 3..question_end + 5)
            .filter(|_| has_opt);
        let limit_bytes = match size {
            _ if tcp => 65_535,
            Some(size) => usize::from(u16::from_be_bytes([size[0], size[1]])).max(512),
            None => 512,
        };
        Some(Self {
            name,
            qtype,
            question_end,
            limit_bytes,
        })
    }
}

impl Section {
    fn new() -> Self {
        Self {
            records: Vec::new(),
            count: 0,
        }
    }

    fn push(&mut self, name: &[u8], rtype: u16, ttl_secs: u32, rdata: &[u8]) {
        self.records.extend_from_slice(name);
        self.records.extend_from_slice(&rtype.to_be_bytes());
        self.records.extend_from_slice(&[0, 1]);
        self.records.extend_from_slice(&ttl_secs.to_be_bytes());
        let length = u16::try_from(rdata.len()).expect("the script's RDATA is short");
        self.records.extend_from_slice(&length.to_be_bytes());
        self.records.extend_from_slice(rdata);
        self.count += 1;
    }
}

/// Follows the `cname` labels and returns the name they end at, in wire form.
fn follow(asked: &Asked, ttl_secs: u32, answer: &mut Section) -> Vec<u8> {
    let mut name = asked.name.clone();
    while name.len() > 6
        && name[1..].to_ascii_lowercase().starts_with(b"cname")
        && asked.qtype != rtype::CNAME
    {
        let target = name[usize::from(name[0]) + 1..].to_vec();
        answer.push(&name, rtype::CNAME, ttl_secs, &target);
        name = target;
    }
    name
}

/// Puts the records of `name` into the answer; the code if there are none.
fn fill(name: &[u8], qtype: u16, ttl_secs: u32, answer: &mut Section) -> Option<u16> {
    let labels = labels(name);
    let script = &labels[..labels.len().saturating_sub(2)];
    let says = |word: &str| script.iter().any(|label| label.starts_with(word));
    if says("nx") {
        return Some(rcode::NXDOMAIN);
    }
    if says("nodata") {
        return Some(rcode::NOERROR);
    }
    let n = name.iter().fold(7_u8, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(byte.to_ascii_lowercase())
    });
    let many = if says("big") { BIG_ADDRESSES } else { 1 };
    match qtype {
        rtype::A => (0..many)
            .for_each(|i| answer.push(name, qtype, ttl_secs, &[192, 0, 2, n.wrapping_add(i)])),
        rtype::AAAA => (0..many).for_each(|i| {
            let mut address = [0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
            address[15] = n.wrapping_add(i);
            answer.push(name, qtype, ttl_secs, &address);
        }),
        rtype::TXT if says("big") => {
            let string = [&[250_u8][..], &[b'x'; 250]].concat();
            answer.push(name, qtype, ttl_secs, &string.repeat(BIG_TEXT_STRINGS));
        }
        rtype::TXT => answer.push(name, qtype, ttl_secs, b"\x04text"),
        rtype::MX => answer.push(
            name,
            qtype,
            ttl_secs,
            &[&[0, 10][..], &encode_name("mail.upstream.test")].concat(),
        ),
        rtype::NS => answer.push(name, qtype, ttl_secs, &encode_name("ns.upstream.test")),
        // What only exists for other names, or as part of a negative answer:
        rtype::SOA | rtype::CNAME | rtype::DNAME | rtype::DNSKEY | 43 => {
            return Some(rcode::NOERROR);
        }
        rtype::ANY => answer.push(name, rtype::A, ttl_secs, &[192, 0, 2, n]),
        _ => answer.push(name, qtype, ttl_secs, &[n, 1, 2, 3]),
    }
    None
}

fn soa(name: &[u8], authority: &mut Section) {
    let owner = last_two(name);
    let mut rdata = encode_name("ns.upstream.test");
    rdata.extend_from_slice(&encode_name("hostmaster.upstream.test"));
    for number in [1_u32, 3600, 600, 86400, NEGATIVE_TTL_SECS] {
        rdata.extend_from_slice(&number.to_be_bytes());
    }
    authority.push(owner, rtype::SOA, NEGATIVE_TTL_SECS, &rdata);
}

fn assemble(
    query: &[u8],
    asked: &Asked,
    code: u16,
    answer: &Section,
    authority: &Section,
) -> Vec<u8> {
    let has_opt = query[10..12] == [0, 1];
    let mut message = query[..2].to_vec();
    message.push(0x84 | query[2] & 0x01); // QR, AA, RD as asked
    message.push(0x80 | u8::try_from(code).expect("the script's codes fit the header")); // RA
    message.extend_from_slice(&[0, 1]);
    message.extend_from_slice(&answer.count.to_be_bytes());
    message.extend_from_slice(&authority.count.to_be_bytes());
    message.extend_from_slice(&[0, u8::from(has_opt)]);
    message.extend_from_slice(&query[12..asked.question_end]);
    message.extend_from_slice(&answer.records);
    message.extend_from_slice(&authority.records);
    if has_opt {
        message.extend_from_slice(&[0, 0, 41, 0x04, 0xd0, 0, 0, 0, 0, 0, 0]);
    }
    message
}

fn labels(name: &[u8]) -> Vec<String> {
    let mut labels = Vec::new();
    let mut at = 0;
    while let Some(&length) = name.get(at).filter(|length| **length > 0) {
        let end = at + 1 + usize::from(length);
        labels.push(String::from_utf8_lossy(&name[at + 1..end]).to_ascii_lowercase());
        at = end;
    }
    labels
}

/// The last two labels of a name in wire form, or all of it if there are fewer.
fn last_two(name: &[u8]) -> &[u8] {
    let mut starts = Vec::new();
    let mut at = 0;
    while name[at] > 0 {
        starts.push(at);
        at += 1 + usize::from(name[at]);
    }
    let first = starts.len().saturating_sub(2);
    starts.get(first).map_or(name, |start| &name[*start..])
}

/// The number behind `word` in the first label that is just that.
fn number(labels: &[String], word: &str) -> Option<u32> {
    labels
        .iter()
        .find_map(|label| label.strip_prefix(word)?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{Message, query};

    fn answer(name: &str, qtype: u16, tcp: bool) -> Message {
        let asked = query(name, qtype).edns(1232, false).build();
        match play(&asked, tcp).unwrap() {
            Play::Answer { message, .. } => Message::parse(&message).unwrap(),
            Play::Silence => panic!("silence on {name}"),
        }
    }

    #[test]
    fn the_script_is_in_the_name() {
        assert_eq!(answer("www.upstream.test", rtype::A, false).answer.len(), 1);
        assert_eq!(
            answer("ttl7.www.upstream.test", rtype::A, false).answer[0].ttl_secs,
            7
        );
        let nx = answer("nx1.upstream.test", rtype::A, false);
        assert_eq!((nx.rcode(), nx.authority.len()), (rcode::NXDOMAIN, 1));
        let chain = answer("cname1.cname2.www.upstream.test", rtype::A, false);
        assert_eq!(
            chain
                .answer
                .iter()
                .map(|record| record.rtype)
                .collect::<Vec<_>>(),
            [5, 5, 1]
        );
        assert!(answer("big.upstream.test", rtype::TXT, false).truncated());
        assert!(!answer("big.upstream.test", rtype::TXT, true).truncated());
        assert!(answer("tc.upstream.test", rtype::A, false).truncated());
        assert!(matches!(
            play(&query("drop.upstream.test", 1).build(), false),
            Some(Play::Silence)
        ));
    }
}
