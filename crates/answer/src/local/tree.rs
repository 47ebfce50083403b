use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hasher};

use foldhash::quality::{FixedState, RandomState};
use sluicegate_conf::LocalZoneType;
use sluicegate_dns::{rcode, rtype};

use super::glance::Glance;
use super::name::ancestry;
use super::store::{negative_answer, rrset_answer};
use super::zones::{NameMap, Rrset, Zone as ZonePlan};

/// All local names of one class, for look-up.
///
/// A hash table holds every zone, every local name, and every name above one of them. A look-up walks
/// from the root down, label by label, and ends at the first name that is not in the table; so it costs
/// one probe for each label that the name shares with local names, and one more, however many there are.
#[derive(Debug)]
pub(super) struct Tree {
    class: u16,
    root_hash: u64,
    hasher: FixedState,
    /// Power of two; at most half full. Hash and node number plus one; 0 is free.
    slots: Box<[(u32, u32)]>,
    glance: Glance,
    nodes: Vec<Node>,
    /// The nodes' names, one after the other.
    names: Vec<u8>,
    rrsets: Vec<RrsetRef>,
    /// Data that stands at a zone's top but in the zone above: DS.
    above: HashMap<u32, RrsetRange>,
    zones: Vec<Zone>,
    /// Stored answers, each behind its length.
    answers: Vec<u8>,
}

/// One name.
#[derive(Debug, Default)]
struct Node {
    name_start: u32,
    name_len: u8,
    /// Whether the name exists in its zone, with or without data of its own.
    exists: bool,
    /// The number of the zone whose apex it is, plus one.
    zone: u32,
    data: RrsetRange,
}

#[derive(Clone, Copy, Debug, Default)]
struct RrsetRange {
    start: u32,
    count: u16,
}

#[derive(Clone, Copy, Debug)]
struct RrsetRef {
    rtype: u16,
    answer: AnswerRef,
}

/// Where a stored answer begins in `answers`.
#[derive(Clone, Copy, Debug)]
pub(super) struct AnswerRef(u32);

/// One zone, for answering.
#[derive(Debug)]
pub(super) struct Zone {
    pub(super) kind: LocalZoneType,
    pub(super) apex_len: u8,
    /// Negative answers with the zone's SOA record: without data, and without the name.
    pub(super) negative: Option<[AnswerRef; 2]>,
    /// For redirect zones with a CNAME: TTL and target in wire form.
    pub(super) alias: Option<(u32, Box<[u8]>)>,
    apex: u32,
}

/// What was found for a name.
pub(super) struct Found<'a> {
    pub(super) zone: &'a Zone,
    /// The name's own data in that zone; `None` when the zone has no such name.
    pub(super) data: Option<Data<'a>>,
}

/// A name's data in one zone.
#[derive(Clone, Copy)]
pub(super) struct Data<'a>(&'a [RrsetRef]);

