use super::number::port_range;
use super::*;
use crate::config::Listen;
use crate::table::Arg;

fn accepts(arg: Arg, texts: &[&str]) {
    for text in texts {
        assert_eq!(check(arg, text), Ok(None), "{arg:?} {text}");
    }
}

fn refuses(arg: Arg, texts: &[&str]) {
    for text in texts {
        assert!(check(arg, text).is_err(), "{arg:?} {text}");
    }
}

#[test]
fn only_yes_and_no_are_answers() {
    accepts(Arg::Bool, &["yes", "no"]);
    refuses(Arg::Bool, &["Yes", "true", "1", "", " yes"]);
    assert_eq!(yes_no("ON").unwrap_err().help.unwrap(), "write `yes`");
}

/// What unbound-checkconf 1.17.1 makes of each, by `-o msg-cache-size`.
#[test]
fn sizes_are_read_as_unbound_reads_them() {
    let sizes = [
        ("4m", 4 << 20),
        ("4M", 4 << 20),
        ("4mb", 4 << 20),
        ("4kB", 4 << 10),
        ("4 m", 4 << 20),
        ("1G", 1 << 30),
        (" 5", 5),
        ("10b", 10),
        ("0", 0),
        ("99999999999", 99_999_999_999),
    ];
    for (text, value) in sizes {
        assert_eq!(bytes(text), Ok(value), "{text}");
    }
    refuses(
        Arg::Bytes,
        &[
            "",
            "m",
            "b",
            "10x",
            "1t",
            "4.5m",
            "-1",
            "@SIZE@",
            "99999999999g",
        ],
    );
}

#[test]
fn numbers_are_read_as_atoi_reads_them_and_the_rest_is_remarked_on() {
    assert_eq!(
        (number("53"), number(" -7x"), number("x"), number("")),
        (Some(53), Some(-7), None, None)
    );
    assert!(check(Arg::Number, "10x").unwrap().is_some());
    accepts(Arg::Number, &["0", "-1", "2147483647", "10 "]);
    refuses(
        Arg::Number,
        &["", "yes", "::1", "2147483648", "99999999999999999999"],
    );
    accepts(Arg::NumberOrNothing, &["", "0"]);
    accepts(Arg::Within { min: 0, max: 63 }, &["0", "63"]);
    refuses(Arg::Within { min: 0, max: 63 }, &["64", "-1"]);
    accepts(Arg::PowerOfTwo, &["1", "16"]);
    refuses(Arg::PowerOfTwo, &["0", "3", "-1", "@SLABS@"]);
    refuses(Arg::Positive, &["0", "no"]);
    accepts(Arg::Port, &["1", "65535"]);
    refuses(Arg::Port, &["0", "65536", "dns"]);
}

#[test]
fn port_ranges_have_no_blanks_and_go_up() {
    for text in ["32768", "1024-65535", "0-32767"] {
        assert_eq!(port_range(text), Ok(()), "{text}");
    }
    for text in ["-1", "1024 - 65535", "4k", "70000", "1-+2"] {
        assert!(port_range(text).is_err(), "{text}");
    }
    assert_eq!(port_range("9-8").unwrap_err().help.unwrap(), "write `8-9`");
}

#[test]
fn an_interface_is_an_address_or_a_name() {
    let address = |text: &str| Listen::Address(text.parse().unwrap());
    assert_eq!(interface("192.0.2.1", 53), Ok(address("192.0.2.1:53")));
    assert_eq!(
        interface("192.0.2.1@5353", 53),
        Ok(address("192.0.2.1:5353"))
    );
    assert_eq!(interface("::0@5353", 53), Ok(address("[::]:5353")));
    assert_eq!(interface("fe80::1%7@53", 1), Ok(address("[fe80::1%7]:53")));
    let named = |name: &str, port| Listen::Interface {
        name: name.to_owned(),
        port,
    };
    assert_eq!(interface("eth0", 53), Ok(named("eth0", 53)));
    assert_eq!(interface("eth0:1@54", 53), Ok(named("eth0:1", 54)));
    assert_eq!(interface("br-lan.20", 53), Ok(named("br-lan.20", 53)));
    let wrong = [
        "",
        "192.168.1",
        "300.0.0.1",
        "10.0.0.0/8",
        "2001:db8::g1::",
        "53",
        "eth0@0",
        "a b",
        "fe80::1%nonesuch0",
    ];
    refuses(Arg::Interface, &wrong);
}

