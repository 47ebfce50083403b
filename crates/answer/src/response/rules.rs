use std::collections::HashMap;
use std::net::IpAddr;

use ipnet::IpNet;
use sluicegate_conf::{At, Config, LocalZoneType, ResponseTrait, TagSet};
use sluicegate_dns::rtype;

use crate::acl::{Prefixes, unmap};
use crate::local::{LocalError, Record, Rrset};

/// All rules, by the addresses that they are for.
#[derive(Debug)]
pub(crate) struct Responses {
    /// The number of the rule; the first is for no address.
    numbers: Prefixes<u32>,
    rules: Vec<Rule>,
}

/// What becomes of answers with addresses of one prefix.
#[derive(Debug, Default)]
pub(super) struct Rule {
    /// `None`: that is for tags alone to say.
    pub(super) action: Option<LocalZoneType>,
    pub(super) tags: Option<TagSet>,
    /// What takes the addresses' place.
    pub(super) data: Option<Rrset>,
}

impl Responses {
    /// The rules of a configuration; `None`: there are none.
    pub(crate) fn build(config: &Config) -> (Option<Self>, Vec<At<LocalError>>) {
        let mut errors = Vec::new();
        if config.responses.is_empty() {
            return (None, errors);
        }
        let mut numbers: HashMap<IpNet, usize> = HashMap::new();
        let mut rules = vec![Rule::default()];
        let (data, others): (Vec<_>, Vec<_>) = config
            .responses
            .iter()
            .partition(|line| matches!(line.value.says, ResponseTrait::Data(_)));
        // Data is for what has an action, wherever that stands.
        for line in others.into_iter().chain(data) {
            let prefix = unmap(line.value.prefix);
            let number = *numbers.entry(prefix).or_insert_with(|| {
                rules.push(Rule::default());
                rules.len() - 1
            });
            if let Err(value) = rules[number].enter(&line.value.says, prefix) {
                errors.push(At { value, at: line.at });
            }
        }
        let prefixes = numbers
            .into_iter()
            .map(|(prefix, number)| (prefix, number as u32));
        let responses = Self {
            numbers: Prefixes::new(prefixes, 0),
            rules,
        };
        (Some(responses), errors)
    }

    /// The rule for this address.
    pub(super) fn rule(&self, address: IpAddr) -> Option<&Rule> {
        match self.numbers.find(address) {
            0 => None,
            number => self.rules.get(number as usize),
        }
    }
}

impl Rule {
    /// Of two lines that say the same of one prefix the first holds; data is added.
    fn enter(&mut self, says: &ResponseTrait, prefix: IpNet) -> Result<(), LocalError> {
        match says {
            ResponseTrait::Action(kind) => _ = self.action.get_or_insert(*kind),
            ResponseTrait::Tags(tags) => _ = self.tags.get_or_insert_with(|| tags.clone()),
            ResponseTrait::Data(_) if self.action != Some(LocalZoneType::Redirect) => {
                return Err(LocalError::NoResponseAction);
            }
            ResponseTrait::Data(text) => self.enter_data(text, prefix)?,
        }
        Ok(())
    }

    fn enter_data(&mut self, text: &str, prefix: IpNet) -> Result<(), LocalError> {
        let record = Record::parse(&format!(". {text}")).map_err(LocalError::ResponseData)?;
        let address_type = match prefix {
            IpNet::V4(_) => rtype::A,
            IpNet::V6(_) => rtype::AAAA,
        };
        if ![rtype::CNAME, address_type].contains(&record.rtype) {
            return Err(LocalError::ResponseType);
        }
        let new = (record.ttl_secs, record.rdata);
        match &mut self.data {
            None => {
                self.data = Some(Rrset {
                    rtype: record.rtype,
                    records: vec![new],
                });
            }
            Some(data) if data.rtype == rtype::CNAME || record.rtype == rtype::CNAME => {
                return Err(LocalError::ResponseAlias);
            }
            Some(data) => data.records.push(new),
        }
        Ok(())
    }
}
