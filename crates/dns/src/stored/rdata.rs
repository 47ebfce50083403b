//! Where names stand in record data.

use crate::rtype;

/// A part of record data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// So many octets that are no name.
    Octets(usize),
    /// A character string: its length octet and that many more.
    Text,
    /// A name that may be compressed (types of RFC 1035; RFC 3597, 4).
    Compressible,
    /// A name that is sent in full, but that old senders compressed.
    Full,
}

/// The parts of a type's data up to and with its last name. What follows them, and all other types, has none.
pub(super) fn parts(rtype: u16) -> &'static [Part] {
    use Part::{Compressible, Full, Octets, Text};
    match rtype {
        rtype::NS
        | rtype::MD
        | rtype::MF
        | rtype::CNAME
        | rtype::MB
        | rtype::MG
        | rtype::MR
        | rtype::PTR => &[Compressible],
        rtype::SOA | rtype::MINFO => &[Compressible, Compressible],
        rtype::MX => &[Octets(2), Compressible],
        rtype::RP => &[Full, Full],
        rtype::AFSDB | rtype::RT | rtype::KX => &[Octets(2), Full],
        rtype::PX => &[Octets(2), Full, Full],
        rtype::SIG | rtype::RRSIG => &[Octets(18), Full],
        rtype::SRV => &[Octets(6), Full],
        rtype::NAPTR => &[Octets(4), Text, Text, Text, Full],
        rtype::DNAME | rtype::NXT | rtype::NSEC => &[Full],
        _ => &[],
    }
}
