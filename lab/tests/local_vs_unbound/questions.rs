//! The configurations and what is asked of them.

use std::fmt::Write;
use std::net::IpAddr;

use sluicegate_lab::wire::rtype::{
    A, AAAA, ANY, CNAME, DNAME, DNSKEY, MX, NS, NSEC, PTR, SOA, SRV, TXT,
};

use crate::probe::Probe;

const DS: u16 = 43;
const HTTPS: u16 = 65;
const CHAOS: u16 = 3;

const TYPES: [u16; 11] = [A, AAAA, ANY, NS, SOA, DS, TXT, CNAME, PTR, MX, 65280];

pub(crate) const KINDS: [&str; 15] = [
    "deny",
    "refuse",
    "static",
    "transparent",
    "typetransparent",
    "redirect",
    "inform",
    "inform_deny",
    "inform_redirect",
    "always_transparent",
    "always_refuse",
    "always_nxdomain",
    "always_nodata",
    "always_deny",
    "always_null",
];

fn product(names: &[&str], types: &[u16]) -> Vec<Probe> {
    names
        .iter()
        .flat_map(|name| types.iter().map(move |qtype| Probe::new(name, *qtype)))
        .collect()
}

/// One zone of each type with data, one with hardly any, one with none, and a static one below the first.
pub(crate) fn zone_types_conf() -> String {
    let mut conf = String::new();
    for kind in KINDS {
        let zone = kind.replace('_', "-");
        let full = format!("{zone}.full.lab.");
        for (name, kind) in [
            (full.clone(), kind),
            (format!("{zone}.little.lab"), kind),
            (format!("{zone}.bare.lab"), kind),
            (format!("below.{full}"), "static"),
        ] {
            let _ = writeln!(conf, "  local-zone: {name} {kind}");
        }
        let mut data = |line: String| {
            let _ = writeln!(conf, "  local-data: '{line}'");
        };
        data(format!(
            "{full} 600 IN SOA ns.{full} hostmaster.{full} 1 3600 900 86400 300"
        ));
        data(format!("{full} NS ns.{full}"));
        data(format!("{full} A 192.0.2.1"));
        data(format!("below.{full} A 192.0.2.9"));
        data(format!("{zone}.little.lab TXT \"the only data\""));
        if !kind.ends_with("redirect") {
            data(format!("host.{full} 1h A 192.0.2.2"));
            data(format!("host.{full} 2h A 192.0.2.3"));
            data(format!("host.{full} AAAA 2001:db8::2"));
            data(format!("alias.{full} CNAME host.{full}"));
            data(format!("deep.empty.{full} MX 10 host.{full}"));
            data(format!(
                "below.{full} DS 1 8 1 0011223344556677889900112233445566778899"
            ));
        }
    }
    conf
}

pub(crate) fn zone_types() -> Vec<Probe> {
    let mut probes = Vec::new();
    for kind in KINDS {
        let zone = kind.replace('_', "-");
        for name in [
            "",
            "host.",
            "HOST.",
            "alias.",
            "empty.",
            "deep.empty.",
            "x.deep.empty.",
            "none.",
            "below.",
            "x.below.",
        ] {
            probes.extend(product(&[&format!("{name}{zone}.full.lab")], &TYPES));
        }
        for (name, types) in [("", &TYPES[..]), ("x.", &[A, AAAA, TXT, DS])] {
            probes.extend(product(&[&format!("{name}{zone}.little.lab")], types));
            probes.extend(product(&[&format!("{name}{zone}.bare.lab")], types));
        }
    }
    probes.extend(product(&["lab", "full.lab", "nothing.full.lab"], &TYPES));
    probes
}

