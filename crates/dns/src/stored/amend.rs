//! What is needed to change a stored answer for some clients: its addresses, and its records in another answer.

use std::net::IpAddr;
use std::ops::Range;

use super::builder::StoredBuilder;
use super::compile::CompileError;
use super::layout::{Section, Stored};
use super::message::Reader;
use crate::name::Name;
use crate::{HEADER_BYTES, rtype};

impl<'a> Stored<'a> {
    /// The types of the records of the answer section, each with where its data's length stands in the body.
    fn answer_types(self) -> impl Iterator<Item = (u16, usize)> + 'a {
        let word = move |at: usize| {
            let bytes = self.body().get(at..).and_then(<[u8]>::first_chunk::<2>);
            bytes.map_or(0, |bytes| u16::from_be_bytes(*bytes))
        };
        let answers = usize::from(self.counts()[0]);
        let ttls = self.ttl_offsets().take(answers);
        ttls.map(move |ttl_at| (word(ttl_at.saturating_sub(4)), ttl_at + 4))
    }

    /// The addresses in the answer section, each with the number of its record there.
    pub fn addresses(self) -> impl Iterator<Item = (usize, IpAddr)> + 'a {
        let body = self.body();
        let records = self.answer_types().enumerate();
        records.filter_map(move |(number, (rtype, len_at))| {
            let (len, data) = body.get(len_at..)?.split_first_chunk::<2>()?;
            let data = data.get(..usize::from(u16::from_be_bytes(*len)))?;
            let address: IpAddr = match rtype {
                rtype::A => <[u8; 4]>::try_from(data).ok()?.into(),
                rtype::AAAA => <[u8; 16]>::try_from(data).ok()?.into(),
                _ => return None,
            };
            Some((number, address))
        })
    }

    /// The first of the records of the same type that stand next to a record of the answer section: its `RRset`'s.
    pub fn rrset_start(self, number: usize) -> usize {
        let types: Vec<u16> = self.answer_types().map(|(rtype, _)| rtype).collect();
        let own = types.get(number).copied();
        let before = types[..number.min(types.len())].iter().rev();
        number - before.take_while(|rtype| Some(**rtype) == own).count()
    }

    /// The owner of a record of the answer section, in an answer to `question`.
    pub fn owner(self, question: &Name, number: usize) -> Option<Name> {
        let whole = self.message(question);
        let mut reader = Reader::new(&whole, whole.len() - self.body().len());
        let records = (0..=number).map(|_| reader.record(Section::Answer));
        let record = records.last()?.ok()?;
        Name::from_wire(record.owner.as_bytes()).ok()
    }

    /// The body where it stands in a message.
    fn message(self, question: &Name) -> Vec<u8> {
        let mut whole = vec![0; HEADER_BYTES];
        whole.extend_from_slice(question.as_bytes());
        whole.extend([0; 4]);
        whole.extend_from_slice(self.body());
        whole
    }
}

impl StoredBuilder {
    /// Adds records of the answer section of an answer to `question`, by their numbers there; their TTLs have been
    /// running for `age_secs` seconds.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_answers(
        &mut self,
        stored: Stored<'_>,
        question: &Name,
        numbers: Range<usize>,
        age_secs: u32,
    ) -> Result<(), CompileError> {
        let whole = stored.message(question);
        let mut reader = Reader::new(&whole, whole.len() - stored.body().len());
        for number in 0..numbers.end.min(usize::from(stored.counts()[0])) {
            let record = reader.record(Section::Answer)?;
            if numbers.contains(&number) {
                let ttl_secs = record.ttl_secs.saturating_sub(age_secs);
                self.push_record(&record, ttl_secs, &whole)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Owner, rcode};

    use super::*;
    use crate::stored::compiled;

    /// `a.lab` is an alias of `b.lab`, which has two addresses, a signature and one more.
    fn stored() -> Vec<u8> {
        let mut msg = vec![0, 0, 0x81, 0x80, 0, 1, 0, 5, 0, 0, 0, 0];
        msg.extend(b"\x01a\x03lab\0\0\x01\0\x01");
        msg.extend(b"\xc0\x0c\0\x05\0\x01\0\0\0\x09\0\x04\x01b\xc0\x0e");
        for last in 0..2 {
            msg.extend([0xc0, 0x23, 0, 1, 0, 1, 0, 0, 0, 9, 0, 4, 192, 0, 2, last]);
        }
        msg.extend([0xc0, 0x23, 0, 46, 0, 1, 0, 0, 0, 9, 0, 20]);
        msg.extend([0; 20]);
        msg.extend([0xc0, 0x23, 0, 28, 0, 1, 0, 0, 0, 9, 0, 16]);
        msg.extend([0x20; 16]);
        compiled(&msg, true)
    }

    #[test]
    fn addresses_have_their_places() {
        let bytes = stored();
        let stored = Stored::new(&bytes).unwrap();
        let found: Vec<_> = stored.addresses().collect();
        let v6 = IpAddr::from([0x20; 16]);
        assert_eq!(
            found,
            [
                (1, [192, 0, 2, 0].into()),
                (2, [192, 0, 2, 1].into()),
                (4, v6)
            ]
        );
        assert_eq!(
            [1, 2, 4].map(|number| stored.rrset_start(number)),
            [1, 1, 4]
        );
        let question = Name::from_text("a.lab").unwrap();
        let owner = |number| stored.owner(&question, number).map(|name| name.to_string());
        assert_eq!(owner(0).as_deref(), Some("a.lab."));
        assert_eq!(owner(2).as_deref(), Some("b.lab."));
        assert_eq!(owner(5), None);
    }

    #[test]
    fn records_are_taken_over_with_their_names_and_without_the_verdict() {
        let bytes = stored();
        let stored = Stored::new(&bytes).unwrap();
        let question = Name::from_text("a.lab").unwrap();
        let other = Name::from_text("xyz.example").unwrap();
        let mut builder = StoredBuilder::new(Some(&other), rcode::NOERROR, false);
        builder.push_answers(stored, &question, 0..2, 4).unwrap();
        let last = Owner::Name(&other);
        builder
            .push(Section::Answer, last, [rtype::A, 1], 7, &[192, 0, 2, 9])
            .unwrap();
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        let taken = Stored::new(&bytes).unwrap();
        assert_eq!((taken.counts(), taken.is_secure()), ([3, 0, 0], false));
        let owner = |number| taken.owner(&other, number).unwrap().to_string();
        assert_eq!([0, 1, 2].map(owner), ["a.lab.", "b.lab.", "xyz.example."]);
        let ttls = taken.ttl_offsets().map(|at| taken.body()[at + 3]);
        assert_eq!(ttls.collect::<Vec<_>>(), [5, 5, 7]);
        let addresses: Vec<_> = taken.addresses().map(|(_, address)| address).collect();
        assert_eq!(
            addresses,
            [[192, 0, 2, 0].into(), IpAddr::from([192, 0, 2, 9])]
        );
    }
}
