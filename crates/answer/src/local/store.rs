//! Local answers in stored form, good for any question: owners point at the question, other names stand in full.

use sluicegate_dns::{Owner, Section, StoredBuilder, rcode, rtype};

use super::zones::Rrset;

/// An answer that holds one `RRset` under the question's own name; `None` when it does not fit a message.
pub(super) fn rrset_answer(rrset: &Rrset, class: u16) -> Option<Vec<u8>> {
    let mut builder = StoredBuilder::new(None, rcode::NOERROR, true);
    for (ttl_secs, rdata) in &rrset.records {
        builder
            .push(
                Section::Answer,
                Owner::Question,
                [rrset.rtype, class],
                *ttl_secs,
                rdata,
            )
            .ok()?;
    }
    Some(finish(builder))
}

/// A negative answer with the zone's SOA record. Its owner is the zone, which is the end of the question's
/// name: whoever renders it turns the pointer to the question into one to that end.
pub(super) fn negative_answer(
    (ttl_secs, rdata): &(u32, Vec<u8>),
    class: u16,
    code: u16,
) -> Option<Vec<u8>> {
    let mut builder = StoredBuilder::new(None, code, true);
    builder
        .push(
            Section::Authority,
            Owner::Question,
            [rtype::SOA, class],
            *ttl_secs,
            rdata,
        )
        .ok()?;
    Some(finish(builder))
}

/// The address 0.0.0.0 or `::`, as `always_null` gives it.
pub(super) fn null_answer(qtype: u16, class: u16) -> Option<Vec<u8>> {
    let rdata: &[u8] = if qtype == rtype::A { &[0; 4] } else { &[0; 16] };
    let mut builder = StoredBuilder::new(None, rcode::NOERROR, true);
    builder
        .push(
            Section::Answer,
            Owner::Question,
            [qtype, class],
            NULL_TTL_SECS,
            rdata,
        )
        .ok()?;
    Some(finish(builder))
}

fn finish(builder: StoredBuilder) -> Vec<u8> {
    let mut stored = Vec::new();
    builder.finish(&mut stored);
    stored
}

/// Unbound's TTL for `always_null`.
const NULL_TTL_SECS: u32 = 3600;
