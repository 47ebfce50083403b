//! Zones that are not the same for all clients.

use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr};

use sluicegate_lab::wire::rtype::{A, AAAA, ANY, CNAME, MX, SOA};

use crate::probe::Probe;
use crate::questions::KINDS;

const DS: u16 = 43;
/// More than one octet of tags.
const FILLERS: usize = 9;

/// Zones of several types with tags, one within the other, and clients with all kinds of tags, actions and data.
pub(crate) fn conf() -> String {
    let mut conf = String::new();
    let mut line = |text: &str| {
        let _ = writeln!(conf, "  {text}");
    };
    line("define-tag: \"red green\"");
    line("define-tag: \"blue red\"");
    for n in 0..FILLERS {
        line(&format!("define-tag: filler{n}"));
    }
    line("define-tag: late");
    for (zone, kind) in [
        ("outer.lab", "static"),
        ("mid.outer.lab", "transparent"),
        ("in.mid.outer.lab", "redirect"),
        ("plain.lab", "transparent"),
        ("alias.lab", "redirect"),
        ("mixed.lab", "transparent"),
        ("late.lab", "static"),
        ("over.lab", "transparent"),
        ("both.lab", "refuse"),
    ] {
        line(&format!("local-zone: {zone} {kind}"));
        for data in ["A 192.0.2.1", "SOA ns. host. 1 3600 900 86400 300"] {
            if zone != "alias.lab" {
                line(&format!("local-data: '{zone} {data}'"));
            }
        }
        if kind != "redirect" {
            line(&format!("local-data: 'host.{zone} A 192.0.2.2'"));
            line(&format!("local-data: 'alias.{zone} CNAME host.{zone}'"));
        }
    }
    line("local-data: 'alias.lab CNAME host.outer.lab'");
    line("local-data: 'mixed.lab CNAME www.example'");
    for zone in ["in.mid.outer.lab", "mid.outer.lab"] {
        line(&format!(
            "local-data: '{zone} DS 1 8 1 0011223344556677889900112233445566778899'"
        ));
    }
    line("local-zone-tag: mid.outer.lab \"green  blue\"");
    line("local-zone-tag: in.mid.outer.lab \"blue\"");
    line("local-zone-tag: plain.lab \"red green blue\"");
    line("local-zone-tag: alias.lab \"red\"");
    line("local-zone-tag: alias.lab \"green\"");
    line("local-zone-tag: mixed.lab \"red filler3\"");
    line("local-zone-tag: late.lab late");
    line("local-zone-tag: both.lab \"red green\"");
    line("local-zone-tag: 10.in-addr.arpa red");
    line("local-zone-tag: implied.lab green");
    line("local-data: 'implied.lab TXT \"x\"'");
    // Overrides: each type, of two for one prefix, the longer of two prefixes.
    for (n, kind) in (100..).zip(KINDS) {
        line(&format!(
            "local-zone-override: over.lab 127.0.1.{n}/32 {kind}"
        ));
        line(&format!(
            "local-zone-override: mixed.lab 127.0.1.{n}/32 {kind}"
        ));
    }
    line("local-zone-override: over.lab 127.0.2.0/24 refuse");
    line("local-zone-override: over.lab 127.0.2.1/32 redirect");
    line("local-zone-override: over.lab 127.0.2.2 static");
    line("local-zone-override: over.lab 127.0.2.2 deny");
    line("local-zone-override: both.lab 127.0.3.1/32 transparent");
    line("local-zone-override: localhost 127.0.2.0/24 refuse");
    conf + CLIENTS
}

const CLIENTS: &str = "\
  access-control: 127.0.9.0/24 refuse
  access-control-tag: 127.0.9.1/32 red
  access-control-tag: 127.0.3.0/24 \"red green blue late filler3\"
  access-control-tag: 127.0.3.1/32 \"green\"
  access-control-tag: 127.0.3.2/32 \"blue\"
  access-control-tag: 127.0.3.2/32 \"red\"
  access-control-tag: 127.0.3.3/32 \"filler3 late\"
  access-control-tag: 127.0.3.4/32 \"\"
  access-control: 127.0.3.5/32 allow
  access-control-tag: 127.0.3.6/32 \"red green blue\"
  access-control-tag-action: 127.0.3.6/32 red always_nxdomain
  access-control-tag-action: 127.0.3.6/32 red always_refuse
  access-control-tag-action: 127.0.3.6/32 blue always_nodata
  access-control-tag: 127.0.3.7/32 \"red green\"
  access-control-tag-action: 127.0.3.7/32 red redirect
  access-control-tag-data: 127.0.3.7/32 red \"A 192.0.2.71\"
  access-control-tag-data: 127.0.3.7/32 red \"A 192.0.2.72\"
  access-control-tag-data: 127.0.3.7/32 red \"300 AAAA 2001:db8::7\"
  access-control-tag-data: 127.0.3.7/32 green \"A 192.0.2.73\"
  access-control-tag-data: 127.0.3.7/32 red 'TXT \"seven\"'
  access-control-tag: 127.0.3.8/32 \"red blue\"
  access-control-tag-action: 127.0.3.8/32 red redirect
  access-control-tag-action: 127.0.3.8/32 blue redirect
  access-control-tag-data: 127.0.3.8/32 red \"CNAME walled.example\"
  access-control-tag-data: 127.0.3.8/32 blue \"CNAME *.garden.example\"
  access-control-tag: 127.0.3.9/32 \"red green blue\"
  access-control-tag-action: 127.0.3.9/32 red redirect
  access-control-tag-action: 127.0.3.9/32 green inform_redirect
  access-control-tag-action: 127.0.3.9/32 blue always_transparent
  access-control-tag-action: 127.0.3.10/32 red always_refuse
  access-control-tag-data: 127.0.3.11/32 red \"A 192.0.2.74\"
  access-control-tag: 127.0.3.12/32 \"blue\"
  access-control-tag-action: 127.0.3.12/32 blue redirect
  access-control-tag-data: 127.0.3.12/32 blue \"CNAME *.garden.example\"
  access-control-tag: ::1 \"red\"
