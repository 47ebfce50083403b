use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::{FixedState, RandomState};
use sluicegate_conf::LocalZoneType;
use sluicegate_dns::{rcode, rtype};

use super::entries::{Entries, Entry, EntryRef, Head};
use super::glance::Glance;
use super::name::{ancestry, parent};
use super::rules::CompiledRules;
use super::store::{negative_answer, rrset_answer};
use super::zones::{NameMap, Rrset, Zone as ZonePlan};

/// All local names of one class, for look-up.
///
/// A hash table leads to every zone, every local name, and every name above one of them. A name that is there costs two
/// reads of memory, one after the other, however many there are: its slot, and its entry with its answers. For one that
/// is not, the way from the root down is walked, label by label, to the first that is not in the table.
#[derive(Debug)]
pub(super) struct Tree {
    root_hash: u64,
    hasher: FixedState,
    /// Power of two; at most half full. Hash and entry; 0 is free.
    slots: Box<[(u32, u32)]>,
    glance: Glance,
    entries: Entries,
    root: EntryRef,
    /// Data that stands at a zone's top but in the zone above, DS: by the zone's number plus one.
    above: HashMap<u32, EntryRef>,
    zones: Vec<Zone>,
}

/// Where a name's entry is to be found, if it has one: what a batch computes first, so that the memory is on its way when
/// it is asked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LocalPlace(u64);

/// One zone, for answering.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) kind: LocalZoneType,
    pub(super) apex_len: u8,
    /// Negative answers with the zone's SOA record: without data, and without the name.
    pub(super) negative: Option<[Box<[u8]>; 2]>,
    /// The CNAME at the top of zones that redirect, if only some clients: TTL and target in wire form.
    pub(super) alias: Option<(u32, Box<[u8]>)>,
    /// What makes it another zone for some clients.
    pub(super) rules: Option<Box<CompiledRules>>,
    apex: EntryRef,
}

/// What was found for a name.
pub(super) struct Found<'a> {
    pub(super) zone: &'a Zone,
    /// The name's own data in that zone; `None` when the zone has no such name.
    pub(super) data: Option<Entry<'a>>,
}

impl Tree {
    pub(super) fn build(class: u16, zones: &NameMap<ZonePlan>) -> Self {
        let hasher = FixedState::with_seed(std::hash::RandomState::new().build_hasher().finish());
        let mut tree = Self {
            root_hash: hasher.build_hasher().finish(),
            hasher,
            slots: Box::default(),
            glance: Glance::of(zones.keys().map(|apex| &**apex)),
            entries: Entries::new(),
            root: EntryRef(0),
            above: HashMap::new(),
            zones: Vec::with_capacity(zones.len()),
        };
        // From the top down, so that a zone's data take the place of what the zone above has there.
        let mut plans: Vec<_> = zones.iter().collect();
        plans.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        let plot = Plot::survey(class, &plans);
        tree.enter_names(&plot);
        for (apex, plan) in &plans {
            tree.enter_zone(class, apex, plan);
        }
        tree.entries.shrink_to_fit();
        tree
    }

    /// Where the name's entry is to be found; `None` if no zone is at or above it, as far as [`Glance`] can tell. So it is
    /// with nearly every question.
    ///
    /// The name's last one and last two labels begin at the places given.
    #[inline]
    pub(super) fn place(&self, name: &[u8], last_labels_at: [u8; 2]) -> Option<LocalPlace> {
        if self.is_elsewhere(name, last_labels_at) {
            return None;
        }
        Some(LocalPlace(self.hash_whole(name)))
    }

    /// As [`Tree::place`], whether it is nowhere.
    #[inline]
    pub(super) fn is_elsewhere(&self, name: &[u8], last_labels_at: [u8; 2]) -> bool {
        self.glance.is_elsewhere(name, last_labels_at)
    }

    /// Fetches what a look-up at this place reads first; the value says nothing.
    #[inline]
    pub(super) fn touch(&self, place: LocalPlace) -> u64 {
        let slot = self.slots.get(place.0 as usize & (self.slots.len() - 1));
        slot.map_or(0, |(tag, _)| u64::from(*tag))
    }

    /// Starts to fetch what a look-up at this place reads next, once it was [touched](Tree::touch).
    #[inline]
    pub(super) fn touch_entry(&self, place: LocalPlace) {
        if let Some(entry) = self.candidates(place.0).next() {
            self.entries.touch(entry);
        }
    }

