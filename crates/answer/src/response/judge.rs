use sluicegate_conf::LocalZoneType as Kind;
use sluicegate_dns::{Name, Owner, Section, Stored, StoredBuilder, class, rcode, rtype};

use super::rules::Responses;
use crate::acl::Client;
use crate::local::Rrset;

/// What a client is told of an answer.
pub(crate) enum Judgement<'p> {
    /// The answer.
    Itself,
    /// Nothing.
    Silence,
    /// REFUSED.
    Refusal,
    /// SERVFAIL: there is no room.
    Failure,
    /// This answer instead, in stored form. It has not aged.
    Other(Vec<u8>),
    /// The beginning of an answer, to be continued with what this name leads to.
    Alias(Box<StoredBuilder>, &'p Rrset),
}

/// An answer, and what it answers.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) stored: Stored<'a>,
    pub(crate) age_secs: u32,
    /// The name and type that it was asked for.
    pub(crate) name: &'a Name,
    pub(crate) qtype: u16,
}

/// What holds for an answer.
struct Finding<'p> {
    kind: Kind,
    /// The record whose address it is for.
    record: usize,
    data: Option<&'p Rrset>,
}

impl Responses {
    /// Whether answers to questions of this type are looked at.
    pub(crate) fn concern(qtype: u16) -> bool {
        matches!(qtype, rtype::A | rtype::AAAA | rtype::ANY)
    }

    /// Whether any rule has a say in an answer.
    pub(crate) fn touch(&self, stored: Stored<'_>, client: Client<'_>) -> bool {
        self.find(stored, client).is_some()
    }

    /// What the client is told of an answer.
    pub(crate) fn judge<'p>(&'p self, case: &Case<'_>, client: Client<'p>) -> Judgement<'p> {
        match self.find(case.stored, client) {
            Some(finding) => finding.apply(case),
            None => Judgement::Itself,
        }
    }

    /// The rule for the first address that has one, as far as it holds for this client.
    fn find<'p>(&'p self, stored: Stored<'_>, client: Client<'p>) -> Option<Finding<'p>> {
        let mut addresses = stored.addresses();
        let (record, address, rule) =
            addresses.find_map(|(record, address)| Some((record, address, self.rule(address)?)))?;
        let usual = (rule.action, None);
        let (kind, tag) = match (&rule.tags, client.profile()) {
            (Some(tags), Some(profile)) => profile.action(tags, rule.action),
            _ => usual,
        };
        let kind = kind?;
        let address_type = if address.is_ipv4() {
            rtype::A
        } else {
            rtype::AAAA
        };
        let tagged = tag.filter(|_| kind == Kind::Redirect).and_then(|tag| {
            let data = client.profile()?.data(tag)?;
            data.rrset(address_type)
        });
        Some(Finding {
            kind,
            record,
            data: tagged.or(rule.data.as_ref()),
        })
    }
}

impl<'p> Finding<'p> {
    fn apply(&self, case: &Case<'_>) -> Judgement<'p> {
        let always = matches!(
            self.kind,
            Kind::AlwaysRefuse
                | Kind::AlwaysTransparent
                | Kind::AlwaysNxdomain
                | Kind::AlwaysNodata
                | Kind::AlwaysDeny
        );
        if !always && let Some(data) = self.data {
            return self.replace(case, data).unwrap_or(Judgement::Failure);
        }
        let code = match self.kind {
            Kind::Deny | Kind::InformDeny | Kind::AlwaysDeny => return Judgement::Silence,
            Kind::Refuse | Kind::AlwaysRefuse => return Judgement::Refusal,
            Kind::AlwaysNxdomain => rcode::NXDOMAIN,
            Kind::Static | Kind::Redirect | Kind::AlwaysNodata | Kind::InformRedirect => {
                rcode::NOERROR
            }
            _ => return Judgement::Itself,
        };
        self.before(case, code)
            .map_or(Judgement::Failure, |builder| {
                Judgement::Other(finish(builder))
            })
    }

    /// An answer with what stands before the addresses.
    fn before(&self, case: &Case<'_>, code: u16) -> Option<StoredBuilder> {
        let mut builder = StoredBuilder::new(Some(case.name), code, false);
        if case.qtype != rtype::ANY {
            let kept = 0..case.stored.rrset_start(self.record);
            builder
                .push_answers(case.stored, case.name, kept, case.age_secs)
                .ok()?;
        }
        Some(builder)
    }

    fn replace(&self, case: &Case<'_>, data: &'p Rrset) -> Option<Judgement<'p>> {
        let mut builder = self.before(case, case.stored.rcode())?;
        let owner = case.stored.owner(case.name, self.record)?;
        for (ttl_secs, rdata) in &data.records {
            builder
                .push(
                    Section::Answer,
                    Owner::Name(&owner),
                    [data.rtype, class::IN],
                    *ttl_secs,
                    rdata,
                )
                .ok()?;
        }
        Some(if data.rtype == rtype::CNAME && case.qtype != rtype::ANY {
            Judgement::Alias(Box::new(builder), data)
        } else {
            Judgement::Other(finish(builder))
        })
    }
}

pub(super) fn finish(builder: StoredBuilder) -> Vec<u8> {
    let mut stored = Vec::new();
    builder.finish(&mut stored);
    stored
}
