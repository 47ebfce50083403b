use anyhow::{Result, bail, ensure};

use super::record::{Question, WireRecord};
use crate::wire::{read_name, rtype};

/// A message as an entry describes it.
#[derive(Clone, Debug, Default)]
pub struct Packet {
    pub(super) flags: u16,
    pub(super) questions: Vec<Question>,
    /// Answer, authority, additional.
    pub(super) records: [Vec<WireRecord>; 3],
    /// The DO bit; an OPT record comes with it, and with [`Self::options`].
    pub(super) dnssec_ok: bool,
    /// The options of the OPT record in wire form.
    pub(super) options: Option<Vec<u8>>,
    /// The message byte by byte instead, as far as it is sent.
    pub(super) raw: Option<Vec<u8>>,
}

/// Bits of the header's second 16.
const FLAGS: &[(&str, u16)] = &[
    ("QR", 0x8000),
    ("AA", 0x0400),
    ("TC", 0x0200),
    ("RD", 0x0100),
    ("RA", 0x0080),
    ("AD", 0x0020),
    ("CD", 0x0010),
];

const OPCODES: &[(&str, u16)] = &[
    ("QUERY", 0),
    ("IQUERY", 1),
    ("STATUS", 2),
    ("NOTIFY", 4),
    ("UPDATE", 5),
];

const RCODES: &[(&str, u16)] = &[
    ("NOERROR", 0),
    ("FORMERR", 1),
    ("SERVFAIL", 2),
    ("NXDOMAIN", 3),
    ("NOTIMPL", 4),
    ("REFUSED", 5),
    ("YXDOMAIN", 6),
    ("YXRRSET", 7),
    ("NXRRSET", 8),
    ("NOTAUTH", 9),
    ("NOTZONE", 10),
];

const UDP_SIZE: u16 = 1232;

impl Packet {
    /// Takes one word of a `REPLY` line.
    pub(super) fn set(&mut self, word: &str) -> Result<()> {
        let of = |table: &[(&str, u16)]| {
            let found = table.iter().find(|(name, _)| *name == word);
            found.map(|(_, value)| *value)
        };
        if let Some(bit) = of(FLAGS) {
            self.flags |= bit;
        } else if let Some(opcode) = of(OPCODES) {
            self.flags = self.flags & !0x7800 | opcode << 11;
        } else if let Some(rcode) = of(RCODES) {
            self.flags = self.flags & !0x000f | rcode;
        } else if word == "DO" {
            self.dnssec_ok = true;
        } else {
            bail!("REPLY {word} isn't known");
        }
        Ok(())
    }

    /// The message with an ID, without compression.
    pub(super) fn encode(&self, id: u16) -> Result<Vec<u8>> {
        let has_opt = self.dnssec_ok || self.options.is_some();
        let mut message = id.to_be_bytes().to_vec();
        let [answer, authority, additional] = self.records.each_ref().map(Vec::len);
        let counts = [
            self.questions.len(),
            answer,
            authority,
            additional + usize::from(has_opt),
        ];
        message.extend(self.flags.to_be_bytes());
        for count in counts {
            message.extend(u16::try_from(count)?.to_be_bytes());
        }
        for question in &self.questions {
            message.extend_from_slice(&question.name);
            message.extend(question.qtype.to_be_bytes());
            message.extend(question.qclass.to_be_bytes());
        }
        for record in self.records.iter().flatten() {
            record.append_to(&mut message)?;
        }
        if has_opt {
            let options = self.options.as_deref().unwrap_or_default();
            message.push(0);
            message.extend(rtype::OPT.to_be_bytes());
            message.extend(UDP_SIZE.to_be_bytes());
            message.extend([0, 0, u8::from(self.dnssec_ok) << 7, 0]);
            message.extend(u16::try_from(options.len())?.to_be_bytes());
            message.extend_from_slice(options);
        }
        Ok(message)
    }
}

impl WireRecord {
    fn append_to(&self, message: &mut Vec<u8>) -> Result<()> {
        message.extend_from_slice(&self.name);
        message.extend(self.rtype.to_be_bytes());
        message.extend(self.class.to_be_bytes());
        message.extend(self.ttl_secs.to_be_bytes());
        message.extend(u16::try_from(self.rdata.len())?.to_be_bytes());
        message.extend_from_slice(&self.rdata);
        Ok(())
    }
}

/// `answer` with the question of `query` in the place of its own.
pub(super) fn with_question_of(query: &[u8], answer: &[u8]) -> Result<Vec<u8>> {
    let theirs = question_end(query)?;
    let ours = question_end(answer)?;
    let mut message = answer[..12].to_vec();
    message[4..6].copy_from_slice(&query[4..6]);
    message.extend_from_slice(&query[12..theirs]);
    message.extend_from_slice(&answer[ours..]);
    Ok(message)
}

fn question_end(message: &[u8]) -> Result<usize> {
    ensure!(message.len() >= 12, "a message of {} bytes", message.len());
    let mut at = 12;
    for _ in 0..u16::from_be_bytes([message[4], message[5]]) {
        at = read_name(message, at)?.1 + 4;
    }
    ensure!(at <= message.len(), "a question is cut off");
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::super::record::{Defaults, question, record};
    use super::*;
    use crate::wire::Message;

    #[test]
    fn a_packet_is_the_message_its_lines_say() {
        let mut packet = Packet::default();
        for word in ["QR", "RD", "RA", "DO", "NXDOMAIN"] {
            packet.set(word).unwrap();
        }
        assert!(packet.set("XX").is_err());
        let defaults = Defaults::default();
        packet
            .questions
            .push(question("a.test. IN A", &defaults).unwrap());
        packet.records[1].push(record("test. 9 IN NS ns.test.", &defaults).unwrap());
        let message = packet.encode(7).unwrap();
        let parsed = Message::parse(&message).unwrap();
        assert_eq!((parsed.id, parsed.flags), (7, 0x8183));
        assert_eq!(parsed.authority[0].ttl_secs, 9);
        assert!(parsed.edns.unwrap().dnssec_ok);

        let asked = crate::wire::query("Other.Test", 28).build();
        let swapped = Message::parse(&with_question_of(&asked, &message).unwrap()).unwrap();
        assert_eq!(
            swapped.questions,
            [(b"\x05Other\x04Test\0".to_vec(), 28, 1)]
        );
        assert_eq!(swapped.authority, parsed.authority);
    }
}
