//! Answers that are not what they were found, by the addresses in them.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use sluicegate_lab::wire::rtype::{A, AAAA, ANY, TXT};

use crate::probe::Probe;

/// Each action by its last octet, without data; the upstream has `192.0.2.N` and `2001:db8::N`.
const ACTIONS: [(u8, &str); 7] = [
    (1, "deny"),
    (2, "redirect"),
    (3, "inform"),
    (4, "inform_deny"),
    (5, "always_transparent"),
    (6, "always_refuse"),
    (7, "always_nxdomain"),
];
/// The same with data: ten more.
const WITH_DATA: u8 = 10;
/// The same with a tag: twenty more. Without an action of its own, this one.
const WITH_TAG: u8 = 20;
const TAG_ALONE: u8 = 28;
/// Redirected to a name: each to what its number makes of it.
const ALIASES: [(u8, &str); 7] = [
    (40, "far"),
    (41, "nx.far"),
    (42, "nodata.far"),
    (43, "servfail.far"),
    (44, "cname.far"),
    (45, "HIT"),
    (46, "*.far"),
];

/// What clients with the tag have as its action, and as its data, by their last octet. Not `always_deny`: Unbound 1.17
/// lets such an answer through, later ones and we don't.
const CLIENTS: [(u8, &str, &[&str]); 13] = [
    (1, "always_refuse", &[]),
    (2, "redirect", &["A 203.0.113.2", "AAAA 2001:db8:2::2"]),
    (3, "redirect", &["CNAME far.lab"]),
    (4, "", &["A 203.0.113.2"]),
    (5, "static", &[]),
    (6, "deny", &[]),
    (7, "inform_redirect", &["A 203.0.113.2"]),
    (8, "always_null", &[]),
    (9, "refuse", &["A 203.0.113.2"]),
    (10, "nodefault", &[]),
    (12, "always_nodata", &[]),
    (13, "always_transparent", &[]),
    (14, "redirect", &["TXT x"]),
];

/// A name for which the upstream has the address that ends in `n`.
fn host(n: u8) -> String {
    let last = |name: &str| {
        let mut wire = vec![name.len() as u8];
        wire.extend(name.bytes());
        wire.extend(b"\x03lab\0");
        let mix = |sum: u8, octet: &u8| sum.wrapping_mul(31).wrapping_add(*octet);
        wire.iter().fold(7, mix)
    };
    let names = (0..10_000).map(|k| format!("h{k}"));
    let name = names.into_iter().find(|name| last(name) == n);
    // The last octet alone takes all values.
    format!("{}.lab", name.unwrap_or_default())
}

/// Rules of all kinds, for addresses of both families.
pub(crate) fn conf() -> String {
    let mut conf = "  module-config: \"respip iterator\"\n  define-tag: \"other red\"\n".to_owned();
    let mut line = |text: &str| {
        let _ = writeln!(conf, "  {text}");
    };
    for (n, action) in ACTIONS {
        for prefix in ["192.0.2.", "2001:db8::"] {
            let data = if prefix.contains(':') {
                ["300 AAAA 2001:db8:1::1", "AAAA 2001:db8:1::2"]
            } else {
                ["300 A 203.0.113.1", "A 203.0.113.9"]
            };
            // The upstream writes the octet in decimal in IPv4, which is hexadecimal in IPv6.
            let address = |n: u8| match prefix {
                "192.0.2." => format!("{prefix}{n}"),
                _ => format!("{prefix}{n:x}"),
            };
            line(&format!("response-ip: {} {action}", address(n)));
            let filled = address(n + WITH_DATA);
            for data in data.iter().filter(|_| action == "redirect") {
                line(&format!("response-ip-data: {filled} \"{data}\""));
            }
            line(&format!("response-ip: {filled} {action}"));
            let tagged = address(n + WITH_TAG);
            line(&format!("response-ip: {tagged} {action}"));
            line(&format!("response-ip-tag: {tagged} red"));
            line(&format!("response-ip-tag: {tagged} other"));
        }
    }
    line(&format!("response-ip-tag: 192.0.2.{TAG_ALONE} red"));
    for (n, target) in ALIASES {
        let target = target.replace("HIT", host(2).trim_end_matches(".lab"));
        line(&format!("response-ip: 192.0.2.{n}/32 redirect"));
        line(&format!(
            "response-ip-data: 192.0.2.{n}/32 \"CNAME {target}.lab\""
        ));
        line(&format!("response-ip: 2001:db8::{n:x}/128 redirect"));
        line(&format!(
            "response-ip-data: 2001:db8::{n:x}/128 \"600 CNAME {target}.lab.\""
        ));
    }
    line("response-ip: 192.0.2.64/28 always_refuse");
    line("response-ip: 192.0.2.66/31 inform");
    line("response-ip: 192.0.2.68/32 always_nxdomain");
    line("response-ip: 192.0.2.68/32 always_refuse");
    for (n, zone) in [(2, "two"), (11, "eleven"), (40, "forty"), (1, "one")] {
        line(&format!("local-zone: {zone}.al.lab redirect"));
        line(&format!("local-data: '{zone}.al.lab CNAME {}'", host(n)));
    }
    for (n, action, data) in CLIENTS {
        line(&format!("access-control-tag: 127.0.3.{n}/32 red"));
        if !action.is_empty() {
            line(&format!(
                "access-control-tag-action: 127.0.3.{n}/32 red {action}"
            ));
        }
        for data in data {
            line(&format!(
                "access-control-tag-data: 127.0.3.{n}/32 red \"{data}\""
            ));
        }
    }
    conf
}

