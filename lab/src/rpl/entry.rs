use anyhow::{Context, Result, bail};

use super::Packet;
use super::lines::{Lines, without_comment};
use super::record::{Defaults, hex, name, question, record};

/// A message, what is like it, and how it is made an answer.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The line it begins at.
    pub line: usize,
    /// What a message must have in common with [`Self::packets`]' first.
    pub rules: Vec<Rule>,
    /// What is changed before the packets are sent as an answer.
    pub adjust: Vec<Adjust>,
    /// The message, and those that follow it.
    pub packets: Vec<Packet>,
}

/// One word of a `MATCH` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The same opcode.
    Opcode,
    /// The same type is asked.
    Qtype,
    /// The same name is asked.
    Qname,
    /// A name is asked that is at or below the entry's.
    Subdomain,
    /// Header, sections and EDNS are the same, in any order of the records of a section.
    All,
    /// As `All` but for EDNS.
    AllNoEdns,
    /// The TTLs too.
    Ttl,
    /// The DO bit is set.
    DnssecOk,
    /// There is no OPT record.
    NoEdns,
    /// The same response code.
    Rcode,
    /// The same question section.
    Question,
    /// The same answer section.
    Answer,
    /// The same EDNS options.
    EdnsData,
    /// It came over UDP.
    Udp,
    /// It came over TCP.
    Tcp,
    /// An Extended DNS Error (RFC 8914) with this code; other rules don't see it.
    Ede(u16),
    /// Any Extended DNS Error; other rules don't see it.
    AnyEde,
    /// An IXFR query that has this serial number.
    Serial(u32),
}

/// One word of an `ADJUST` line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adjust {
    /// The answer has the ID of the query. Over real sockets it always has.
    CopyId,
    /// The answer has the question of the query.
    CopyQuery,
    /// The answer has the EDNS options of the query, the scope of a client subnet set to its source mask.
    CopyClientSubnet,
    /// As before, the scope one more.
    IncrementScope,
}

/// Where the lines of an entry that are neither keywords nor bytes go.
#[derive(Clone, Copy)]
enum Section {
    Question,
    Records(usize),
}

impl Entry {
    /// Reads the lines behind `ENTRY_BEGIN` up to and with `ENTRY_END`.
    pub(super) fn read(lines: &mut Lines<'_>, defaults: &mut Defaults) -> Result<Self> {
        let mut entry = Self {
            line: lines.number(),
            rules: Vec::new(),
            adjust: Vec::new(),
            packets: vec![Packet::default()],
        };
        let mut section = Section::Question;
        loop {
            let line = lines.said()?;
            let (keyword, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
            let words = without_comment(rest).split_whitespace();
            let packet = entry.packets.last_mut().expect("never empty");
            match without_comment(keyword) {
                "ENTRY_END" => return Ok(entry),
                "MATCH" => {
                    for word in words {
                        entry.rules.push(Rule::read(word)?);
                    }
                }
                "ADJUST" => {
                    for word in words {
                        entry.adjust.push(Adjust::read(word)?);
                    }
                }
                "REPLY" => {
                    for word in words {
                        packet.set(word)?;
                    }
                }
                "SECTION" => section = Section::read(without_comment(rest))?,
                "EXTRA_PACKET" => entry.packets.push(Packet::default()),
                "HEX_ANSWER_BEGIN" => packet.raw = Some(bytes(lines, "HEX_ANSWER_END")?),
                "HEX_EDNSDATA_BEGIN" => packet.options = Some(bytes(lines, "HEX_EDNSDATA_END")?),
                "$ORIGIN" => defaults.set_origin(without_comment(rest))?,
                "$TTL" => defaults.ttl_secs = without_comment(rest).parse()?,
                _ => section.take(packet, line, defaults)?,
            }
        }
    }

    /// Whether a rule is among its own.
    pub fn has(&self, rule: Rule) -> bool {
        self.rules.contains(&rule)
    }
}

impl Rule {
    fn read(word: &str) -> Result<Self> {
        if let Some((key, value)) = word.split_once(['=', ':']) {
            return Ok(match (key, value) {
                ("ede", "any") => Self::AnyEde,
                ("ede", code) => Self::Ede(code.parse()?),
                ("serial", serial) => Self::Serial(serial.parse()?),
                _ => bail!("MATCH {word} isn't known"),
            });
        }
        Ok(match word {
            "opcode" => Self::Opcode,
            "qtype" => Self::Qtype,
            "qname" => Self::Qname,
            "subdomain" => Self::Subdomain,
            "all" => Self::All,
            "all_noedns" => Self::AllNoEdns,
            "ttl" => Self::Ttl,
            "DO" => Self::DnssecOk,
            "noedns" => Self::NoEdns,
            "rcode" => Self::Rcode,
            "question" => Self::Question,
            "answer" => Self::Answer,
            "ednsdata" => Self::EdnsData,
            "UDP" => Self::Udp,
            "TCP" => Self::Tcp,
            _ => bail!("MATCH {word} isn't known"),
        })
    }
}

impl Adjust {
    fn read(word: &str) -> Result<Self> {
        Ok(match word {
            "copy_id" => Self::CopyId,
            "copy_query" => Self::CopyQuery,
            "copy_ednsdata_assume_clientsubnet" => Self::CopyClientSubnet,
            "increment_ecs_scope" => Self::IncrementScope,
            _ => bail!("ADJUST {word} isn't known"),
        })
    }
}

impl Section {
    fn read(word: &str) -> Result<Self> {
        Ok(match word {
            "QUESTION" => Self::Question,
            "ANSWER" => Self::Records(0),
            "AUTHORITY" => Self::Records(1),
            "ADDITIONAL" => Self::Records(2),
            _ => bail!("SECTION {word} isn't known"),
        })
    }

    fn take(self, packet: &mut Packet, line: &str, defaults: &Defaults) -> Result<()> {
        match self {
            Self::Question => packet.questions.push(question(line, defaults)?),
            Self::Records(section) => packet.records[section].push(record(line, defaults)?),
        }
        Ok(())
    }
}

impl Defaults {
    fn set_origin(&mut self, origin: &str) -> Result<()> {
        name(origin, &Self::default()).context("$ORIGIN")?;
        origin.clone_into(&mut self.origin);
        Ok(())
    }
}

/// The bytes of the lines up to the one that is `end`.
fn bytes(lines: &mut Lines<'_>, end: &str) -> Result<Vec<u8>> {
    let mut digits = String::new();
    loop {
        let line = without_comment(lines.raw()?);
        if line == end {
            return hex(&digits);
        }
        digits.push_str(line);
    }
}
