//! Stored answers rendered into queries.

use proptest::prelude::*;

use super::*;
use crate::stored::{Owner, Section, StoredBuilder};
use crate::{Ede, Name};

const OPTIONS: RenderOptions<'static> = RenderOptions {
    age_secs: 0,
    limit_bytes: 4096,
    udp_size: 1232,
    recursion_available: true,
    ede: None,
    keepalive: None,
    nsid: None,
};
const QUESTION: &[u8] = b"\x03wWw\x07eXample\0\0\x01\0\x01";

fn query(flags: u16, edns: Option<(u16, bool)>) -> Vec<u8> {
    let mut msg = vec![0xab, 0xcd];
    msg.extend(flags.to_be_bytes());
    msg.extend([0, 1, 0, 0, 0, 0, 0, u8::from(edns.is_some())]);
    msg.extend(QUESTION);
    if let Some((size, dnssec_ok)) = edns {
        msg.extend([0, 0, 41]);
        msg.extend(size.to_be_bytes());
        msg.extend([0, 0, if dnssec_ok { 0x80 } else { 0 }, 0, 0, 0]);
    }
    msg
}

fn stored(addresses: u8, authority: bool) -> Vec<u8> {
    let name = Name::from_text("www.example").unwrap();
    let mut builder = StoredBuilder::new(Some(&name), 0, true);
    for last in 0..addresses {
        builder
            .push(
                Section::Answer,
                Owner::Question,
                [1, 1],
                300,
                &[192, 0, 2, last],
            )
            .unwrap();
    }
    if authority {
        let zone = name.parent().unwrap();
        builder
            .push(
                Section::Authority,
                Owner::Name(&zone),
                [2, 1],
                50,
                name.as_bytes(),
            )
            .unwrap();
        builder
            .push(
                Section::Additional,
                Owner::Name(&name),
                [1, 1],
                50,
                &[192, 0, 2, 99],
            )
            .unwrap();
    }
    let mut out = Vec::new();
    builder.finish(&mut out);
    out
}

fn rendered(stored: &[u8], query: &[u8], options: &RenderOptions<'_>) -> (Vec<u8>, Rendered) {
    let parsed = Query::parse(query).unwrap();
    let mut buf = query.to_vec();
    buf.resize(5000, 0xee);
    let rendered = render(Stored::new(stored).unwrap(), &parsed, &mut buf, options);
    buf.truncate(rendered.len);
    (buf, rendered)
}

#[test]
fn header_and_case_are_the_clients() {
    let (reply, result) = rendered(&stored(1, false), &query(0x0110, None), &OPTIONS);
    assert!(!result.truncated);
    assert_eq!(
        reply[..12],
        [0xab, 0xcd, 0x85, 0x90, 0, 1, 0, 1, 0, 0, 0, 0]
    );
    assert_eq!(&reply[12..29], QUESTION);
    assert_eq!(
        reply[29..],
        [0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 192, 0, 2, 0]
    );
}

#[test]
fn opt_only_for_those_who_sent_one() {
    let (reply, _) = rendered(&stored(1, false), &query(0, Some((1400, true))), &OPTIONS);
    assert_eq!(reply[11], 1);
    assert_eq!(reply[45..], [0, 0, 41, 4, 208, 0, 0, 0x80, 0, 0, 0]);
    let ede = RenderOptions {
        ede: Some(Ede {
            code: 3,
            text: "old",
        }),
        ..OPTIONS
    };
    let (with, _) = rendered(&stored(1, false), &query(0, Some((1400, false))), &ede);
    assert_eq!(with[54..], [0, 9, 0, 15, 0, 5, 0, 3, b'o', b'l', b'd']);
    let (without, _) = rendered(&stored(1, false), &query(0, None), &ede);
    assert_eq!((without[11], without.len()), (0, 45));
}

#[test]
fn additional_goes_first_then_everything() {
    let full = stored(10, true);
    let (whole, result) = rendered(&full, &query(0, Some((4096, false))), &OPTIONS);
    assert_eq!(
        (result.truncated, whole[7], whole[9], whole[11]),
        (false, 10, 1, 2)
    );
    let less = RenderOptions {
        limit_bytes: whole.len() - 1,
        ..OPTIONS
    };
    let (reply, result) = rendered(&full, &query(0, Some((4096, false))), &less);
    assert_eq!(
        (result.truncated, reply[7], reply[9], reply[11]),
        (false, 10, 1, 1)
    );
    let least = RenderOptions {
        limit_bytes: 100,
        ..OPTIONS
    };
    let (reply, result) = rendered(&full, &query(0, Some((4096, false))), &least);
    assert_eq!(
        (result.truncated, &reply[2..12]),
        (true, &[0x86, 0x80, 0, 1, 0, 0, 0, 0, 0, 1][..])
    );
    assert_eq!(reply.len(), 12 + QUESTION.len() + 11);
}

