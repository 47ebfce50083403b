//! Extended DNS Errors for bogus answers (RFC 8914), read off libunbound's words.
//!
//! libunbound's callback hands over the words only. Its own server takes the code from the first of them that
//! has one, and "DNSKEY missing" where only the chain of trust is known to have broken; so does this.

/// `DNSSEC Bogus`: nothing more is known.
pub(crate) const DNSSEC_BOGUS: u16 = 6;

const UNSUPPORTED_DNSKEY_ALGORITHM: u16 = 1;
const SIGNATURE_EXPIRED: u16 = 7;
const SIGNATURE_NOT_YET_VALID: u16 = 8;
const DNSKEY_MISSING: u16 = 9;
const RRSIGS_MISSING: u16 = 10;
const NO_ZONE_KEY_BIT_SET: u16 = 11;
const NSEC_MISSING: u16 = 12;
const NETWORK_ERROR: u16 = 23;

/// What libunbound 1.17 to 1.26 say, and what it means. Of two that begin at the same place the first counts.
const PHRASES: &[(&str, u16)] = &[
    ("signature expired", SIGNATURE_EXPIRED),
    ("signature before inception date", SIGNATURE_NOT_YET_VALID),
    (
        "signature inception after expiration",
        SIGNATURE_NOT_YET_VALID,
    ),
    ("no DNSSEC records", NSEC_MISSING),
    ("no signatures over NSEC", NSEC_MISSING),
    // Only some algorithms lack theirs.
    ("no signatures with algorithm", DNSSEC_BOGUS),
    ("no signatures", RRSIGS_MISSING),
    ("signature missing", RRSIGS_MISSING),
    ("signatures from unknown keys", DNSKEY_MISSING),
    ("no DNSKEY rrset", DNSKEY_MISSING),
    ("No DNSKEY record", DNSKEY_MISSING),
    ("DNSKEY RRset did not match", DNSKEY_MISSING),
    ("dnskey without ZSK flag", NO_ZONE_KEY_BIT_SET),
    (
        "unsupported algorithm by crypto library",
        UNSUPPORTED_DNSKEY_ALGORITHM,
    ),
    ("zone has no known algorithms", UNSUPPORTED_DNSKEY_ALGORITHM),
    (
        "algorithm refused by cryptolib",
        UNSUPPORTED_DNSKEY_ALGORITHM,
    ),
    (" no DS for", NETWORK_ERROR),
    (" no DS from", NETWORK_ERROR),
];

/// Said when a key could not be proven; why not may stand beside it.
const BROKEN_CHAIN: &[&str] = &["is marked as invalid", "while building chain of trust"];

/// The INFO-CODE for libunbound's reason.
pub(crate) fn info_code(why: &str) -> u16 {
    let first = PHRASES
        .iter()
        .enumerate()
        .filter_map(|(rank, (phrase, code))| Some((why.find(phrase)?, rank, *code)))
        .min();
    let code = first.map_or(DNSSEC_BOGUS, |(_, _, code)| code);
    let broken_chain = BROKEN_CHAIN.iter().any(|phrase| why.contains(phrase));
    if code == DNSSEC_BOGUS && broken_chain {
        DNSKEY_MISSING
    } else {
        code
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libunbound_s_reasons_have_their_codes() {
        let said = [
            ("misc failure", 6),
            ("signature crypto failed from 192.0.2.1", 6),
            ("signature expired from 192.0.2.1", 7),
            (
                "signature expired for DS example. while building chain of trust",
                7,
            ),
            (
                "signature before inception date from 192.0.2.1 and 2001:db8::1",
                8,
            ),
            ("signatures from unknown keys from 192.0.2.1", 9),
            (
                "No DNSKEY record from 192.0.2.1 for key example. while building chain of trust",
                9,
            ),
            (
                "DS hash mismatches key from 192.0.2.1 for key example. while building chain of trust",
                9,
            ),
            ("no signatures from 192.0.2.1", 10),
            ("no signatures with algorithm RSASHA256 from 192.0.2.1", 6),
            ("dnskey without ZSK flag", 11),
            (
                "no DNSSEC records from 192.0.2.1 for DS example. while building chain of trust",
                12,
            ),
            ("no signatures over NSEC3s", 12),
            (
                "SERVFAIL no DS for DS example. while building chain of trust",
                23,
            ),
            ("NSEC3 records nodata proof failed from 192.0.2.1", 6),
            (
                "key for validation example. is marked as invalid because of a previous validation failure \
                 <www.example. A IN>: signature expired from 192.0.2.1",
                7,
            ),
            ("key for validation example. is marked as invalid", 9),
        ];
        for (words, code) in said {
            let why = format!("validation failure <www.example. A IN>: {words}");
            assert_eq!(info_code(&why), code, "{why}");
        }
    }
}