#[test]
fn netblocks_lose_the_bits_behind_their_length() {
    let block = |text: &str| netblock(text).map(|block| block.to_string());
    assert_eq!(block("10.1.2.3/8"), Ok("10.0.0.0/8".into()));
    assert_eq!(block("192.0.2.1"), Ok("192.0.2.1/32".into()));
    assert_eq!(block("2001:DB8::1/32"), Ok("2001:db8::/32".into()));
    assert_eq!(block("0.0.0.0/0"), Ok("0.0.0.0/0".into()));
    refuses(
        Arg::Netblock,
        &[
            "10.0.0.0/33",
            "::/129",
            "10/8",
            "example.org",
            "10.0.0.0/",
            "10.0.0.0/255.0.0.0",
        ],
    );
}

#[test]
fn upstreams_have_a_port_and_a_name_for_authentication() {
    accepts(
        Arg::Upstream,
        &[
            "192.0.2.1",
            "192.0.2.1@853#dns.example.org",
            "2001:db8::1#x",
            "fe80::1%2@53",
        ],
    );
    refuses(
        Arg::Upstream,
        &[
            "dns.example.org",
            "192.0.2.1@",
            "192.0.2.1@853#",
            "192.0.2.1:853",
            "lc-dns1",
        ],
    );
    accepts(
        Arg::UpstreamHost,
        &["dns.example.org@853#dns.example.org", "ns"],
    );
    refuses(Arg::UpstreamHost, &["", "a..b", "ns@x"]);
    assert!(
        check(Arg::Upstream, "dns.example.org")
            .unwrap_err()
            .help
            .unwrap()
            .contains("-host:")
    );
}

#[test]
fn names_keep_to_the_bounds_of_dns() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "a".repeat(61));
    accepts(
        Arg::Name,
        &[
            ".",
            "example.org",
            "example.org.",
            r"a\.b.c",
            r"\255x",
            "_x._tcp",
            &longest,
        ],
    );
    let long = format!("{longest}a");
    refuses(
        Arg::Name,
        &[
            "",
            "..",
            "a..b",
            ".a",
            r"a\",
            r"\256",
            r"\25",
            &format!("{label}a"),
            &long,
        ],
    );
}

#[test]
fn a_reverse_record_names_the_address_backwards() {
    let record = |text: &str| reverse(text).unwrap();
    assert_eq!(
        record("192.0.2.3 www.example.org"),
        "3.2.0.192.in-addr.arpa. PTR www.example.org"
    );
    assert_eq!(
        record("192.0.2.3 7200 www"),
        "3.2.0.192.in-addr.arpa. 7200 PTR www"
    );
    assert_eq!(
        record(" 192.0.2.3  60  IN   www "),
        "3.2.0.192.in-addr.arpa. 60  IN PTR www"
    );
    let nibbles = "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa.";
    assert_eq!(record("2001:db8::1 host"), format!("{nibbles} PTR host"));
    refuses(
        Arg::Reverse,
        &["", "192.0.2.3", "www 192.0.2.3", "192.0.2.3 a..b"],
    );
}

#[test]
fn words_come_with_a_suggestion() {
    const WORDS: &[&str] = &["transparent", "static", "redirect"];
    assert_eq!(
        check(Arg::OneOf(WORDS), "sttaic")
            .unwrap_err()
            .help
            .unwrap(),
        "did you mean `static`?"
    );
    assert!(
        check(Arg::OneOf(WORDS), "whatever")
            .unwrap_err()
            .help
            .unwrap()
            .contains("transparent, static")
    );
    accepts(Arg::WordsOf(WORDS), &["static  redirect", ""]);
    refuses(Arg::WordsOf(WORDS), &["static dynamic"]);
}

#[test]
fn other_types_are_checked_too() {
    accepts(Arg::Nsid, &["", "0aFF", "ascii_me"]);
    refuses(Arg::Nsid, &["abc", "me"]);
    accepts(Arg::Record, &["a. A 192.0.2.1"]);
    refuses(Arg::Record, &["", "a."]);
    accepts(Arg::Ports, &["", "53 853"]);
    refuses(Arg::Ports, &["53,853", "0"]);
    refuses(Arg::Text, &["\u{fffd}", "a\0b"]);
}