pub(crate) const RECORDS: &str = r#"
  local-zone: recs.lab static
  local-data: "recs.lab 3600 IN SOA ns.recs.lab. hostmaster.recs.lab. 7 3600 900 86400 60"
  local-data: "recs.lab NS ns.recs.lab"
  local-data: "many.recs.lab 10 A 192.0.2.3"
  local-data: "many.recs.lab 20 A 192.0.2.1"
  local-data: "many.recs.lab 30 A 192.0.2.2"
  local-data: "many.recs.lab 40 A 192.0.2.1"
  local-data: "mixed.recs.lab A 192.0.2.3"
  local-data: "mixed.recs.lab CNAME recs.lab"
  local-data: "mixed.recs.lab A 192.0.2.4"
  local-data: "other.recs.lab CNAME recs.lab"
  local-data: "other.recs.lab A 192.0.2.3"
  local-data: "mx.recs.lab 1w MX 10 Mail.Recs.Lab"
  local-data: 'txt.recs.lab TXT "one" two "three; four" "fi\"ve" "\065"'
  local-data: "txt.recs.lab TXT 'single' quotes"
  local-data: "quotes.recs.lab TXT 'single quotes'"
  local-data: "srv.recs.lab SRV 1 2 443 target.recs.lab"
  local-data: "ptr.recs.lab PTR target.recs.lab."
  local-data: "naptr.recs.lab NAPTR 100 10 \"u\" \"E2U+sip\" \"!^.*$!sip:x@recs.lab!\" ."
  local-data: 'caa.recs.lab CAA 0 issue "ca.recs.lab"'
  local-data: "sshfp.recs.lab SSHFP 1 1 0123456789abcdef0123456789abcdef01234567"
  local-data: "tlsa.recs.lab TLSA 3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
  local-data: "https.recs.lab HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 port=8443"
  local-data: "svcb.recs.lab SVCB 2 target.recs.lab mandatory=alpn alpn=dot key65333=abc"
  local-data: "loc.recs.lab LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m"
  local-data: "loc2.recs.lab LOC 1 S 2 3 W 100"
  local-data: 'uri.recs.lab URI 10 1 "https://recs.lab/a b"'
  local-data: "eui.recs.lab EUI48 00-00-5e-00-53-2a"
  local-data: "eui.recs.lab EUI64 00-00-5e-ef-10-00-00-2a"
  local-data: "nid.recs.lab NID 10 0014:4fff:ff20:ee64"
  local-data: "l32.recs.lab L32 10 10.1.2.0"
  local-data: "lp.recs.lab LP 10 l32.recs.lab"
  local-data: "afsdb.recs.lab AFSDB 1 afs.recs.lab"
  local-data: "rp.recs.lab RP admin.recs.lab info.recs.lab"
  local-data: "hinfo.recs.lab HINFO PC Linux"
  local-data: "cert.recs.lab CERT 1 2 3 AQID"
  local-data: "csync.recs.lab CSYNC 66 3 A NS AAAA"
  local-data: "dname.recs.lab DNAME elsewhere.lab"
  local-data: "ds.recs.lab DS 1 8 1 0011223344556677889900112233445566778899"
  local-data: "key.recs.lab DNSKEY 256 3 8 AwEAAQ=="
  local-data: "nsec.recs.lab NSEC recs.lab A NSEC TYPE65280"
  local-data: "type.recs.lab TYPE65280 \# 3 010203"
  local-data: "known.recs.lab TYPE1 \# 4 c0000205"
  local-data: "zero.recs.lab 0 A 192.0.2.1"
  local-data: "units.recs.lab 1w2d3h4m5s A 192.0.2.1"
  local-data: "esc\.aped.recs.lab A 192.0.2.1"
  local-data: "*.wild.recs.lab A 192.0.2.1"
  local-data-ptr: "192.0.2.200 twohundred.recs.lab"
  local-data-ptr: "2001:db8::200 1h twohundred.recs.lab"
"#;

