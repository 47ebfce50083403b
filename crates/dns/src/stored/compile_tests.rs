//! Messages built by hand, compiled, and looked at octet by octet.

use super::*;
use crate::stored::Stored;

pub(crate) const PLAIN: CompileOptions = CompileOptions {
    keep_dnssec: false,
    secure: false,
    min_ttl_secs: 0,
    max_ttl_secs: 86_400,
    min_negative_ttl_secs: 0,
    max_negative_ttl_secs: 3600,
};
const WITH_DNSSEC: CompileOptions = CompileOptions {
    keep_dnssec: true,
    ..PLAIN
};

/// A message for `www.example. IN qtype` with records as (owner, type, TTL, data).
fn message(
    rcode: u8,
    qtype: u16,
    counts: [u16; 3],
    records: &[(&[u8], u16, u32, &[u8])],
) -> Vec<u8> {
    let mut msg = vec![0, 7, 0x81, 0x80 | rcode];
    msg.extend(
        [1, counts[0], counts[1], counts[2]]
            .iter()
            .flat_map(|count| count.to_be_bytes()),
    );
    msg.extend(b"\x03wWw\x07example\0");
    msg.extend([qtype.to_be_bytes(), [0, 1]].as_flattened());
    for (owner, rtype, ttl, data) in records {
        msg.extend(*owner);
        msg.extend([rtype.to_be_bytes(), [0, 1]].as_flattened());
        msg.extend(ttl.to_be_bytes());
        msg.extend((data.len() as u16).to_be_bytes());
        msg.extend(*data);
    }
    msg
}

fn compiled(msg: &[u8], options: &CompileOptions) -> (StoredInfo, Vec<u8>) {
    let mut out = Vec::new();
    let info = compile(msg, options, &mut out).unwrap();
    (info, out)
}

const QNAME: &[u8] = &[0xc0, 12];
const EXAMPLE: &[u8] = &[0xc0, 16];
const RRSIG: &[u8] = &[
    0, 1, 13, 2, 0, 0, 1, 44, 0, 0, 0, 9, 0, 0, 0, 1, 0, 5, 0, 0xaa,
];

#[test]
fn a_plain_answer() {
    let msg = message(0, 1, [1, 0, 0], &[(QNAME, 1, 300, &[192, 0, 2, 1])]);
    let (info, out) = compiled(&msg, &PLAIN);
    assert_eq!(
        info,
        StoredInfo {
            rcode: 0,
            ttl_secs: Some(300),
            negative: false,
            has_dnssec: false
        }
    );
    let stored = Stored::new(&out).unwrap();
    assert_eq!(stored.body(), &msg[12 + 17..]);
    assert_eq!(stored.counts(), [1, 0, 0]);
    assert_eq!(stored.ttl_offsets().collect::<Vec<_>>(), [6]);
    assert!(!stored.is_secure() && !stored.is_authoritative());
}

#[test]
fn signatures_stay_for_those_who_ask() {
    let records = [
        (QNAME, 1, 300, &[192, 0, 2, 1][..]),
        (QNAME, 46, 200, RRSIG),
        (EXAMPLE, 2, 100, EXAMPLE),
    ];
    let msg = message(0, 1, [2, 1, 0], &records);
    let (plain, plain_out) = compiled(&msg, &PLAIN);
    assert!(plain.has_dnssec);
    assert_eq!(plain.ttl_secs, Some(100));
    assert_eq!(Stored::new(&plain_out).unwrap().counts(), [1, 1, 0]);
    let (full, full_out) = compiled(&msg, &WITH_DNSSEC);
    assert!(full.has_dnssec);
    assert_eq!(Stored::new(&full_out).unwrap().counts(), [2, 1, 0]);
    // The signature's data, original TTL and all, is untouched.
    assert!(full_out.windows(RRSIG.len()).any(|window| window == RRSIG));
    for qtype in [46, 255] {
        let (info, out) = compiled(
            &message(0, qtype, [1, 0, 0], &[(QNAME, 46, 200, RRSIG)]),
            &PLAIN,
        );
        assert_eq!(
            (info.has_dnssec, Stored::new(&out).unwrap().counts()[0]),
            (false, 1)
        );
    }
}

#[test]
fn names_are_compressed_against_what_is_kept() {
    // The NS target's owner is written in a signature's place: the pointer into it must not survive its removal.
    let mut records = vec![
        (QNAME, 1, 300, &[192, 0, 2, 1][..]),
        (&b"\x04long\x07example\0"[..], 47, 300, &b"\0\0\x01\x40"[..]),
    ];
    let at = 12 + 17 + 16u8; // behind question and first record: where "long.example." stands
    let pointer = [0xc0, at];
    records.push((&pointer, 2, 300, &pointer));
    let msg = message(0, 1, [1, 2, 0], &records);
    let (_, out) = compiled(&msg, &PLAIN);
    let stored = Stored::new(&out).unwrap();
    // In full but for the question's own suffix, then a pointer to itself.
    let owner_at = 12 + 17 + 16u8;
    let tail = &stored.body()[16..];
    assert_eq!(&tail[..7], b"\x04long\xc0\x10");
    assert_eq!(&tail[7 + 10..], &[0xc0, owner_at]);
}

