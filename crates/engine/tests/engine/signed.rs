//! A small signed zone: the validator's verdict comes through.
//!
//! `signed.example` was signed once with an ECDSA P-256 key (algorithm 13) that was thrown away; its
//! signatures hold in the years 2025 and 2026, and the tests set the validator's clock into them.

use libtest_mimic::Trial;
use sluicegate_engine::Security;

use crate::rig::{Lines, Rig, contains, counts, options, question};
use crate::trial;
use crate::upstream::{Upstream, a_record};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("proven_data_is_secure", proven_data_is_secure),
        trial("forged_data_is_bogus", forged_data_is_bogus),
        trial("each_reason_has_its_code", each_reason_has_its_code),
        trial(
            "bogus_answers_are_logged_as_val_log_level_says",
            bogus_answers_are_logged_as_val_log_level_says,
        ),
    ]
}

/// The zone's DS record.
const ANCHOR: &str = "signed.example. DS 37619 13 2 725e4f3a951990a7d993f6039e788dae7d7b00c9f09cf2baf1c6c55db4c2506a";

/// `signed.example. 3600 IN DNSKEY 257 3 13 ...`
const DNSKEY: &str = "067369676e6564076578616d706c65000030000100000e1000440101030d036456f0366819b2688b4173b0ce23893a13665a975a85c51da8c0b7911ec974d95456bc6c32665340cd7440f947be457cf9c6b124f4319b63ca727eed80a268";
const DNSKEY_RRSIG: &str = "067369676e6564076578616d706c6500002e000100000e10006200300d0200000e106b36ec806774858092f3067369676e6564076578616d706c650054caa9328dd2674a10d518e1893c46df6782a46e3b60204b304dff75a8da5cf17f1d2ae594c8b184a18fccc7c4f94e1d1288512cde8cde69516304c3cc064577";
/// `www.signed.example. 3600 IN A 192.0.2.80`
const WWW: &str = "03777777067369676e6564076578616d706c65000001000100000e100004c0000250";
const WWW_RRSIG: &str = "03777777067369676e6564076578616d706c6500002e000100000e10006200010d0300000e106b36ec806774858092f3067369676e6564076578616d706c6500b689cd8d174b645c5716b67c6caaee7c4554f2965c6718c8ed4da0376d4ba449699b3a0ccdcdebce844c6bc5ba8ca4f41083bab69a3ec102187833db70b5afe4";
/// `bad.signed.example. 3600 IN A 192.0.2.66`, where 192.0.2.81 was signed.
const BAD: &str = "03626164067369676e6564076578616d706c65000001000100000e100004c0000242";
const BAD_RRSIG: &str = "03626164067369676e6564076578616d706c6500002e000100000e10006200010d0300000e106b36ec806774858092f3067369676e6564076578616d706c6500174852adb3d3e1b6e809e680618457dedc516301e4639d6714437e5c707c7f6e46d01e947f42e6bc7c6906fed8b48301f2ed25610eeafe570c9f67369616bedc";

fn bytes(hex: &str) -> Vec<u8> {
    hex.as_bytes()
        .chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn rig(date: &str) -> (Upstream, Rig) {
    let upstream = Upstream::start([192, 0, 2, 53].into());
    upstream.answer("signed.example", 48, &[bytes(DNSKEY), bytes(DNSKEY_RRSIG)]);
    upstream.answer("www.signed.example", 1, &[bytes(WWW), bytes(WWW_RRSIG)]);
    upstream.answer("bad.signed.example", 1, &[bytes(BAD), bytes(BAD_RRSIG)]);
    let bare = a_record("bare.signed.example", 3600, [192, 0, 2, 82].into());
    upstream.answer("bare.signed.example", 1, &[bare]);
    let conf = format!(
        "server:\n  trust-anchor: \"{ANCHOR}\"\n  val-override-date: \"{date}\"\n  val-log-level: 2\n{}",
        upstream.conf()
    );
    let rig = Rig::start(options(&conf));
    (upstream, rig)
}

/// Within the signatures' time, and after it.
const THEN: &str = "20260101000000";
const LATER: &str = "20600101000000";
/// Before it.
const EARLIER: &str = "20010101000000";

fn proven_data_is_secure() {
    let (_upstream, mut rig) = rig(THEN);
    let secure = rig.resolve(&question("www.signed.example"));
    assert_eq!(
        (secure.rcode, secure.security, secure.ede()),
        (0, Security::Secure, None)
    );
    assert_eq!(secure.why_bogus, None);
    // The record and its signature.
    assert_eq!(counts(&secure.wire).0, 2);
    assert!(contains(&secure.wire, &[192, 0, 2, 80]));
}

fn forged_data_is_bogus() {
    let (_upstream, mut rig) = rig(THEN);
    let bogus = rig.resolve(&question("bad.signed.example"));
    assert_eq!((bogus.security, bogus.ede()), (Security::Bogus, Some(6)));
    assert!(
        bogus
            .why_bogus
            .is_some_and(|why| why.contains("bad.signed.example"))
    );
    assert!(
        contains(&bogus.wire, &[192, 0, 2, 66]),
        "the data is there for clients with CD"
    );
}

fn each_reason_has_its_code() {
    for (date, asked, ede) in [
        (LATER, "www.signed.example", 7),
        (EARLIER, "www.signed.example", 8),
        // Stripped of its signatures, and nothing proves that it is an unsigned delegation.
        (THEN, "bare.signed.example", 12),
    ] {
        let (_upstream, mut rig) = rig(date);
        let bogus = rig.resolve(&question(asked));
        let told = (bogus.security, bogus.ede());
        assert_eq!(told, (Security::Bogus, Some(ede)), "{bogus:?}");
    }
}

fn bogus_answers_are_logged_as_val_log_level_says() {
    let lines = Lines::default();
    lines.logged_by(|| {
        let (_upstream, mut rig) = rig(THEN);
        rig.resolve(&question("bad.signed.example"));
        rig.resolve(&question("www.signed.example"));
        assert_eq!(rig.client.stats().bogus, 1);
    });
    let told = lines.text();
    let told: Vec<&str> = told
        .lines()
        .filter(|line| line.contains("validation failure"))
        .collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("<bad.signed.example. A IN>: ") && told[0].contains("from 127.0.0.1"),
        "{told:?}"
    );
    assert!(told[0].contains("ede=6"), "{told:?}");
}
