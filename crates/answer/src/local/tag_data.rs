use sluicegate_dns::{class, rtype};

use super::data::LocalAnswer;
use super::record::Record;
use super::store::rrset_answer;
use super::zones::{LocalError, Rrset};
use crate::alias::Alias;

/// The records that clients are redirected to by a tag of theirs.
#[derive(Debug, Default)]
pub(crate) struct TagData {
    rrsets: Vec<Rrset>,
    /// The answer with each, in stored form.
    answers: Vec<Vec<u8>>,
}

impl TagData {
    /// Adds a record in presentation format, without its owner.
    pub(crate) fn enter(&mut self, text: &str) -> Result<(), LocalError> {
        let record = Record::parse(&format!(". {text}")).map_err(LocalError::TagData)?;
        let is_alias = |rrset: &Rrset| rrset.rtype == rtype::CNAME;
        let alone = record.rtype == rtype::CNAME && !self.rrsets.is_empty();
        if alone || self.rrsets.iter().any(is_alias) {
            return Err(LocalError::TagAlias);
        }
        let new = (record.ttl_secs, record.rdata);
        let rrsets = &mut self.rrsets;
        match rrsets.iter_mut().find(|rrset| rrset.rtype == record.rtype) {
            Some(rrset) => rrset.records.push(new),
            None => rrsets.push(Rrset {
                rtype: record.rtype,
                records: vec![new],
            }),
        }
        let answer = |rrset: &Rrset| rrset_answer(rrset, class::IN).unwrap_or_default();
        self.answers = self.rrsets.iter().map(answer).collect();
        Ok(())
    }

    /// The records of this type, or a CNAME.
    pub(crate) fn rrset(&self, qtype: u16) -> Option<&Rrset> {
        let mut rrsets = self.rrsets.iter();
        rrsets.find(|rrset| [qtype, rtype::CNAME].contains(&rrset.rtype))
    }

    /// The answer for this type, if there is one.
    pub(super) fn answer(&self, qtype: u16) -> Option<LocalAnswer<'_>> {
        let mut both = self.rrsets.iter().zip(&self.answers);
        let (rrset, stored) =
            both.find(|(rrset, _)| [qtype, rtype::CNAME].contains(&rrset.rtype))?;
        Some(match rrset.records.first() {
            Some((ttl_secs, target)) if rrset.rtype == rtype::CNAME && qtype != rtype::CNAME => {
                LocalAnswer::Alias(Alias {
                    ttl_secs: *ttl_secs,
                    target,
                    literal: true,
                })
            }
            _ => LocalAnswer::Records(stored),
        })
    }
}