#[test]
fn opt_is_left_out_and_additional_can_be() {
    let opt = (&b"\0"[..], 41, 0x8000, &[][..]);
    let msg = message(
        0,
        1,
        [1, 0, 2],
        &[
            (QNAME, 1, 300, &[1, 2, 3, 4]),
            (EXAMPLE, 1, 30, &[1, 2, 3, 5]),
            opt,
        ],
    );
    let (info, out) = compiled(&msg, &PLAIN);
    let stored = Stored::new(&out).unwrap();
    assert_eq!(stored.counts(), [1, 0, 1]);
    assert_eq!(stored.without_additional().len(), 16);
    assert_eq!(info.ttl_secs, Some(30));
}

#[test]
fn ttls_stay_within_the_limits() {
    let a = |ttl| message(0, 1, [1, 0, 0], &[(QNAME, 1, ttl, &[1, 2, 3, 4])]);
    let limits = CompileOptions {
        min_ttl_secs: 60,
        max_ttl_secs: 600,
        ..PLAIN
    };
    for (ttl, want) in [
        (0, 60),
        (59, 60),
        (60, 60),
        (600, 600),
        (601, 600),
        (u32::MAX, 60),
        (1 << 31, 60),
    ] {
        assert_eq!(compiled(&a(ttl), &limits).0.ttl_secs, Some(want), "{ttl}");
    }
}

#[test]
fn negative_answers_live_as_long_as_their_soa_says() {
    let soa = |minimum: u32| [EXAMPLE, EXAMPLE, &[0; 16], &minimum.to_be_bytes()].concat();
    for (rcode, ttl, minimum, want) in [
        (3, 900, 300, 300),
        (3, 200, 300, 200),
        (0, 90_000, 90_000, 3600),
    ] {
        let msg = message(rcode, 1, [0, 1, 0], &[(EXAMPLE, 6, ttl, &soa(minimum))]);
        let (info, _) = compiled(&msg, &PLAIN);
        assert!(info.negative);
        assert_eq!(info.ttl_secs, Some(want));
    }
    let cname = message(0, 1, [1, 0, 0], &[(QNAME, 5, 300, EXAMPLE)]);
    assert!(
        compiled(&cname, &PLAIN).0.negative,
        "an alias without the data that was asked for"
    );
    let failed = message(2, 1, [0, 0, 0], &[]);
    assert_eq!(
        compiled(&failed, &PLAIN).0,
        StoredInfo {
            rcode: 2,
            ttl_secs: None,
            negative: false,
            has_dnssec: false
        }
    );
}

#[test]
fn malformed_messages_are_refused_and_leave_nothing() {
    let good = message(0, 15, [1, 0, 0], &[(QNAME, 15, 300, &[0, 10, 0xc0, 16])]);
    let mut out = vec![1, 2, 3];
    for cut in 0..good.len() {
        assert_eq!(
            compile(&good[..cut], &PLAIN, &mut out),
            Err(CompileError::Malformed),
            "{cut}"
        );
    }
    for data in [
        &[0, 10, 0xc0][..],
        &[0],
        &[0, 10, 0xc0, 200],
        &[0, 10, 0x40, 0],
    ] {
        let msg = message(0, 15, [1, 0, 0], &[(QNAME, 15, 300, data)]);
        assert_eq!(
            compile(&msg, &PLAIN, &mut out),
            Err(CompileError::Malformed),
            "{data:?}"
        );
    }
    let loops = message(0, 1, [1, 0, 0], &[(&[0xc0, 29], 1, 300, &[1, 2, 3, 4])]);
    assert_eq!(
        compile(&loops, &PLAIN, &mut out),
        Err(CompileError::Malformed)
    );
    assert_eq!(out, [1, 2, 3]);
}

#[test]
fn messages_beyond_the_longest_are_refused() {
    // Uncompressed names in data that is long already.
    let long = vec![7u8; 30_000];
    let records = [(EXAMPLE, 16, 300, &long[..]); 3];
    let mut out = Vec::new();
    let msg = message(0, 16, [3, 0, 0], &records);
    assert_eq!(compile(&msg, &PLAIN, &mut out), Err(CompileError::TooLong));
}

#[test]
fn a_chain_of_pointers_ends_where_labels_would() {
    for (pointers, ok) in [(127, true), (128, false)] {
        // An unknown type's data, with a root label and pointers, each to the one before; then a name to follow.
        let chain_at = 12 + 17 + 2 + 10u16;
        let mut chain = vec![0, 0];
        for pointer in 1..pointers {
            chain.extend(
                (0xc000 | (chain_at + if pointer == 1 { 0 } else { 2 * (pointer - 1) }))
                    .to_be_bytes(),
            );
        }
        let last = (0xc000 | (chain_at + 2 * (pointers - 1))).to_be_bytes();
        let records = [(QNAME, 65_280, 300, &chain[..]), (QNAME, 2, 300, &last)];
        let msg = message(0, 2, [2, 0, 0], &records);
        assert_eq!(
            compile(&msg, &PLAIN, &mut Vec::new()).is_ok(),
            ok,
            "{pointers}"
        );
    }
}