pub(crate) fn records() -> Vec<Probe> {
    let named: [(&str, &[u16]); 43] = [
        ("recs.lab", &[SOA, NS, A, DS]),
        ("many.recs.lab", &[A, AAAA, ANY]),
        ("mixed.recs.lab", &[A, CNAME, TXT]),
        ("other.recs.lab", &[A, CNAME, TXT]),
        ("mx.recs.lab", &[MX]),
        ("txt.recs.lab", &[TXT]),
        ("quotes.recs.lab", &[TXT]),
        ("srv.recs.lab", &[SRV]),
        ("ptr.recs.lab", &[PTR]),
        ("naptr.recs.lab", &[35]),
        ("caa.recs.lab", &[257]),
        ("sshfp.recs.lab", &[44]),
        ("tlsa.recs.lab", &[52]),
        ("https.recs.lab", &[HTTPS]),
        ("svcb.recs.lab", &[64]),
        ("loc.recs.lab", &[29]),
        ("loc2.recs.lab", &[29]),
        ("uri.recs.lab", &[256]),
        ("eui.recs.lab", &[108, 109]),
        ("nid.recs.lab", &[104]),
        ("l32.recs.lab", &[105]),
        ("lp.recs.lab", &[107]),
        ("afsdb.recs.lab", &[18]),
        ("rp.recs.lab", &[17]),
        ("hinfo.recs.lab", &[13]),
        ("cert.recs.lab", &[37]),
        ("csync.recs.lab", &[62]),
        ("dname.recs.lab", &[DNAME]),
        ("x.dname.recs.lab", &[A]),
        ("ds.recs.lab", &[DS, A]),
        ("key.recs.lab", &[DNSKEY]),
        ("nsec.recs.lab", &[NSEC]),
        ("type.recs.lab", &[65280]),
        ("known.recs.lab", &[A]),
        ("zero.recs.lab", &[A]),
        ("units.recs.lab", &[A]),
        ("esc\\.aped.recs.lab", &[A]),
        ("aped.recs.lab", &[A]),
        ("wild.recs.lab", &[A]),
        ("x.wild.recs.lab", &[A]),
        ("*.wild.recs.lab", &[A]),
        ("200.2.0.192.in-addr.arpa", &[PTR, A]),
        (
            "0.0.2.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
            &[PTR, A],
        ),
    ];
    let mut probes: Vec<_> = named
        .iter()
        .flat_map(|(name, types)| product(&[name], types))
        .collect();
    for (size, dnssec_ok) in [(512, false), (1232, true), (4096, true)] {
        for name in [
            "many.recs.lab",
            "none.recs.lab",
            "key.recs.lab",
            "nsec.recs.lab",
        ] {
            for qtype in [A, DNSKEY, NSEC, DS] {
                probes.push(Probe::new(name, qtype).with(|query| query.edns(size, dnssec_ok)));
            }
        }
    }
    probes
}

