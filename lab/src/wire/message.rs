use std::fmt;

use anyhow::{Context, Result, ensure};

use super::name::read_name;
use super::rtype;

/// A whole message, read with care: names expanded, RDATA names too. Two messages can be compared with `==` after
/// [`Message::comparable`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The message ID.
    pub id: u16,
    /// The second 16 bits of the header: QR, opcode, AA, TC, RD, RA, Z, AD, CD, RCODE.
    pub flags: u16,
    /// The questions: name in wire form with its case, type, class.
    pub questions: Vec<(Vec<u8>, u16, u16)>,
    /// The answer section.
    pub answer: Vec<Record>,
    /// The authority section.
    pub authority: Vec<Record>,
    /// The additional section without OPT records.
    pub additional: Vec<Record>,
    /// The OPT record, if there is one.
    pub edns: Option<Edns>,
}

/// A resource record.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The owner in wire form, lower-cased.
    pub name: Vec<u8>,
    /// The type.
    pub rtype: u16,
    /// The class.
    pub class: u16,
    /// The time to live in seconds.
    pub ttl_secs: u32,
    /// The RDATA; names of the types of RFC 1035 and of SRV and DNAME are expanded and lower-cased.
    pub rdata: Vec<u8>,
}

/// An OPT record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The sender's UDP payload size.
    pub udp_size: u16,
    /// The upper eight bits of the response code.
    pub extended_rcode: u8,
    /// The version.
    pub version: u8,
    /// The DO bit.
    pub dnssec_ok: bool,
    /// The options in wire form.
    pub options: Vec<u8>,
}

impl Message {
    /// Reads a message; anything that isn't right, trailing bytes too, is an error.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        ensure!(bytes.len() >= 12, "a message of {} bytes", bytes.len());
        let count = |at| usize::from(word(bytes, at));
        let mut at = 12;
        let mut questions = Vec::new();
        for _ in 0..count(4) {
            let (name, next) = read_name(bytes, at)?;
            ensure!(bytes.len() >= next + 4, "a question is cut off");
            questions.push((name, word(bytes, next), word(bytes, next + 2)));
            at = next + 4;
        }
        let mut message = Self {
            id: word(bytes, 0),
            flags: word(bytes, 2),
            questions,
            answer: Vec::new(),
            authority: Vec::new(),
            additional: Vec::new(),
            edns: None,
        };
        for (section, counter) in [6, 8, 10].into_iter().enumerate() {
            for _ in 0..count(counter) {
                let (record, next) =
                    read_record(bytes, at).with_context(|| format!("record at byte {at}"))?;
                message.file(section, record)?;
                at = next;
            }
        }
        ensure!(
            at == bytes.len(),
            "{} bytes behind the message",
            bytes.len() - at
        );
        Ok(message)
    }

    /// The response code, with the upper bits of the OPT record.
    pub fn rcode(&self) -> u16 {
        let upper = self
            .edns
            .as_ref()
            .map_or(0, |edns| u16::from(edns.extended_rcode));
        upper << 4 | self.flags & 0xf
    }

    /// Whether the TC bit is set.
    pub fn truncated(&self) -> bool {
        self.flags & 0x0200 != 0
    }

    /// Whether the AD bit is set.
    pub fn authentic(&self) -> bool {
        self.flags & 0x0020 != 0
    }

    /// The same message without what may differ between two right answers: ID, case of the question, TTLs, and the
    /// order of the records of a section.
    #[must_use]
    pub fn comparable(mut self) -> Self {
        self.id = 0;
        for question in &mut self.questions {
            question.0.make_ascii_lowercase();
        }
        for section in [&mut self.answer, &mut self.authority, &mut self.additional] {
            for record in section.iter_mut() {
                record.ttl_secs = 0;
            }
            section.sort();
        }
        self
    }

    /// The message in wire form, without compression; the OPT record comes last.
    pub fn build(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(512);
        let count = |length: usize| u16::try_from(length).expect("sections of a test are short");
        let additional = self.additional.len() + usize::from(self.edns.is_some());
        for word in [
            self.id,
            self.flags,
            count(self.questions.len()),
            count(self.answer.len()),
            count(self.authority.len()),
            count(additional),
        ] {
            bytes.extend_from_slice(&word.to_be_bytes());
        }
        for (name, qtype, qclass) in &self.questions {
            bytes.extend_from_slice(name);
            bytes.extend_from_slice(&qtype.to_be_bytes());
            bytes.extend_from_slice(&qclass.to_be_bytes());
        }
        let sections = [&self.answer, &self.authority, &self.additional];
        for record in sections.into_iter().flatten() {
            record.write(&mut bytes);
        }
        if let Some(edns) = &self.edns {
            edns.record().write(&mut bytes);
        }
        bytes
    }

    /// The TTLs of all records in seconds, in the message's order.
    pub fn ttls(&self) -> Vec<u32> {
        let sections = [&self.answer, &self.authority, &self.additional];
        sections
            .into_iter()
            .flatten()
            .map(|record| record.ttl_secs)
            .collect()
    }

    fn file(&mut self, section: usize, record: Record) -> Result<()> {
        if record.rtype != rtype::OPT {
            let sections = [&mut self.answer, &mut self.authority, &mut self.additional];
            sections
                .into_iter()
                .nth(section)
                .expect("three sections")
                .push(record);
            return Ok(());
        }
        ensure!(section == 2, "an OPT record outside the additional section");
        ensure!(self.edns.is_none(), "two OPT records");
        ensure!(record.name == [0], "an OPT record with an owner");
        let [extended_rcode, version, flags, _] = record.ttl_secs.to_be_bytes();
        self.edns = Some(Edns {
            udp_size: record.class,
            extended_rcode,
            version,
            dnssec_ok: flags & 0x80 != 0,
            options: record.rdata,
        });
        Ok(())
    }
}

