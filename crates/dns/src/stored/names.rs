use super::layout::{Section, Stored};
use super::message::{Malformed, Reader};
use crate::name::Name;
use crate::{HEADER_BYTES, rtype};

/// Type and class behind a question's name.
const TYPE_AND_CLASS_BYTES: usize = 4;

impl Stored<'_> {
    /// Whether any name that has data in this answer is chosen: the owner of a record, or what an alias leads to (which has
    /// none where the answer says so). `question` is the name that it answers.
    ///
    /// `None`: it is not an answer to that question.
    pub fn tells_of(self, question: &Name, chosen: impl FnMut(&Name) -> bool) -> Option<bool> {
        // Names are compressed against the question, which begins behind a message's header.
        let behind_question = HEADER_BYTES + question.as_bytes().len() + TYPE_AND_CLASS_BYTES;
        let mut message = vec![0; HEADER_BYTES];
        message.extend(question.as_bytes());
        message.resize(behind_question, 0);
        message.extend(self.body());
        self.any_name(&message, behind_question, chosen).ok()
    }

    fn any_name(
        self,
        message: &[u8],
        at: usize,
        mut chosen: impl FnMut(&Name) -> bool,
    ) -> Result<bool, Malformed> {
        let mut is_chosen = |name: &[u8]| {
            let name = Name::from_wire(name).map_err(|_| Malformed)?;
            Ok(chosen(&name))
        };
        let mut reader = Reader::new(message, at);
        let records: u32 = self.counts().map(u32::from).iter().sum();
        for _ in 0..records {
            // Which section it is in makes no difference here.
            let record = reader.record(Section::Answer)?;
            if is_chosen(record.owner.as_bytes())? {
                return Ok(true);
            }
            if record.rtype == rtype::CNAME {
                let target = Reader::new(message, record.rdata_at).name()?;
                if is_chosen(target.as_bytes())? {
                    return Ok(true);
                }
            }
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stored::{Owner, StoredBuilder};

    fn name(text: &str) -> Name {
        Name::from_text(text).unwrap()
    }

    #[test]
    fn owners_and_targets_of_aliases_are_told() {
        let question = name("www.example.net");
        let target = name("host.inner.example.net");
        let [alias, address, soa] = [5, 1, 6];
        let mut builder = StoredBuilder::new(Some(&question), 0, false);
        let mut push = |section, owner, rtype, rdata: &[u8]| {
            builder.push(section, owner, [rtype, 1], 60, rdata).unwrap();
        };
        push(Section::Answer, Owner::Question, alias, target.as_bytes());
        push(
            Section::Answer,
            Owner::Name(&target),
            address,
            &[10, 0, 0, 1],
        );
        let names = [name("ns.example.org"), name("mail.example.org")];
        let soa_data = [names[0].as_bytes(), names[1].as_bytes(), &[0; 20]].concat();
        push(
            Section::Authority,
            Owner::Name(&name("net")),
            soa,
            &soa_data,
        );
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        let stored = Stored::new(&bytes).unwrap();
        let tells_of = |wanted: &str| stored.tells_of(&question, |told| *told == name(wanted));
        for told in ["www.example.net", "host.inner.example.net", "net"] {
            assert_eq!(tells_of(told), Some(true), "{told}");
        }
        for untold in ["example.net", "ns.example.org", "."] {
            assert_eq!(tells_of(untold), Some(false), "{untold}");
        }
        // Against a shorter question, pointers lead to where no names are.
        assert_eq!(stored.tells_of(&Name::ROOT, |_| false), None);
    }

    #[test]
    fn an_alias_to_nothing_tells_of_where_it_leads() {
        let question = name("www.example.net");
        let target = name("gone.inner.example.net");
        let mut builder = StoredBuilder::new(Some(&question), 3, false);
        builder
            .push(
                Section::Answer,
                Owner::Question,
                [5, 1],
                60,
                target.as_bytes(),
            )
            .unwrap();
        let mut bytes = Vec::new();
        builder.finish(&mut bytes);
        let stored = Stored::new(&bytes).unwrap();
        let inner = name("inner.example.net");
        let tells = stored.tells_of(&question, |told| told.is_subdomain_of(&inner));
        assert_eq!(tells, Some(true));
    }
}