/// Every rule, for clients whose tags have a say and for others.
pub(crate) fn probes() -> Vec<Probe> {
    let mut probes = Vec::new();
    let anybody: IpAddr = Ipv4Addr::LOCALHOST.into();
    let plain = ACTIONS.iter().map(|(n, _)| *n);
    let filled = ACTIONS.iter().map(|(n, _)| n + WITH_DATA);
    let tagged = ACTIONS.iter().map(|(n, _)| n + WITH_TAG).chain([TAG_ALONE]);
    let aliases = ALIASES.iter().map(|(n, _)| *n);
    let others = [64, 66, 67, 68, 79, 80];
    for n in plain
        .chain(filled)
        .chain(tagged.clone())
        .chain(aliases)
        .chain(others)
    {
        let name = host(n);
        for (name, qtype) in [
            (name.clone(), A),
            (name.clone(), AAAA),
            (name.clone(), ANY),
            (name.clone(), TXT),
            (format!("cname.cname.{name}"), A),
        ] {
            probes.push(Probe::new(&name, qtype).from(anybody));
        }
        let signed = |query: sluicegate_lab::wire::QuerySpec| query.edns(1232, true);
        probes.push(Probe::new(&name, A).from(anybody).with(signed));
    }
    for n in tagged {
        for (client, ..) in CLIENTS {
            let source: IpAddr = Ipv4Addr::new(127, 0, 3, client).into();
            for qtype in [A, AAAA] {
                probes.push(Probe::new(&host(n), qtype).from(source));
            }
        }
    }
    for zone in ["two", "eleven", "forty", "one"] {
        probes.push(Probe::new(&format!("x.{zone}.al.lab"), A).from(anybody));
    }
    probes
}

/// What Unbound's own check takes or refuses, and we too.
pub(crate) const RESPONSE_MISTAKES: &[&str] = &[
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 deny",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/33 deny",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 always_nodata",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 static",
    "  module-config: \"respip iterator\"\n  response-ip-data: 192.0.2.0/24 \"A 192.0.2.1\"",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 redirect\n  response-ip-data: 192.0.2.0/25 \"A 192.0.2.1\"",
    "  module-config: \"respip iterator\"\n  response-ip-data: 192.0.2.0/24 \"A 192.0.2.1\"\n  response-ip: 192.0.2.0/24 redirect",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 redirect\n  response-ip-data: 192.0.2.0/24 \"AAAA ::1\"",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 redirect\n  response-ip-data: 192.0.2.0/24 \"TXT x\"",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 redirect\n  response-ip-data: 192.0.2.0/24 \"A 192.0.2.256\"",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 redirect\n  response-ip-data: 192.0.2.0/24 \"CNAME x.lab\"\n  response-ip-data: 192.0.2.0/24 \"A 192.0.2.1\"",
    "  module-config: \"respip iterator\"\n  response-ip: 192.0.2.0/24 inform\n  response-ip-data: 192.0.2.0/24 \"A 192.0.2.1\"",
    "  module-config: \"respip iterator\"\n  define-tag: a\n  response-ip-tag: 192.0.2.0/24 a",
    "  module-config: \"respip iterator\"\n  response-ip-tag: 192.0.2.0/24 a",
    "  module-config: \"respip iterator\"\n  define-tag: a\n  response-ip-tag: 192.0.2.0/24 a\n  response-ip-data: 192.0.2.0/24 \"A 192.0.2.1\"",
];
