use sluicegate_lab::wire::{QuerySpec, query};

use crate::questions::Fate;

/// DO and CD in all combinations, then without EDNS, and without EDNS but with AD, which asks for AD (RFC 6840, 5.7).
pub(crate) const VARIANTS: [Variant; 6] = [
    Variant::new(Some(false), false, false),
    Variant::new(Some(true), false, false),
    Variant::new(Some(true), true, false),
    Variant::new(Some(false), true, false),
    Variant::new(None, false, false),
    Variant::new(None, false, true),
];

#[derive(Clone, Copy)]
pub(crate) struct Variant {
    /// The DO bit, if there is an OPT record.
    dnssec_ok: Option<bool>,
    cd: bool,
    ad: bool,
}

impl Variant {
    const fn new(dnssec_ok: Option<bool>, cd: bool, ad: bool) -> Self {
        Self { dnssec_ok, cd, ad }
    }

    fn query(self, name: &str, qtype: u16) -> QuerySpec {
        let mut query = query(name, qtype).flags(true, self.cd);
        query.ad = self.ad;
        match self.dnssec_ok {
            Some(dnssec_ok) => query.edns(1232, dnssec_ok),
            None => query,
        }
    }
}

/// A question as it is asked.
pub(crate) struct Asked {
    pub(crate) query: QuerySpec,
    pub(crate) fate: Fate,
}

impl Asked {
    /// Each question begins with another variant, so that what is cached first is not always the same.
    pub(crate) fn new(name: &str, qtype: u16, fate: Fate, number: usize) -> Self {
        Self {
            query: VARIANTS[number % VARIANTS.len()].query(name, qtype),
            fate,
        }
    }

    pub(crate) fn text(&self) -> String {
        let set = |bit, name| if bit { name } else { "" };
        format!(
            "{} TYPE{}{}{}{}{}",
            self.query.name,
            self.query.qtype,
            set(self.query.dnssec_ok, " DO"),
            set(self.query.cd, " CD"),
            set(self.query.ad, " AD"),
            set(self.query.udp_size.is_none(), " no EDNS"),
        )
    }
}