/// Names of the built-in zones and beside them.
pub(crate) fn built_in() -> Vec<Probe> {
    let mut names = vec![
        "localhost".to_owned(),
        "a.localhost".to_owned(),
        "a.b.localhost".to_owned(),
        "127.in-addr.arpa".to_owned(),
        "1.0.0.127.in-addr.arpa".to_owned(),
        "2.0.0.127.in-addr.arpa".to_owned(),
        "0.0.127.in-addr.arpa".to_owned(),
        "home.arpa".to_owned(),
        "x.home.arpa".to_owned(),
        "onion".to_owned(),
        "x.onion".to_owned(),
        "test".to_owned(),
        "x.test".to_owned(),
        "invalid".to_owned(),
        "x.invalid".to_owned(),
        "resolver.arpa".to_owned(),
        "_dns.resolver.arpa".to_owned(),
        "service.arpa".to_owned(),
        "local".to_owned(),
        "ip6.arpa".to_owned(),
        "in-addr.arpa".to_owned(),
        "arpa".to_owned(),
        ".".to_owned(),
    ];
    for last in ["0.", "1.", "1.0."] {
        names.push(format!("{last}{}ip6.arpa", "0.".repeat(33 - last.len())));
        names.push(format!("{last}{}ip6.arpa", "0.".repeat(31)));
    }
    let reverse = [
        "10",
        "16.172",
        "31.172",
        "32.172",
        "15.172",
        "168.192",
        "0",
        "64.100",
        "127.100",
        "128.100",
        "63.100",
        "254.169",
        "2.0.192",
        "100.51.198",
        "113.0.203",
        "255.255.255.255",
        "255.255.255",
    ];
    for net in reverse {
        names.push(format!("{net}.in-addr.arpa"));
        names.push(format!("1.{net}.in-addr.arpa"));
    }
    for net in ["d.f", "8.e.f", "b.e.f", "c.e.f", "8.b.d.0.1.0.0.2", "c.f"] {
        names.push(format!("{net}.ip6.arpa"));
        names.push(format!("1.{net}.ip6.arpa"));
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    product(&names, &[A, AAAA, SOA, NS, PTR, DS, ANY])
}

pub(crate) const OVERRIDDEN: &str = r#"
  unblock-lan-zones: yes
  local-zone: localhost nodefault
  local-zone: "Onion." nodefault
  local-zone: test transparent
  local-zone: invalid always_refuse
  local-zone: d.f.ip6.arpa static
  local-zone: duplicate.lab static
  local-zone: duplicate.lab refuse
  local-data: "x.test A 192.0.2.1"
  local-data: "2.0.0.127.in-addr.arpa PTR two.lab"
  local-data: "1.10.in-addr.arpa PTR x.lab"
"#;

pub(crate) const IMPLIED: &str = r#"
  local-data: "a.x.first.lab A 192.0.2.1"
  local-data: "b.x.first.lab A 192.0.2.2"
  local-data: "y.second.lab AAAA 2001:db8::1"
  local-data: "lab SOA ns.lab. hostmaster.lab. 1 2 3 4 5"
  local-data: "mydata.server. CH A 192.0.2.1"
  local-data: 'myd3.server. CH TXT "a text record"'
  local-data: "h.first.lab HS A 192.0.2.7"
"#;

/// Data that shares no top: the root becomes a transparent zone.
pub(crate) const IMPLIED_ROOT: &str = r#"
  local-data: "one.first A 192.0.2.1"
  local-data: "two.second A 192.0.2.2"
"#;

pub(crate) fn implied() -> Vec<Probe> {
    let names = [
        "a.x.first.lab",
        "x.first.lab",
        "first.lab",
        "q.a.x.first.lab",
        "y.second.lab",
        "lab",
        "other.lab",
        "one.first",
        "first",
        "two.second",
        "x.two.second",
        "second",
        "third",
        ".",
    ];
    let mut probes = product(&names, &[A, AAAA, SOA, DS, ANY]);
    for name in [
        "mydata.server",
        "myd3.server",
        "server",
        "none.server",
        "id.server",
    ] {
        probes.extend(
            product(&[name], &[A, TXT])
                .into_iter()
                .map(|probe| probe.with(|query| query.class(CHAOS))),
        );
    }
    probes.extend(
        product(&["h.first.lab"], &[A, TXT])
            .into_iter()
            .map(|probe| probe.with(|query| query.class(4))),
    );
    probes
}

pub(crate) const ALIASES: &str = r#"
  local-zone: away.lab redirect
  local-data: "away.lab 77 CNAME www.Upstream.example"
  local-zone: inform-away.lab inform_redirect
  local-data: "inform-away.lab CNAME nx.upstream.example"
  local-zone: wild.lab redirect
  local-data: "wild.lab 77 CNAME *.wild.upstream.example"
  local-zone: chain.lab redirect
  local-data: "chain.lab CNAME cname.upstream.example"
  local-zone: nodata.lab redirect
  local-data: "nodata.lab CNAME nodata.upstream.example"
  local-zone: failing.lab redirect
  local-data: "failing.lab CNAME servfail.upstream.example"
  local-zone: to-local.lab redirect
  local-data: "to-local.lab CNAME host.static.lab"
  local-zone: static.lab static
  local-data: "host.static.lab A 192.0.2.1"
  local-data: "cname.static.lab CNAME www.upstream.example"
"#;

pub(crate) fn aliases() -> Vec<Probe> {
    let names = [
        "away.lab",
        "x.away.lab",
        "inform-away.lab",
        "x.inform-away.lab",
        "x.wild.lab",
        "wild.lab",
        "chain.lab",
        "x.chain.lab",
        "nodata.lab",
        "failing.lab",
        "cname.static.lab",
        "none.static.lab",
    ];
    let mut probes = product(&names, &[A, AAAA, CNAME, MX, SOA, TXT, NS, DS, PTR]);
    let label = "a".repeat(60);
    let long = format!("{label}.{label}.{label}.{}.wild.lab", "b".repeat(57));
    probes.push(Probe::new(&long, A));
    probes.push(Probe::new(&long, CNAME));
    for size in [512, 1232] {
        for name in ["x.away.lab", "x.wild.lab", "x.chain.lab"] {
            for dnssec_ok in [false, true] {
                probes.push(Probe::new(name, A).with(|query| query.edns(size, dnssec_ok)));
            }
        }
    }
    for name in ["away.lab", "x.wild.lab"] {
        probes.push(Probe::new(name, A).with(|query| query.flags(false, false)));
        probes.push(Probe::new(name, A).with(|query| query.flags(true, true)));
    }
    probes
}

pub(crate) const ACCESS: &str = r#"
  access-control: 127.0.0.2/32 deny
  access-control: 127.0.0.3/32 refuse
  access-control: 127.0.0.4/32 allow
  access-control: 127.0.0.5/32 allow_setrd
  access-control: 127.0.0.6/32 allow_snoop
  access-control: 127.0.0.7/32 deny_non_local
  access-control: 127.0.0.8/32 refuse_non_local
  access-control: 127.1.0.0/16 refuse
  access-control: 127.1.2.0/24 allow
  access-control: 127.1.2.128/25 deny
  access-control: 127.1.2.130/32 allow
  access-control: 127.2.0.0/16 allow
  access-control: 127.2.0.0/16 refuse
  access-control: ::1/128 refuse_non_local
  local-zone: local.lab static
  local-zone: denied.lab deny
  local-zone: refused.lab refuse
  local-zone: away.lab redirect
  local-data: "away.lab CNAME www.upstream.example"
  local-data: "local.lab SOA ns.local.lab. hostmaster.local.lab. 7 3600 900 86400 60"
  local-data: "local.lab A 192.0.2.1"
"#;

pub(crate) fn access() -> Vec<Probe> {
    const SOURCES: [&str; 15] = [
        "127.0.0.1",
        "127.0.0.2",
        "127.0.0.3",
        "127.0.0.4",
        "127.0.0.5",
        "127.0.0.6",
        "127.0.0.7",
        "127.0.0.8",
        "127.1.1.1",
        "127.1.2.3",
        "127.1.2.129",
        "127.1.2.130",
        "127.2.3.4",
        "127.255.255.254",
        "::1",
    ];
    let mut probes: Vec<_> = SOURCES.into_iter().flat_map(access_from).collect();
    // What is in the cache is shown to those who may snoop, and to nobody else without RD.
    for source in ["127.0.0.4", "127.0.0.6"] {
        let name = "unasked-127-0-0-4.upstream.example";
        let probe = Probe::new(name, A).from(source.parse().expect("an address"));
        probes.push(probe.with(|query| query.flags(false, false)));
    }
    probes
}

fn access_from(source: &str) -> Vec<Probe> {
    // Only what no one has asked with RD=1 before: what Unbound has in its cache else shows to snoopers.
    let unasked = format!(
        "unasked-{}.upstream.example",
        source.replace([':', '.'], "-")
    );
    let may_snoop = source == "127.0.0.6";
    let source: IpAddr = source.parse().expect("an address");
    let mut probes = Vec::new();
    let local = [
        "local.lab",
        "none.local.lab",
        "denied.lab",
        "refused.lab",
        "id.server",
    ];
    for (name, rd) in local.iter().flat_map(|name| [(name, true), (name, false)]) {
        let class = if *name == "id.server" { CHAOS } else { 1 };
        let probe = Probe::new(name, TXT).from(source);
        let probe = probe.with(|query| query.flags(rd, false).class(class));
        probes.push(probe.clone());
        probes.push(probe.with(|query| query.edns(1232, true)));
    }
    for (name, rd) in [&unasked[..], "away.lab"]
        .into_iter()
        .flat_map(|name| [(name, true), (name, false)])
    {
        if rd || !may_snoop {
            let probe = Probe::new(name, A).from(source);
            probes.push(probe.clone().with(|query| query.flags(rd, true)));
            probes.push(probe.with(|query| query.flags(rd, false).edns(1232, true)));
        }
    }
    probes
}

pub(crate) const CHAOS_SHOWN: &str = r#"
  identity: "some identity"
  version: "some version"
  local-zone: server static
"#;

pub(crate) const CHAOS_HIDDEN: &str = "
  hide-identity: yes
  hide-version: yes
  hide-trustanchor: yes
";

pub(crate) fn chaos() -> Vec<Probe> {
    let names = [
        "id.server",
        "ID.Server",
        "hostname.bind",
        "version.server",
        "version.bind",
        "trustanchor.unbound",
        "authors.bind",
        "bind",
    ];
    let mut probes = Vec::new();
    for probe in product(&names, &[TXT, ANY, A]) {
        probes.push(probe.clone().with(|query| query.class(CHAOS)));
        probes.push(
            probe
                .clone()
                .with(|query| query.class(CHAOS).edns(1232, true)),
        );
        probes.push(probe.with(|query| query.class(CHAOS).flags(false, true)));
    }
    probes
}

/// Against [`RECORDS`]: odd types, classes and flags.
pub(crate) fn types_and_flags() -> Vec<Probe> {
    let mut probes = Vec::new();
    for qtype in [
        0, 41, 127, 128, 248, 249, 250, 251, 252, 253, 254, 255, 256, 65280, 65535,
    ] {
        for name in ["many.recs.lab", "none.recs.lab"] {
            probes.push(Probe::new(name, qtype));
            probes.push(
                Probe::new(name, qtype).with(|query| query.edns(1400, true).flags(false, true)),
            );
        }
    }
    for qclass in [0, 2, 3, 4, 254, 256, 65535] {
        probes.push(Probe::new("many.recs.lab", A).with(|query| query.class(qclass)));
        probes.push(
            Probe::new("many.recs.lab", A).with(|query| query.class(qclass).edns(1232, false)),
        );
    }
    for (rd, cd) in [(false, false), (false, true), (true, false), (true, true)] {
        for name in ["many.recs.lab", "none.recs.lab", "MaNy.ReCs.LaB"] {
            probes.push(Probe::new(name, A).with(|mut query| {
                query.ad = true;
                query.flags(rd, cd)
            }));
        }
    }
    for size in [0, 100, 511, 512, 513, 4096, 65535] {
        probes.push(Probe::new("many.recs.lab", A).with(|query| query.edns(size, true)));
    }
    probes
}

/// Lines that Unbound's check takes or refuses.
pub(crate) const MISTAKES: &[&str] = &[
    "  local-data: \"x.lab A 192.0.2.1\"",
    "  local-data: \"x.lab A 192.0.2.256\"",
    "  local-data: \"x.lab\"",
    "  local-data: \"x.lab NOSUCH 1\"",
    "  local-data: \"x..lab A 192.0.2.1\"",
    "  local-data: \".x.lab A 192.0.2.1\"",
    "  local-data: \"x.lab 3600 A 192.0.2.1\"",
    "  local-data: \"x.lab IN 3600 A 192.0.2.1\"",
    "  local-data: \"x.lab 1h30 A 192.0.2.1\"",
    "  local-data: \"x.lab 99999999999 A 192.0.2.1\"",
    "  local-data: \"x.lab AAAA 192.0.2.1\"",
    "  local-data: \"x.lab MX x.lab\"",
    "  local-data: \"x.lab TYPE65280 \\# 3 0102\"",
    "  local-data: \"x.lab TYPE65280 \\# 3 010203\"",
    "  local-data: \"@ A 192.0.2.1\"",
    "  local-data: \". A 192.0.2.1\"",
    "  local-data: \"x.lab CLASS7 A 192.0.2.1\"",
    "  local-data: \"x.lab DS 1 8 1 0011223344556677889900112233445566778899\"",
    "  local-zone: r.lab redirect\n  local-data: \"x.r.lab A 192.0.2.1\"",
    "  local-zone: r.lab redirect\n  local-data: \"r.lab A 192.0.2.1\"\n  local-data: \"r.lab CNAME x.lab\"",
    "  local-zone: r.lab redirect\n  local-data: \"r.lab CNAME y.lab\"\n  local-data: \"r.lab CNAME x.lab\"",
    "  local-zone: r.lab redirect\n  local-data: \"r.lab CNAME x.lab\"",
    "  local-zone: r.lab inform_redirect\n  local-data: \"r.lab CNAME x.lab\"\n  local-data: \"r.lab A 192.0.2.1\"",
    "  local-zone: \"a..b\" static",
    "  local-zone: . static",
    "  local-zone: x.lab static\n  local-zone: x.lab refuse",
    "  local-zone: x.lab nosuch",
    "  local-zone: x.lab",
    "  local-data-ptr: \"192.0.2.1 x.lab\"",
    "  local-data-ptr: \"192.0.2.1\"",
    "  local-data-ptr: \"x.lab 192.0.2.1\"",
    "  access-control: 192.0.2.0/24 allow",
    "  access-control: 192.0.2.0/33 allow",
    "  access-control: 192.0.2.0/24 perhaps",
    "  access-control: x.lab allow",
];

/// Lines that Unbound's check takes and we refuse. Where data ends too early, Unbound would answer with records that
/// nobody can read, or with a text that goes on to the end of the line; tags with a CNAME beside other data, and
/// `response-ip` without its module, keep it from starting.
pub(crate) const REFUSED_BY_US_ONLY: &[&str] = &[
    "  local-data: \"x.lab A\"",
    "  response-ip: 192.0.2.0/24 deny",
    "  local-data: \"x.lab MX 10\"",
    "  local-data: \"x.lab TXT\"",
    "  local-data: 'x.lab TXT \"open'",
    "  define-tag: a\n  access-control-tag-data: 127.0.0.0/8 a \"A 192.0.2.1\"\n  access-control-tag-data: 127.0.0.0/8 a \"CNAME x.lab\"",
    "  define-tag: a\n  access-control-tag-data: 127.0.0.0/8 a \"CNAME x.lab\"\n  access-control-tag-data: 127.0.0.0/8 a \"A 192.0.2.1\"",
];
