use std::fmt::Write;
use std::str::FromStr;

use domain::base::iana::Rtype;

use super::parse_rdata;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn wire(rtype: &str, text: &str) -> String {
    hex(&parse_rdata(Rtype::from_str(rtype).unwrap(), text)
        .unwrap_or_else(|error| panic!("{rtype} {text}: {error}")))
}

#[test]
fn records_of_many_types_have_the_wire_form_of_their_rfc() {
    for (rtype, text, expected) in [
        ("A", "192.0.2.1", "c0000201"),
        ("AAAA", "2001:db8::1", "20010db8000000000000000000000001"),
        ("NS", "Ns.example", "024e73076578616d706c6500"),
        ("MX", "10 mx", "000a026d7800"),
        ("TXT", "abc \"d e\" 'f;g'", "036162630364206503663b67"),
        ("TXT", "\"\\\"\\097\"", "022261"),
        ("TXT", "\"\"", "00"),
        ("SPF", "\"v=spf1 -all\"", "0b763d73706631202d616c6c"),
        ("SRV", "1 2 53 t", "000100020035017400"),
        ("HINFO", "a b", "01610162"),
        ("CAA", "0 issue \"ca\"", "000569737375656361"),
        ("SSHFP", "1 1 0aff", "01010aff"),
        (
            "LOC",
            "52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
            "00001613", /* as RFC 1876's example, size 0 */
        ),
        ("URI", "10 1 \"ftp://x\"", "000a00016674703a2f2f78"),
        ("CSYNC", "66 3 A NS AAAA", "0000004200030004 60000008"),
        ("EUI48", "00-00-5e-00-53-2a", "00005e00532a"),
        ("EUI64", "00-00-5e-ef-10-00-00-2a", "00005eef1000002a"),
        ("NID", "10 0014:4fff:ff20:ee64", "000a00144fffff20ee64"),
        ("L32", "10 10.1.2.0", "000a0a010200"),
        ("AFSDB", "1 x", "0001017800"),
        ("CERT", "1 2 3 AQID", "0001000203010203"),
        ("SMIMEA", "3 1 1 ab cd", "030101abcd"),
        ("A", "\\# 4 c0000201", "c0000201"),
        ("TYPE65280", "\\# 3 ( 01 02 03 )", "010203"),
        ("TYPE65280", "\\# 0", ""),
    ] {
        let got = wire(rtype, text);
        let expected = expected.replace(' ', "");
        assert!(got.starts_with(&expected), "{rtype} {text}: {got}");
        assert!(
            rtype == "LOC" || got.len() == expected.len(),
            "{rtype} {text}: {got}"
        );
    }
}

#[test]
fn the_location_of_rfc_1876_is_read() {
    assert_eq!(
        wire("LOC", "42 21 54 N 71 06 18 W -24m 30m"),
        ["00331613", "89172dd0", "70be15f0", "00988d20"].concat()
    );
}

#[test]
fn bad_data_is_refused() {
    for (rtype, text) in [
        ("TXT", ""),
        ("TXT", "\"open"),
        ("TXT", "\\25"),
        ("AFSDB", "1"),
        ("AFSDB", "65536 x"),
        ("AFSDB", "1 x y"),
        ("EUI48", "00-00-5e-00-53"),
        ("EUI48", "000-0-5e-00-53-2a"),
        ("NID", "10 14:4fff:ff20"),
        ("LOC", "91 N 0 E 0m"),
        ("LOC", "1 2 3 4 N 0 E 0m"),
        ("LOC", "N 0 E 0m"),
        ("CERT", "1 2 3 !"),
        ("SMIMEA", "3 1 1 abc"),
        ("A", "\\# 3 c0000201"),
        ("A", "\\# 4 c00002"),
        ("TYPE65280", "1 2 3"),
        ("AFSDB", "1 (x"),
        ("AFSDB", "1 x)"),
    ] {
        assert!(
            parse_rdata(Rtype::from_str(rtype).unwrap(), text).is_err(),
            "{rtype} {text} was taken"
        );
    }
}
