use sluicegate_conf::{At, Config, LocalZoneType};
use sluicegate_dns::{Query, class, rcode, rtype};

use super::rules::Sight;
use super::store::null_answer;
use super::tree::{Found, LocalPlace, Tree, Zone};
use super::zones::{LocalError, Zones};
use crate::acl::Client;
use crate::alias::Alias;

/// The local zones of all classes.
#[derive(Debug)]
pub(crate) struct LocalZones {
    /// IN first: nearly every question is of that class.
    trees: Vec<(u16, Tree)>,
    /// What `always_null` answers, for A and for AAAA.
    null: [Vec<u8>; 2],
}

/// What local data says to a question.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LocalAnswer<'a> {
    /// Nothing: the question is not local.
    None,
    /// These records.
    Records(&'a [u8]),
    /// A negative answer with the SOA record of the zone, whose name has so many bytes.
    Negative { stored: &'a [u8], apex_len: u8 },
    /// A response code, AA set, and no records.
    Empty(u16),
    /// No answer.
    Drop,
    /// The CNAME of a redirect zone: what it points to is not local and is to be resolved.
    Alias(Alias<'a>),
}

impl LocalZones {
    /// Compiles the zones. Lines in error are left out and told.
    pub(crate) fn build(config: &Config) -> (Self, Vec<At<LocalError>>) {
        let (zones, errors) = Zones::build(config);
        let mut trees: Vec<_> = zones
            .zones
            .into_iter()
            .map(|(class, zones)| (class, Tree::build(class, &zones)))
            .collect();
        trees.sort_by_key(|(class, _)| (*class != class::IN, *class));
        let null =
            [rtype::A, rtype::AAAA].map(|qtype| null_answer(qtype, class::IN).unwrap_or_default());
        (Self { trees, null }, errors)
    }

    /// Where the answer to this query would be; `None` if nothing of class IN is local at its name, as far as can be seen
    /// at a glance.
    #[inline]
    pub(crate) fn place(&self, query: &Query) -> Option<LocalPlace> {
        self.internet()?
            .place(query.name.as_bytes(), query.last_labels_at)
    }

    /// Whether nothing of class IN is local at or above this name in wire form, as far as can be seen at a glance; where its
    /// last one and last two labels begin is as [`Query::last_labels_at`](sluicegate_dns::Query::last_labels_at) says.
    #[inline]
    pub(crate) fn is_elsewhere(&self, name: &[u8], last_labels_at: [u8; 2]) -> bool {
        self.internet()
            .is_none_or(|tree| tree.is_elsewhere(name, last_labels_at))
    }

    /// Fetches what a look-up at this place reads first; the value says nothing.
    #[inline]
    pub(crate) fn touch(&self, place: LocalPlace) -> u64 {
        self.internet().map_or(0, |tree| tree.touch(place))
    }

    /// Starts to fetch what a look-up at this place reads next, once it was [touched](LocalZones::touch).
    #[inline]
    pub(crate) fn touch_entry(&self, place: LocalPlace) {
        if let Some(tree) = self.internet() {
            tree.touch_entry(place);
        }
    }

    /// The names of class IN.
    #[inline]
    fn internet(&self) -> Option<&Tree> {
        match self.trees.first() {
            Some((class::IN, tree)) => Some(tree),
            _ => None,
        }
    }

    /// The local answer for a question; `name` is the lower-cased wire form, `place` what [`LocalZones::place`] says of it:
    /// without that, it only takes longer.
    #[inline]
    pub(crate) fn find<'a>(
        &'a self,
        name: &[u8],
        [qtype, qclass]: [u16; 2],
        place: Option<LocalPlace>,
        client: Client<'a>,
    ) -> LocalAnswer<'a> {
        let Some((class, tree)) = self.trees.iter().find(|(class, _)| *class == qclass) else {
            return LocalAnswer::None;
        };
        match tree.find(name, qtype, place.filter(|_| *class == class::IN)) {
            Some(found) if found.zone.rules.is_some() => {
                self.decide_for(client, tree, found, [qtype, name.len() as u16])
            }
            Some(found) => self.decide(tree, &found, found.zone.kind, qtype),
            None => LocalAnswer::None,
        }
    }

    /// As [`LocalZones::decide`], where the zone is not the same for all clients.
    #[cold]
    #[inline(never)]
    fn decide_for<'a>(
        &'a self,
        client: Client<'a>,
        tree: &'a Tree,
        mut found: Found<'a>,
        [qtype, name_len]: [u16; 2],
    ) -> LocalAnswer<'a> {
        loop {
            let zone = found.zone;
            let usual = Sight::As(zone.kind, None);
            let rules = zone.rules.as_ref();
            match rules.map_or(usual, |rules| rules.sight(zone.kind, client)) {
                Sight::Hidden => {
                    let is_top = u16::from(zone.apex_len) == name_len;
                    let Some(above) = tree.above(zone, is_top) else {
                        return LocalAnswer::None;
                    };
                    found = above;
                }
                Sight::As(kind, tag) => {
                    let profile = client.profile().filter(|_| is_redirect(kind));
                    let data = profile.and_then(|profile| profile.data(tag?));
                    return data
                        .and_then(|data| data.answer(qtype))
                        .unwrap_or_else(|| self.decide(tree, &found, kind, qtype));
                }
            }
        }
    }

    /// The answer of a zone, taken as one of this type.
    fn decide<'a>(
        &'a self,
        tree: &'a Tree,
        found: &Found<'a>,
        kind: LocalZoneType,
        qtype: u16,
    ) -> LocalAnswer<'a> {
        use LocalZoneType as Kind;
        let zone = found.zone;
        // A redirect zone answers for every name below it with the data of its apex.
        let redirect = is_redirect(kind);
        let data = if redirect {
            tree.apex_data(zone)
        } else {
            found.data
        };
        let before_data = matches!(
            kind,
            Kind::AlwaysRefuse
                | Kind::AlwaysTransparent
                | Kind::AlwaysNxdomain
                | Kind::AlwaysNodata
                | Kind::AlwaysDeny
                | Kind::BlockA
                | Kind::BlockAaaa
        );
        if !before_data && let Some(answer) = data.and_then(|data| data.answer(qtype)) {
            return match &zone.alias {
                Some((ttl_secs, target))
                    if redirect && data.is_some_and(|data| data.leads_away(qtype)) =>
                {
                    LocalAnswer::Alias(Alias {
                        ttl_secs: *ttl_secs,
                        target,
                        literal: false,
                    })
                }
                _ => LocalAnswer::Records(answer),
            };
        }
        let negative = |code| negative(zone, code);
        match kind {
            Kind::Deny | Kind::AlwaysDeny | Kind::InformDeny => LocalAnswer::Drop,
            Kind::Refuse | Kind::AlwaysRefuse => LocalAnswer::Empty(rcode::REFUSED),
            Kind::Redirect | Kind::InformRedirect | Kind::AlwaysNodata => negative(rcode::NOERROR),
            Kind::Static if data.is_some() => negative(rcode::NOERROR),
            Kind::Static | Kind::AlwaysNxdomain => negative(rcode::NXDOMAIN),
            Kind::AlwaysNull => match qtype {
                rtype::A => LocalAnswer::Records(&self.null[0]),
                rtype::AAAA => LocalAnswer::Records(&self.null[1]),
                _ => LocalAnswer::Empty(rcode::NOERROR),
            },
            Kind::BlockA | Kind::BlockAWdata if qtype == rtype::A => negative(rcode::NOERROR),
            Kind::BlockAaaa | Kind::BlockAaaaWdata if qtype == rtype::AAAA => {
                negative(rcode::NOERROR)
            }
            Kind::TypeTransparent
            | Kind::AlwaysTransparent
            | Kind::BlockA
            | Kind::BlockAaaa
            | Kind::BlockAWdata
            | Kind::BlockAaaaWdata => LocalAnswer::None,
            // The name has other data: it is known not to have this type. `noview` means something in
            // views only, and `nodefault` never gets here.
            Kind::Transparent | Kind::Inform | Kind::Noview | Kind::Nodefault => match data {
                Some(data) if !data.is_empty() => negative(rcode::NOERROR),
                _ => LocalAnswer::None,
            },
        }
    }
}

fn is_redirect(kind: LocalZoneType) -> bool {
    matches!(
        kind,
        LocalZoneType::Redirect | LocalZoneType::InformRedirect
    )
}

fn negative(zone: &Zone, code: u16) -> LocalAnswer<'_> {
    match &zone.negative {
        Some([nodata, nxdomain]) => LocalAnswer::Negative {
            stored: if code == rcode::NXDOMAIN {
                nxdomain
            } else {
                nodata
            },
            apex_len: zone.apex_len,
        },
        None => LocalAnswer::Empty(code),
    }
}

#[cfg(test)]
mod tests;