impl Record {
    fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.name);
        bytes.extend_from_slice(&self.rtype.to_be_bytes());
        bytes.extend_from_slice(&self.class.to_be_bytes());
        bytes.extend_from_slice(&self.ttl_secs.to_be_bytes());
        let length = u16::try_from(self.rdata.len()).expect("an RDATA of a test is short");
        bytes.extend_from_slice(&length.to_be_bytes());
        bytes.extend_from_slice(&self.rdata);
    }
}

impl Edns {
    /// The OPT record that says this (RFC 6891, 6.1.2).
    fn record(&self) -> Record {
        let flags = u8::from(self.dnssec_ok) << 7;
        Record {
            name: vec![0],
            rtype: rtype::OPT,
            class: self.udp_size,
            ttl_secs: u32::from_be_bytes([self.extended_rcode, self.version, flags, 0]),
            rdata: self.options.clone(),
        }
    }
}

/// A copy of the message with the TTLs of all records but OPT set to zero, for comparison byte by byte.
pub fn without_ttls(message: &[u8]) -> Result<Vec<u8>> {
    ensure!(message.len() >= 12, "a message of {} bytes", message.len());
    let mut copy = message.to_vec();
    let count = |at| usize::from(word(message, at));
    let mut at = 12;
    for _ in 0..count(4) {
        at = read_name(message, at)?.1 + 4;
    }
    for _ in 0..count(6) + count(8) + count(10) {
        let owner_end = read_name(message, at)?.1;
        let (record, next) = read_record(message, at)?;
        if record.rtype != rtype::OPT {
            copy[owner_end + 4..owner_end + 8].fill(0);
        }
        at = next;
    }
    Ok(copy)
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.name.escape_ascii();
        write!(
            f,
            "{name} {} CLASS{} TYPE{} ",
            self.ttl_secs, self.class, self.rtype
        )?;
        write!(f, "{}", self.rdata.escape_ascii())
    }
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn read_record(bytes: &[u8], at: usize) -> Result<(Record, usize)> {
    let (mut name, next) = read_name(bytes, at)?;
    ensure!(bytes.len() >= next + 10, "a record is cut off");
    let start = next + 10;
    let end = start + usize::from(word(bytes, next + 8));
    ensure!(bytes.len() >= end, "an RDATA is cut off");
    name.make_ascii_lowercase();
    let rtype = word(bytes, next);
    let record = Record {
        name,
        rtype,
        class: word(bytes, next + 2),
        ttl_secs: u32::from(word(bytes, next + 4)) << 16 | u32::from(word(bytes, next + 6)),
        rdata: read_rdata(bytes, rtype, start, end)?,
    };
    Ok((record, end))
}

/// RDATA with its names expanded: `fixed` bytes, then `names` names, then the rest as it is.
fn read_rdata(bytes: &[u8], rtype: u16, start: usize, end: usize) -> Result<Vec<u8>> {
    let (fixed, names) = match rtype {
        rtype::NS | rtype::CNAME | rtype::PTR | rtype::DNAME => (0, 1),
        rtype::SOA => (0, 2),
        rtype::MX => (2, 1),
        rtype::SRV => (6, 1),
        _ => (end - start, 0),
    };
    ensure!(
        start + fixed <= end,
        "an RDATA of type {rtype} is too short"
    );
    let mut rdata = bytes[start..start + fixed].to_vec();
    let mut at = start + fixed;
    for _ in 0..names {
        let (mut name, next) = read_name(bytes, at)?;
        name.make_ascii_lowercase();
        rdata.extend_from_slice(&name);
        at = next;
    }
    ensure!(at <= end, "a name runs out of an RDATA of type {rtype}");
    rdata.extend_from_slice(&bytes[at..end]);
    Ok(rdata)
}
