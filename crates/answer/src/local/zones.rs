use std::collections::{HashMap, HashSet};

use foldhash::quality::RandomState;
use sluicegate_conf::{At, Config, LocalZoneType, Span};
use sluicegate_dns::{Name, NameError, class, rtype};

use super::defaults::default_zones;
use super::name::{ancestry, labels, parent};
use super::record::{Record, RecordError};
use super::rules::Rules;

/// What is wrong with local zones or local data.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LocalError {
    /// The name of a `local-zone`.
    #[error("bad local-zone name: {0}")]
    ZoneName(#[source] NameError),
    /// A `local-data` line that is no record.
    #[error("bad local-data: {0}")]
    Record(#[from] RecordError),
    /// A redirect zone answers all names below it with the data at its top.
    #[error("local-data in a redirect zone must stand at the top of the zone")]
    BelowRedirect,
    /// A CNAME beside other data in a redirect zone.
    #[error("a CNAME in a redirect zone must be the only local-data there")]
    RedirectAlias,
    /// A DS record belongs to the zone above its name, and there is none.
    #[error("there is no local-zone above this name to hold its DS record")]
    NoZoneAbove,
    /// A `local-zone-tag` for a zone that isn't there.
    #[error("there is no local-zone of this name to be tagged; add one")]
    NoZoneToTag,
    /// A `local-zone-override` for a zone that isn't there.
    #[error("there is no local-zone of this name to be overridden; add one")]
    NoZoneToOverride,
    /// An `access-control-tag-data` that is no record.
    #[error("bad tag data: {0}")]
    TagData(#[source] RecordError),
    /// A `response-ip-data` without the action that uses it.
    #[error("response-ip-data needs `response-ip: NETBLOCK redirect` for the same netblock")]
    NoResponseAction,
    /// A `response-ip-data` that is no record.
    #[error("bad response-ip-data: {0}")]
    ResponseData(#[source] RecordError),
    /// A `response-ip-data` of another type.
    #[error(
        "response-ip-data is an A record for IPv4 netblocks, an AAAA record for IPv6 ones, or a CNAME"
    )]
    ResponseType,
    /// A CNAME beside other data of a netblock.
    #[error("a CNAME must be the only response-ip-data of its netblock")]
    ResponseAlias,
    /// A CNAME beside other data of a tag.
    #[error("a CNAME must be the only data of a tag")]
    TagAlias,
}

/// Something for each of many names, in lower-cased wire form.
pub(super) type NameMap<T> = HashMap<Vec<u8>, T, RandomState>;

/// All local zones while they are put together, by class and apex.
#[derive(Debug, Default)]
pub(super) struct Zones {
    pub(super) zones: HashMap<u16, NameMap<Zone>>,
}

/// One zone while it is put together.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) kind: LocalZoneType,
    /// Data and the empty names between data and apex.
    pub(super) nodes: NameMap<Vec<Rrset>>,
    /// The SOA record for negative answers: TTL and data.
    pub(super) negative: Option<(u32, Vec<u8>)>,
    /// What makes it another zone for some clients.
    pub(super) rules: Option<Box<Rules>>,
}

/// The records of one type at one name, in the order in which they are answered.
#[derive(Debug)]
pub(crate) struct Rrset {
    pub(crate) rtype: u16,
    /// TTL and data of each.
    pub(crate) records: Vec<(u32, Vec<u8>)>,
}

impl Zones {
    /// Puts the zones together as Unbound does: the configured ones, the built-in ones that are not
    /// overridden, transparent ones for the data that has no zone yet, then the data.
    pub(super) fn build(config: &Config) -> (Self, Vec<At<LocalError>>) {
        let mut errors = Vec::new();
        let mut zones = Self::default();
        let nodefault = zones.enter_zones(config, &mut errors);
        zones.enter_defaults(config, &nodefault);
        zones.enter_overrides(config, &mut errors);
        let mut records = Vec::new();
        for line in lines_in_order(config) {
            match Record::parse(&line.value) {
                Ok(record) => records.push(At {
                    value: record,
                    at: line.at,
                }),
                Err(error) => errors.push(At {
                    value: error.into(),
                    at: line.at,
                }),
            }
        }
        // Unbound enters the last line first, which decides who wins where two lines contradict.
        records.reverse();
        zones.enter_implicit(&records);
        zones.enter_tags(config, &mut errors);
        for record in records {
            if let Err(error) = zones.enter_record(record.value) {
                errors.push(At {
                    value: error,
                    at: record.at,
                });
            }
        }
        zones.finish();
        errors.sort_by_key(|error| (error.at.source, error.at.start));
        (zones, errors)
    }