impl Data<'_> {
    /// The answer for a type: the first `RRset` of that type, or a CNAME, as they come.
    pub(super) fn answer(&self, qtype: u16) -> Option<AnswerRef> {
        self.0
            .iter()
            .find(|rrset| rrset.rtype == qtype || rrset.rtype == rtype::CNAME)
            .map(|rrset| rrset.answer)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Tree {
    pub(super) fn build(class: u16, zones: NameMap<ZonePlan>) -> Self {
        let hasher = FixedState::with_seed(std::hash::RandomState::new().build_hasher().finish());
        let mut tree = Self {
            class,
            root_hash: hasher.build_hasher().finish(),
            hasher,
            slots: Box::default(),
            glance: Glance::of(zones.keys().map(|apex| &**apex)),
            nodes: Vec::new(),
            names: Vec::new(),
            rrsets: Vec::new(),
            above: HashMap::new(),
            zones: Vec::with_capacity(zones.len()),
            answers: Vec::new(),
        };
        tree.enter_names(&zones);
        let mut plans: Vec<_> = zones.into_iter().collect();
        // From the top down, so that a zone's apex is known as such when the zone above gets its data.
        plans.sort_by(|(a, _), (b, _)| (a.len(), a).cmp(&(b.len(), b)));
        for (apex, plan) in &plans {
            tree.enter_zone(apex, plan);
        }
        for (apex, plan) in plans {
            tree.enter_data(&apex, &plan);
        }
        tree.names.shrink_to_fit();
        tree.answers.shrink_to_fit();
        tree
    }

    /// Whether no zone is at or above this name, whose last one and last two labels begin at these places, as far
    /// as [`Glance`] can tell. So it is with nearly every question.
    #[inline]
    pub(super) fn is_elsewhere(&self, name: &[u8], last_labels_at: [u8; 2]) -> bool {
        self.glance.is_elsewhere(name, last_labels_at)
    }

    /// The zone and the data that answer for this name and type.
    pub(super) fn find(&self, name: &[u8], qtype: u16) -> Option<Found<'_>> {
        // Where each label starts.
        let mut starts = [0u8; MAX_LABELS];
        let (mut depth, mut at) = (0, 0);
        while let Some(&len) = name.get(at)
            && len > 0
        {
            *starts.get_mut(depth)? = at as u8;
            depth += 1;
            at += usize::from(len) + 1;
        }
        let mut walk = Walk {
            zone: self.nodes[ROOT as usize].zone,
            zone_above: 0,
            node: Some(ROOT),
        };
        let mut hash = self.root_hash;
        while depth > 0 && walk.node.is_some() {
            depth -= 1;
            let suffix = &name[usize::from(starts[depth])..];
            hash = self.hash(hash, suffix.get(..=usize::from(suffix[0]))?);
            self.step(&mut walk, hash, suffix);
        }
        self.conclude(&walk, qtype, name)
    }

    /// Goes on to the name's next node, if there is one.
    #[inline]
    fn step(&self, walk: &mut Walk, hash: u64, suffix: &[u8]) {
        walk.node = self.probe(hash, suffix);
        if let Some(number) = walk.node {
            let node = &self.nodes[number as usize];
            walk.zone_above = walk.zone;
            if node.zone > 0 {
                walk.zone = node.zone;
            }
        }
    }

    #[inline]
    fn conclude(&self, walk: &Walk, qtype: u16, name: &[u8]) -> Option<Found<'_>> {
        let node = walk
            .node
            .map(|number| (number, &self.nodes[number as usize]));
        // DS belongs to the zone above the name (RFC 4035, 2.4).
        if let Some((number, node)) = node
            && node.zone > 0
            && qtype == rtype::DS
            && name.len() > 1
        {
            let zone = self.zones.get((walk.zone_above as usize).checked_sub(1)?)?;
            let range = self.above.get(&number);
            return Some(Found {
                zone,
                data: range.map(|&range| self.data(range)),
            });
        }
        let zone = self.zones.get((walk.zone as usize).checked_sub(1)?)?;
        let data = node
            .filter(|(_, node)| node.exists)
            .map(|(_, node)| self.data(node.data));
        Some(Found { zone, data })
    }

    /// The data at a zone's top, if there is any.
    pub(super) fn apex_data(&self, zone: &Zone) -> Option<Data<'_>> {
        let node = &self.nodes[zone.apex as usize];
        node.exists.then(|| self.data(node.data))
    }

    /// A stored answer's bytes.
    #[inline]
    pub(super) fn stored(&self, answer: AnswerRef) -> &[u8] {
        let (len, rest) = self.answers[answer.0 as usize..].split_at(4);
        let len = u32::from_le_bytes([len[0], len[1], len[2], len[3]]);
        &rest[..len as usize]
    }

    #[inline]
    fn data(&self, range: RrsetRange) -> Data<'_> {
        Data(&self.rrsets[range.start as usize..][..usize::from(range.count)])
    }

    /// The hash of a name, from that of the name above it and its first label with the length.
    #[inline]
    fn hash(&self, above: u64, label: &[u8]) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        hasher.write_u64(above);
        hasher.write(label);
        hasher.finish()
    }

    #[inline]
    fn probe(&self, hash: u64, name: &[u8]) -> Option<u32> {
        let mask = self.slots.len() - 1;
        let mut at = hash as usize & mask;
        loop {
            let (tag, number) = self.slots[at];
            let number = number.checked_sub(1)?;
            if tag == (hash >> 32) as u32 && self.name(&self.nodes[number as usize]) == name {
                return Some(number);
            }
            at = (at + 1) & mask;
        }
    }

    #[inline]
    fn name(&self, node: &Node) -> &[u8] {
        &self.names[node.name_start as usize..][..usize::from(node.name_len)]
    }

    /// Enters every zone, every name with data, and every name above them.
    fn enter_names(&mut self, zones: &NameMap<ZonePlan>) {
        let mut all = vec![&[0u8][..]];
        let mut known: HashSet<&[u8], RandomState> = all.iter().copied().collect();
        for (apex, zone) in zones {
            for name in std::iter::once(apex).chain(zone.nodes.keys()) {
                // What is above a known name is known.
                all.extend(ancestry(name).take_while(|name| known.insert(name)));
            }
        }
        drop(known);
        self.slots = vec![(0, 0); (all.len() * 2).next_power_of_two()].into_boxed_slice();
        for name in all {
            let node = Node {
                name_start: self.names.len() as u32,
                name_len: name.len() as u8,
                ..Node::default()
            };
            self.names.extend_from_slice(name);
            self.nodes.push(node);
            let hash = self.hash_whole(name);
            let mask = self.slots.len() - 1;
            let mut at = hash as usize & mask;
            while self.slots[at].1 != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = ((hash >> 32) as u32, self.nodes.len() as u32);
        }
    }

    fn hash_whole(&self, name: &[u8]) -> u64 {
        let labels: Vec<_> = ancestry(name).filter(|name| name.len() > 1).collect();
        labels.iter().rev().fold(self.root_hash, |hash, name| {
            self.hash(hash, &name[..=usize::from(name[0])])
        })
    }

    fn enter_zone(&mut self, apex: &[u8], plan: &ZonePlan) {
        let Some(node) = self.probe(self.hash_whole(apex), apex) else {
            return;
        };
        let negative = plan.negative.as_ref().and_then(|soa| {
            let nodata = negative_answer(soa, self.class, rcode::NOERROR)?;
            let nxdomain = negative_answer(soa, self.class, rcode::NXDOMAIN)?;
            Some([self.keep(&nodata), self.keep(&nxdomain)])
        });
        let redirect = matches!(
            plan.kind,
            LocalZoneType::Redirect | LocalZoneType::InformRedirect
        );
        let alias = plan
            .nodes
            .get(apex)
            .filter(|_| redirect)
            .and_then(|rrsets| rrsets.iter().find(|rrset| rrset.rtype == rtype::CNAME))
            .and_then(|rrset| rrset.records.first())
            .map(|(ttl_secs, target)| (*ttl_secs, target.clone().into_boxed_slice()));
        self.zones.push(Zone {
            kind: plan.kind,
            apex_len: apex.len() as u8,
            negative,
            alias,
            apex: node,
        });
        self.nodes[node as usize].zone = self.zones.len() as u32;
    }

    fn enter_data(&mut self, apex: &[u8], plan: &ZonePlan) {
        for (name, rrsets) in &plan.nodes {
            let range = self.enter_rrsets(rrsets);
            let Some(number) = self.probe(self.hash_whole(name), name) else {
                continue;
            };
            let node = &mut self.nodes[number as usize];
            if node.zone > 0 && name.len() > apex.len() {
                self.above.insert(number, range); // the top of another zone, seen from this one
            } else {
                node.exists = true;
                node.data = range;
            }
        }
    }

    fn enter_rrsets(&mut self, rrsets: &[Rrset]) -> RrsetRange {
        let start = self.rrsets.len() as u32;
        for rrset in rrsets {
            // What does not fit any message can't be answered, truncated or not: as if it were not there.
            if let Some(stored) = rrset_answer(rrset, self.class) {
                let answer = self.keep(&stored);
                self.rrsets.push(RrsetRef {
                    rtype: rrset.rtype,
                    answer,
                });
            }
        }
        RrsetRange {
            start,
            count: (self.rrsets.len() as u32 - start) as u16,
        }
    }

    fn keep(&mut self, stored: &[u8]) -> AnswerRef {
        let answer = AnswerRef(self.answers.len() as u32);
        self.answers.extend((stored.len() as u32).to_le_bytes());
        self.answers.extend_from_slice(stored);
        answer
    }
}

/// How far down a look-up has come.
struct Walk {
    /// The lowest zone so far, and the one above the current node; numbers plus one.
    zone: u32,
    zone_above: u32,
    node: Option<u32>,
}

/// The root's node: the first, and always there.
const ROOT: u32 = 0;
/// A name of 255 bytes has at most 127 labels.
const MAX_LABELS: usize = 128;
