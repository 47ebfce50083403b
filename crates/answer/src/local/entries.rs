//! The entries of local names: each in one stretch of memory, so that what is known of a name comes with it.

use sluicegate_dns::rtype;
use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::prefetch::prefetch;

/// All entries, one behind the other.
///
/// ```text
/// |head|name|RRsets, 6 octets each|stored answers, each behind its length of 4 octets|padding|
/// ```
#[derive(Debug)]
pub(super) struct Entries(Vec<u8>);

/// Where an entry begins, in units of eight octets; never 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryRef(pub(super) u32);

/// One name.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    head: &'a Head,
    /// What follows the head, and all behind it.
    rest: &'a [u8],
}

/// What is known of a name but its data.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
pub(super) struct Head {
    /// The numbers of the lowest zones, at or above the name and above the name, plus one; 0 for none.
    zone: U32,
    zone_above: U32,
    rrset_count: U16,
    name_len: u8,
    flags: u8,
}

/// One `RRset`: its type, and where its answer's length stands, counted from the end of the head.
#[repr(C)]
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
struct RrsetRef {
    rtype: U16,
    answer: U32,
}

impl Head {
    pub(super) fn new(zone: u32, zone_above: u32) -> Self {
        Self {
            zone: zone.into(),
            zone_above: zone_above.into(),
            ..Self::default()
        }
    }

    /// It is the top of its zone.
    pub(super) const fn apex(mut self) -> Self {
        self.flags |= APEX;
        self
    }

    /// It exists in its zone, with or without data of its own.
    pub(super) const fn existing(mut self) -> Self {
        self.flags |= EXISTS;
        self
    }
}

impl Entries {
    /// None yet.
    pub(super) fn new() -> Self {
        Self(vec![0; UNIT_BYTES]) // so that no entry is at 0
    }

    /// Enters a name with its `RRsets`: type and stored answer of each.
    pub(super) fn push(&mut self, head: Head, name: &[u8], rrsets: &[(u16, Vec<u8>)]) -> EntryRef {
        let memory = &mut self.0;
        let start = memory.len();
        let head = Head {
            name_len: name.len() as u8,
            rrset_count: (rrsets.len() as u16).into(),
            ..head
        };
        memory.extend_from_slice(head.as_bytes());
        memory.extend_from_slice(name);
        let mut answer = name.len() + rrsets.len() * size_of::<RrsetRef>();
        for (rtype, stored) in rrsets {
            let rrset = RrsetRef {
                rtype: (*rtype).into(),
                answer: (answer as u32).into(),
            };
            memory.extend_from_slice(rrset.as_bytes());
            answer += LEN_BYTES + stored.len();
        }
        for (_, stored) in rrsets {
            memory.extend((stored.len() as u32).to_le_bytes());
            memory.extend_from_slice(stored);
        }
        memory.resize(memory.len().next_multiple_of(UNIT_BYTES), 0);
        EntryRef((start / UNIT_BYTES) as u32)
    }

    /// Gives back what was taken in advance.
    pub(super) fn shrink_to_fit(&mut self) {
        self.0.shrink_to_fit();
    }

    /// Asks memory for an entry, or as much of it as nearly all need.
    #[inline]
    pub(super) fn touch(&self, at: EntryRef) {
        prefetch(&self.0, at.start());
        prefetch(&self.0, at.start() + LINE_BYTES);
    }

    #[inline]
    pub(super) fn get(&self, at: EntryRef) -> Option<Entry<'_>> {
        let (head, rest) = Head::ref_from_prefix(self.0.get(at.start()..)?).ok()?;
        Some(Entry { head, rest })
    }
}

impl EntryRef {
    #[inline]
    const fn start(self) -> usize {
        self.0 as usize * UNIT_BYTES
    }
}

impl<'a> Entry<'a> {
    #[inline]
    pub(super) fn is_named(self, name: &[u8]) -> bool {
        usize::from(self.head.name_len) == name.len() && self.rest.starts_with(name)
    }

    /// The number of the lowest zone at or above the name, plus one; 0: there is none.
    #[inline]
    pub(super) fn zone(self) -> u32 {
        self.head.zone.get()
    }

    /// The number of the lowest zone above the name, plus one; 0: there is none.
    #[inline]
    pub(super) fn zone_above(self) -> u32 {
        self.head.zone_above.get()
    }

    /// Whether it is the top of its zone.
    #[inline]
    pub(super) fn is_apex(self) -> bool {
        self.head.flags & APEX != 0
    }

    /// Whether the name exists in its zone.
    #[inline]
    pub(super) fn exists(self) -> bool {
        self.head.flags & EXISTS != 0
    }

    /// Whether it has no data.
    pub(super) fn is_empty(self) -> bool {
        self.head.rrset_count.get() == 0
    }

    /// Whether that answer is a CNAME, which the question does not ask for by its type.
    pub(super) fn leads_away(self, qtype: u16) -> bool {
        let found = self.rrset(qtype);
        found.is_some_and(|rrset| rrset.rtype.get() != qtype)
    }

    /// The stored answer for a type: the first `RRset` of that type, or a CNAME, as they come.
    #[inline]
    pub(super) fn answer(self, qtype: u16) -> Option<&'a [u8]> {
        let rrset = self.rrset(qtype)?;
        let answer = self.rest.get(rrset.answer.get() as usize..)?;
        let (len, stored) = answer.split_first_chunk::<LEN_BYTES>()?;
        stored.get(..u32::from_le_bytes(*len) as usize)
    }

    /// The first `RRset` of that type, or a CNAME, as they come.
    #[inline]
    fn rrset(self, qtype: u16) -> Option<&'a RrsetRef> {
        let behind_name = self.rest.get(usize::from(self.head.name_len)..)?;
        let count = usize::from(self.head.rrset_count.get());
        let (rrsets, _) = <[RrsetRef]>::ref_from_prefix_with_elems(behind_name, count).ok()?;
        rrsets
            .iter()
            .find(|rrset| [qtype, rtype::CNAME].contains(&rrset.rtype.get()))
    }
}

const APEX: u8 = 1;
const EXISTS: u8 = 2;
const UNIT_BYTES: usize = 8;
const LEN_BYTES: usize = 4;
/// A cache line.
const LINE_BYTES: usize = 64;