    /// The `local-zone` lines; of two for one name the later holds. Returns the `nodefault` names.
    fn enter_zones(
        &mut self,
        config: &Config,
        errors: &mut Vec<At<LocalError>>,
    ) -> HashSet<Vec<u8>> {
        let mut nodefault = HashSet::new();
        for line in &config.local_zones {
            let name = match Name::from_text(&line.value.name) {
                Ok(name) => name,
                Err(error) => {
                    errors.push(At {
                        value: LocalError::ZoneName(error),
                        at: line.at,
                    });
                    continue;
                }
            };
            let name = name.as_bytes().to_vec();
            if line.value.kind == LocalZoneType::Nodefault {
                nodefault.insert(name);
            } else {
                self.enter_zone(class::IN, name, line.value.kind);
            }
        }
        nodefault
    }

    fn enter_zone(&mut self, class: u16, apex: Vec<u8>, kind: LocalZoneType) {
        let zone = Zone {
            kind,
            nodes: NameMap::default(),
            negative: None,
            rules: None,
        };
        self.zones.entry(class).or_default().insert(apex, zone);
    }

    fn enter_overrides(&mut self, config: &Config, errors: &mut Vec<At<LocalError>>) {
        for At { value: rule, at } in &config.tags.overrides {
            match self.rules(&rule.zone) {
                Ok(Some(rules)) => rules.overrides.push((rule.prefix, rule.kind)),
                Ok(None) => errors.push(At {
                    value: LocalError::NoZoneToOverride,
                    at: *at,
                }),
                Err(error) => errors.push(At {
                    value: LocalError::ZoneName(error),
                    at: *at,
                }),
            }
        }
    }

    /// Of two lines for one zone the first holds.
    fn enter_tags(&mut self, config: &Config, errors: &mut Vec<At<LocalError>>) {
        for At { value, at } in &config.tags.zones {
            let (name, tags) = value;
            match self.rules(name) {
                Ok(Some(rules)) => _ = rules.tags.get_or_insert_with(|| tags.clone()),
                Ok(None) => errors.push(At {
                    value: LocalError::NoZoneToTag,
                    at: *at,
                }),
                Err(error) => errors.push(At {
                    value: LocalError::ZoneName(error),
                    at: *at,
                }),
            }
        }
    }

    /// The rules of the zone of this name, of class IN.
    fn rules(&mut self, name: &str) -> Result<Option<&mut Rules>, NameError> {
        let name = Name::from_text(name)?;
        let zones = self.zones.get_mut(&class::IN);
        let zone = zones.and_then(|zones| zones.get_mut(name.as_bytes()));
        Ok(zone.map(|zone| &mut **zone.rules.get_or_insert_default()))
    }

    fn enter_defaults(&mut self, config: &Config, nodefault: &HashSet<Vec<u8>>) {
        for default in default_zones(config.unblock_lan_zones) {
            let Ok(apex) = Name::from_text(&default.name) else {
                continue;
            };
            let apex = apex.as_bytes().to_vec();
            if nodefault.contains(&apex)
                || self
                    .zones
                    .get(&class::IN)
                    .is_some_and(|zones| zones.contains_key(&apex))
            {
                continue;
            }
            self.enter_zone(class::IN, apex.clone(), default.kind);
            let zone = self
                .zones
                .get_mut(&class::IN)
                .and_then(|zones| zones.get_mut(&apex));
            let records = default
                .records
                .iter()
                .rev()
                .filter_map(|text| Record::parse(text).ok());
            if let Some(zone) = zone {
                records.for_each(|record| {
                    // The built-in records keep the rules for data; a test sees to it.
                    let _ = zone.enter(&apex, record);
                });
            }
        }
    }

    /// Data without a zone gets a transparent one, for each class at the lowest name above all of it.
    fn enter_implicit(&mut self, records: &[At<Record>]) {
        let mut homeless: Vec<(u16, Vec<u8>)> = Vec::new();
        for At { value: record, .. } in records {
            if self
                .closest(record.class, &record.owner, record.rtype)
                .is_some()
            {
                continue;
            }
            // A zone of class IN at the right place lends its apex and type to the other class.
            if let Some((apex, zone)) = self.closest(class::IN, &record.owner, record.rtype) {
                let (apex, kind) = (apex.to_vec(), zone.kind);
                self.enter_zone(record.class, apex, kind);
                continue;
            }
            match homeless
                .iter_mut()
                .find(|(class, _)| *class == record.class)
            {
                Some((_, shared)) => *shared = shared_ancestor(shared, &record.owner).to_vec(),
                None => homeless.push((record.class, record.owner.clone())),
            }
        }
        for (class, apex) in homeless {
            self.enter_zone(class, apex, LocalZoneType::Transparent);
        }
    }