";

/// Every zone from every client.
pub(crate) fn probes() -> Vec<Probe> {
    let names = [
        "outer.lab",
        "host.outer.lab",
        "no.outer.lab",
        "mid.outer.lab",
        "host.mid.outer.lab",
        "alias.mid.outer.lab",
        "no.mid.outer.lab",
        "in.mid.outer.lab",
        "x.in.mid.outer.lab",
        "plain.lab",
        "alias.plain.lab",
        "no.plain.lab",
        "x.alias.lab",
        "mixed.lab",
        "x.mixed.lab",
        "late.lab",
        "over.lab",
        "host.over.lab",
        "alias.over.lab",
        "no.over.lab",
        "both.lab",
        "implied.lab",
        "x.10.in-addr.arpa",
        "localhost",
    ];
    let clients: Vec<[u8; 2]> = (1..=13)
        .map(|n| [3, n])
        .chain((100..100 + KINDS.len() as u8).map(|n| [1, n]))
        .chain([[2, 1], [2, 2], [2, 3], [9, 1], [9, 2], [0, 1]])
        .collect();
    let mut probes = Vec::new();
    for name in names {
        for &[net, host] in &clients {
            let source: IpAddr = Ipv4Addr::new(127, 0, net, host).into();
            // Overrides are looked at where there are some.
            let overridden = ["mixed", "over", "localhost"];
            if net == 1 && !overridden.iter().any(|zone| name.contains(zone)) {
                continue;
            }
            for qtype in [A, AAAA, CNAME, SOA, DS, ANY] {
                probes.push(Probe::new(name, qtype).from(source));
            }
        }
        let source: IpAddr = std::net::Ipv6Addr::LOCALHOST.into();
        probes.extend([A, MX].map(|qtype| Probe::new(name, qtype).from(source)));
    }
    probes
}

/// What Unbound's own check takes or refuses, and we too.
pub(crate) const TAG_MISTAKES: &[&str] = &[
    "  define-tag: \"a b\"\n  local-zone: x.lab static\n  local-zone-tag: x.lab \"b a\"",
    "  define-tag: a\n  local-zone: x.lab static\n  local-zone-tag: x.lab \"a c\"",
    "  local-zone: x.lab static\n  local-zone-tag: x.lab a\n  define-tag: a",
    "  define-tag: a\n  local-zone-tag: x.lab a",
    "  define-tag: a\n  local-data: \"x.lab A 192.0.2.1\"\n  local-zone-tag: x.lab a",
    "  define-tag: a\n  local-data: \"x.lab A 192.0.2.1\"\n  local-zone-override: x.lab 127.0.0.0/8 refuse",
    "  local-zone: x.lab static\n  local-zone-override: x.lab 127.0.0.0/8 refuse",
    "  local-zone: x.lab static\n  local-zone-override: x.lab 127.0.0.0/33 refuse",
    "  local-zone: x.lab static\n  local-zone-override: x.lab 127.0.0.0/8 nosuch",
    "  local-zone: x.lab static\n  local-zone-override: x.lab 127.0.0.0/8 nodefault",
    "  local-zone-override: localhost 127.0.0.0/8 refuse",
    "  define-tag: a\n  access-control-tag: 127.0.0.0/8 a",
    "  define-tag: a\n  access-control-tag: 127.0.0.0/8 \"\"",
    "  access-control-tag: 127.0.0.0/8 a",
    "  access-control-tag: 127.0.0.0/8 a\n  define-tag: a",
    "  define-tag: a\n  access-control-tag: 127.0.0.0/33 a",
    "  define-tag: a\n  access-control-tag-action: 127.0.0.0/8 a refuse",
    "  define-tag: a\n  access-control-tag-action: 127.0.0.0/8 b refuse",
    "  define-tag: a\n  access-control-tag-action: 127.0.0.0/8 a nosuch",
    "  access-control-tag-action: 127.0.0.0/8 a refuse\n  define-tag: a",
    "  define-tag: a\n  access-control-tag-data: 127.0.0.0/8 a \"A 192.0.2.1\"",
    "  define-tag: a\n  access-control-tag-data: 127.0.0.0/8 b \"A 192.0.2.1\"",
    "  define-tag: a\n  access-control-tag-data: 127.0.0.0/8 a \"A 192.0.2.256\"",
    "  access-control-tag-data: 127.0.0.0/8 a \"A 192.0.2.1\"\n  define-tag: a",
];