    /// The zone and the data that answer for this name and type. The place is the name's own; without it, and without a
    /// name that is there, the look-up takes longer.
    pub(super) fn find(
        &self,
        name: &[u8],
        qtype: u16,
        place: Option<LocalPlace>,
    ) -> Option<Found<'_>> {
        match place.and_then(|place| self.probe(place.0, name)) {
            Some(entry) => self.conclude(entry, qtype, name),
            None => self.walk(name, qtype),
        }
    }

    fn walk(&self, name: &[u8], qtype: u16) -> Option<Found<'_>> {
        let mut closest = self.entries.get(self.root)?;
        let mut hash = self.root_hash;
        let labels = Labels::of(name)?;
        for suffix in labels.downwards() {
            hash = self.hash(hash, suffix);
            let Some(entry) = self.probe(hash, suffix) else {
                let zone = self.zone(closest.zone())?;
                return Some(Found { zone, data: None });
            };
            closest = entry;
        }
        self.conclude(closest, qtype, name)
    }

    #[inline]
    fn conclude<'a>(&'a self, entry: Entry<'a>, qtype: u16, name: &[u8]) -> Option<Found<'a>> {
        // DS belongs to the zone above the name (RFC 4035, 2.4).
        if qtype == rtype::DS && entry.is_apex() && name.len() > 1 {
            let above = self.above.get(&entry.zone());
            return Some(Found {
                zone: self.zone(entry.zone_above())?,
                data: above.and_then(|&entry| self.entries.get(entry)),
            });
        }
        let zone = self.zone(entry.zone())?;
        let data = Some(entry).filter(|entry| entry.exists());
        Some(Found { zone, data })
    }

    /// The zone of this number plus one.
    #[inline]
    fn zone(&self, number: u32) -> Option<&Zone> {
        self.zones.get((number as usize).checked_sub(1)?)
    }

    /// What answers for a name of this zone where the zone is hidden: the zone above. It has no data there, but for DS
    /// at the hidden zone's top; `is_top` says whether the name is that.
    pub(super) fn above(&self, zone: &Zone, is_top: bool) -> Option<Found<'_>> {
        let apex = self.entries.get(zone.apex)?;
        let data = self.above.get(&apex.zone()).filter(|_| is_top);
        Some(Found {
            zone: self.zone(apex.zone_above())?,
            data: data.and_then(|&entry| self.entries.get(entry)),
        })
    }

    /// The data at a zone's top, if there is any.
    pub(super) fn apex_data(&self, zone: &Zone) -> Option<Entry<'_>> {
        let apex = self.entries.get(zone.apex);
        apex.filter(|apex| apex.exists())
    }

    /// The hash of a name, from that of the name above it and its first label with the length.
    #[inline]
    fn hash(&self, above: u64, name: &[u8]) -> u64 {
        let label = name.first().map_or(0, |len| usize::from(*len) + 1);
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(above);
        hasher.write(name.get(..label).unwrap_or_default());
        hasher.finish()
    }

    fn hash_whole(&self, name: &[u8]) -> u64 {
        Labels::of(name).map_or(self.root_hash, |labels| {
            let suffixes = labels.downwards();
            suffixes.fold(self.root_hash, |hash, suffix| self.hash(hash, suffix))
        })
    }

    #[inline]
    fn probe(&self, hash: u64, name: &[u8]) -> Option<Entry<'_>> {
        let entries = self
            .candidates(hash)
            .filter_map(|entry| self.entries.get(entry));
        entries.into_iter().find(|entry| entry.is_named(name))
    }

    /// The entries of names with this hash.
    #[inline]
    fn candidates(&self, hash: u64) -> impl Iterator<Item = EntryRef> {
        let mask = self.slots.len() - 1;
        let slots = (hash as usize..).map(move |at| self.slots[at & mask]);
        slots
            .take_while(|(_, entry)| *entry != 0)
            .filter(move |(tag, _)| *tag == (hash >> 32) as u32)
            .map(|(_, entry)| EntryRef(entry))
    }

    /// Enters every zone, every name with data, and every name above them.
    fn enter_names(&mut self, plot: &Plot<'_>) {
        self.slots = vec![(0, 0); (plot.names.len() * 2).next_power_of_two()].into_boxed_slice();
        for name in &plot.names {
            let (head, rrsets) = plot.entry(name);
            let entry = self.entries.push(head, name, &rrsets);
            let hash = self.hash_whole(name);
            let mask = self.slots.len() - 1;
            let mut at = hash as usize & mask;
            while self.slots[at].1 != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = ((hash >> 32) as u32, entry.0);
            if name.len() == 1 {
                self.root = entry;
            }
        }
        for (zone, rrsets) in &plot.above {
            let entry = self
                .entries
                .push(Head::new(0, 0), &[], &plot.answers(rrsets));
            self.above.insert(*zone, entry);
        }
    }

    fn enter_zone(&mut self, class: u16, apex: &[u8], plan: &ZonePlan) {
        let negative = plan.negative.as_ref().and_then(|soa| {
            let nodata = negative_answer(soa, class, rcode::NOERROR)?;
            let nxdomain = negative_answer(soa, class, rcode::NXDOMAIN)?;
            Some([nodata.into_boxed_slice(), nxdomain.into_boxed_slice()])
        });
        let redirect = matches!(
            plan.kind,
            LocalZoneType::Redirect | LocalZoneType::InformRedirect
        );
        let alias = plan
            .nodes
            .get(apex)
            .filter(|_| redirect || plan.rules.is_some())
            .and_then(|rrsets| rrsets.iter().find(|rrset| rrset.rtype == rtype::CNAME))
            .and_then(|rrset| rrset.records.first())
            .map(|(ttl_secs, target)| (*ttl_secs, target.clone().into_boxed_slice()));
        let mut entries = self.candidates(self.hash_whole(apex));
        let named = |entry: &EntryRef| {
            let entry = self.entries.get(*entry);
            entry.is_some_and(|entry| entry.is_named(apex))
        };
        // Every apex has an entry.
        let entry = entries.find(named).unwrap_or(self.root);
        drop(entries);
        self.zones.push(Zone {
            kind: plan.kind,
            apex_len: apex.len() as u8,
            negative,
            alias,
            rules: plan.rules.as_ref().map(|rules| Box::new(rules.compile())),
            apex: entry,
        });
    }
}