    fn enter_record(&mut self, record: Record) -> Result<(), LocalError> {
        let (apex, _) = self
            .closest(record.class, &record.owner, record.rtype)
            .ok_or(LocalError::NoZoneAbove)?;
        let apex = apex.to_vec();
        match self
            .zones
            .get_mut(&record.class)
            .and_then(|zones| zones.get_mut(&apex))
        {
            Some(zone) => zone.enter(&apex, record),
            None => Err(LocalError::NoZoneAbove),
        }
    }

    /// The lowest zone at or above the name; for DS above the name.
    fn closest(&self, class: u16, name: &[u8], qtype: u16) -> Option<(&[u8], &Zone)> {
        let zones = self.zones.get(&class)?;
        let start = if qtype == rtype::DS {
            parent(name).unwrap_or(name)
        } else {
            name
        };
        ancestry(start)
            .find_map(|name| zones.get_key_value(name))
            .map(|(apex, zone)| (&apex[..], zone))
    }

    /// Data was entered last line first; it is answered first line first.
    fn finish(&mut self) {
        let zones = self.zones.values_mut().flat_map(NameMap::values_mut);
        for rrsets in zones.flat_map(|zone| zone.nodes.values_mut()) {
            rrsets.reverse();
            for rrset in rrsets {
                rrset.records.reverse();
            }
        }
    }
}

impl Zone {
    fn enter(&mut self, apex: &[u8], record: Record) -> Result<(), LocalError> {
        let redirect = matches!(
            self.kind,
            LocalZoneType::Redirect | LocalZoneType::InformRedirect
        );
        if redirect && record.owner != apex {
            return Err(LocalError::BelowRedirect);
        }
        for between in ancestry(&record.owner)
            .skip(1)
            .take_while(|name| name.len() >= apex.len())
        {
            if !self.nodes.contains_key(between) {
                self.nodes.insert(between.to_vec(), Vec::new());
            }
        }
        let at_apex = record.owner == apex;
        let rrsets = self.nodes.entry(record.owner).or_default();
        if redirect
            && let Some(first) = rrsets.first()
            && (record.rtype == rtype::CNAME || first.rtype == rtype::CNAME)
        {
            return Err(LocalError::RedirectAlias);
        }
        let new = (record.ttl_secs, record.rdata);
        match rrsets.iter_mut().find(|rrset| rrset.rtype == record.rtype) {
            Some(rrset) if rrset.records.iter().any(|(_, data)| *data == new.1) => {}
            Some(rrset) if rrset.records.len() > MAX_RECORDS => {}
            Some(rrset) => rrset.records.push(new),
            None => {
                if record.rtype == rtype::SOA && at_apex {
                    self.negative = Some(negative_soa(&new));
                }
                rrsets.push(Rrset {
                    rtype: record.rtype,
                    records: vec![new],
                });
            }
        }
        Ok(())
    }
}

/// The SOA record as negative answers carry it: for no longer than its last field says (RFC 2308).
fn negative_soa((ttl_secs, rdata): &(u32, Vec<u8>)) -> (u32, Vec<u8>) {
    let minimum = rdata
        .last_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes));
    (minimum.min(*ttl_secs), rdata.clone())
}

/// `local-data` and `local-data-ptr` in the order of the file.
fn lines_in_order(config: &Config) -> Vec<&At<String>> {
    let mut lines: Vec<_> = config
        .local_data
        .iter()
        .chain(&config.local_data_ptr)
        .collect();
    lines.sort_by_key(|line| {
        if line.at == Span::NONE {
            (u32::MAX, 0)
        } else {
            (line.at.source, line.at.start)
        }
    });
    lines
}

/// The lowest name at or above both.
fn shared_ancestor<'a>(a: &'a [u8], b: &[u8]) -> &'a [u8] {
    let ours: Vec<_> = labels(a).collect();
    let theirs: Vec<_> = labels(b).collect();
    let shared = ours
        .iter()
        .rev()
        .zip(theirs.iter().rev())
        .take_while(|(a, b)| a == b)
        .count();
    ancestry(a).nth(ours.len() - shared).unwrap_or(a)
}

/// Records of one type at one name beyond this many are left out, as in Unbound.
const MAX_RECORDS: usize = 4096;