#[test]
fn response_codes_and_errors() {
    let msg = query(0x0130, Some((1232, true)));
    let parsed = Query::parse(&msg).unwrap();
    let mut buf = msg.clone();
    let len = write_rcode(&mut buf, &parsed, rcode::REFUSED, &OPTIONS);
    assert_eq!(
        (len, &buf[2..12]),
        (msg.len(), &[0x81, 0x95, 0, 1, 0, 0, 0, 0, 0, 1][..])
    );

    let mut bad = msg.clone();
    bad[29 + 6] = 1;
    let error = Query::parse(&bad).unwrap_err();
    let len = write_error(&mut bad, &error, 1232).unwrap();
    assert_eq!(len, msg.len());
    assert_eq!(bad[2..12], [0x81, 0x90, 0, 1, 0, 0, 0, 0, 0, 1]);
    assert_eq!(bad[29..], [0, 0, 41, 4, 208, 1, 0, 0x80, 0, 0, 0]);

    for (flags, rcode) in [(0x0900, 4), (0x2700, 1), (0x2100, 5), (0x0300, 1)] {
        let mut buf = query(flags, None);
        let error = Query::parse(&buf).unwrap_err();
        assert_eq!(write_error(&mut buf, &error, 1232), Some(12));
        assert_eq!(buf[3] & 0xf, rcode);
        assert_eq!(buf[2] & 0xfe, 0x80 | (flags >> 8) as u8 & 0x78);
        assert_eq!(buf[4..12], [0; 8]);
    }
    let mut silent = [0; 12];
    assert_eq!(write_error(&mut silent, &QueryError::Response, 1232), None);
}

#[test]
fn ad_needs_a_secure_answer_and_a_client_that_asks() {
    let mut secure = stored(1, false);
    for (is_secure, flags, dnssec_ok, want) in [
        (true, 0x0020, None, true),
        (true, 0, Some(true), true),
        (true, 0, Some(false), false),
        (true, 0, None, false),
        (false, 0x0020, Some(true), false),
    ] {
        secure[1] = if is_secure { 2 } else { 0 };
        let (reply, _) = rendered(
            &secure,
            &query(flags, dnssec_ok.map(|yes| (1232, yes))),
            &OPTIONS,
        );
        assert_eq!(
            reply[3] & 0x20 != 0,
            want,
            "{is_secure} {flags} {dnssec_ok:?}"
        );
    }
}

proptest! {
    #[test]
    fn ttls_age_and_nothing_else_does(age in prop_oneof![0u32..400, any::<u32>()], addresses in 0u8..20) {
        let stored = stored(addresses, true);
        let (fresh, _) = rendered(&stored, &query(0, Some((4096, true))), &OPTIONS);
        let (aged, _) = rendered(&stored, &query(0, Some((4096, true))), &RenderOptions { age_secs: age, ..OPTIONS });
        prop_assert_eq!(fresh.len(), aged.len());
        let start = 12 + QUESTION.len();
        let mut want = fresh.clone();
        for at in Stored::new(&stored).unwrap().ttl_offsets() {
            let ttl: [u8; 4] = fresh[start + at..start + at + 4].try_into().unwrap();
            let ttl = u32::from_be_bytes(ttl).saturating_sub(age).to_be_bytes();
            want[start + at..start + at + 4].copy_from_slice(&ttl);
        }
        prop_assert_eq!(aged, want);
    }

    #[test]
    fn replies_keep_to_their_limit(limit in 40usize..1300, addresses in 0u8..90, edns: bool) {
        let edns = edns.then_some((1300, false));
        let options = RenderOptions { limit_bytes: limit.max(50), ..OPTIONS };
        let (reply, result) = rendered(&stored(addresses, true), &query(0, edns), &options);
        prop_assert!(reply.len() <= options.limit_bytes);
        prop_assert_eq!(reply[2] & 2 != 0, result.truncated);
        prop_assert_eq!(&reply[12..29], QUESTION);
        if result.truncated {
            prop_assert_eq!(reply.len(), 29 + if edns.is_some() { 11 } else { 0 });
        }
    }
}