/// What there is to be entered.
struct Plot<'z> {
    class: u16,
    /// Zones, names with data, and the names above them; the root first.
    names: Vec<&'z [u8]>,
    /// The zones' numbers plus one, by their tops.
    zones: HashMap<&'z [u8], u32, RandomState>,
    data: HashMap<&'z [u8], &'z [Rrset], RandomState>,
    /// Data at the top of a zone of this number plus one, but in the zone above.
    above: Vec<(u32, &'z [Rrset])>,
}

impl<'z> Plot<'z> {
    fn survey(class: u16, plans: &[(&'z Vec<u8>, &'z ZonePlan)]) -> Self {
        let mut plot = Self {
            class,
            names: vec![&[0]],
            zones: HashMap::default(),
            data: HashMap::default(),
            above: Vec::new(),
        };
        let mut known: HashSet<&[u8], RandomState> = plot.names.iter().copied().collect();
        for ((apex, plan), number) in plans.iter().zip(1..) {
            plot.zones.insert(apex, number);
            for name in std::iter::once(*apex).chain(plan.nodes.keys()) {
                // What is above a known name is known.
                let fresh = ancestry(name).take_while(|name| known.insert(name));
                plot.names.extend(fresh);
            }
        }
        for (apex, plan) in plans {
            for (name, rrsets) in &plan.nodes {
                match plot.zones.get(name.as_slice()) {
                    Some(zone) if name.len() > apex.len() => plot.above.push((*zone, rrsets)),
                    _ => _ = plot.data.insert(name, rrsets),
                }
            }
        }
        plot
    }

    fn entry(&self, name: &[u8]) -> (Head, Vec<(u16, Vec<u8>)>) {
        let zone_of = |name: Option<&[u8]>| {
            let mut ancestry = name.into_iter().flat_map(ancestry);
            ancestry.find_map(|name| self.zones.get(name).copied())
        };
        let head = Head::new(
            zone_of(Some(name)).unwrap_or(0),
            zone_of(parent(name)).unwrap_or(0),
        );
        let is_apex = self.zones.contains_key(name);
        let head = if is_apex { head.apex() } else { head };
        match self.data.get(name) {
            Some(rrsets) => (head.existing(), self.answers(rrsets)),
            None => (head, Vec::new()),
        }
    }

    /// Type and stored answer of each. What does not fit any message can't be answered, truncated or not: as if it were
    /// not there.
    fn answers(&self, rrsets: &[Rrset]) -> Vec<(u16, Vec<u8>)> {
        let answer = |rrset: &Rrset| Some((rrset.rtype, rrset_answer(rrset, self.class)?));
        rrsets.iter().filter_map(answer).collect()
    }
}

/// Where the labels of a name begin.
struct Labels<'n> {
    name: &'n [u8],
    starts: [u8; MAX_LABELS],
    count: usize,
}

impl<'n> Labels<'n> {
    /// `None` of what is no name.
    #[inline]
    fn of(name: &'n [u8]) -> Option<Self> {
        let mut starts = [0; MAX_LABELS];
        let (mut count, mut at) = (0, 0);
        while let Some(&len) = name.get(at)
            && len > 0
        {
            *starts.get_mut(count)? = at as u8;
            count += 1;
            at += usize::from(len) + 1;
        }
        Some(Self {
            name,
            starts,
            count,
        })
    }

    /// The names from the last label down to the name itself, the root left out.
    #[inline]
    fn downwards(&self) -> impl Iterator<Item = &'n [u8]> {
        let starts = self.starts[..self.count].iter().rev();
        starts.map(|start| &self.name[usize::from(*start)..])
    }
}

/// A name of 255 bytes has at most 127 labels.
const MAX_LABELS: usize = 128;
