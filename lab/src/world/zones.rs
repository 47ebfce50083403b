use std::fmt::Write;

use super::Manners;
use super::zone::{Algorithm, Denial, Ds, Family, Period, Zone};

/// The zones of the usual world.
pub fn zones() -> Vec<Zone> {
    let mut zones = top();
    zones.extend(good());
    zones.extend(aliases());
    zones.extend(unsigned());
    zones.extend(bogus());
    zones.extend(reverse());
    zones.extend(ill_mannered());
    zones.extend(attackers());
    zones
}

const P256: Algorithm = Algorithm::EcdsaP256;

/// The root and the top-level domains, each with another algorithm and another kind of denial.
fn top() -> Vec<Zone> {
    vec![
        Zone::new(".", "")
            .signed(P256, Denial::Nsec)
            .over(Family::Both),
        Zone::new("alpha.", CIRCLE_ALPHA)
            .signed(P256, Denial::Nsec)
            .over(Family::Both),
        Zone::new("beta.", CIRCLE_BETA).signed(Algorithm::RsaSha256, Denial::Nsec3(0)),
        Zone::new("gamma.", "").signed(Algorithm::EcdsaP384, Denial::OptOut),
        Zone::new("plain.", "").served(&[Manners::Good, Manners::Good]),
    ]
}

/// Two zones whose only name servers are in each other.
const CIRCLE_ALPHA: &str = "circle NS ns.circle.beta.\n";
const CIRCLE_BETA: &str = "circle NS ns.circle.alpha.\n";

fn good() -> Vec<Zone> {
    vec![
        Zone::new("good.alpha.", &good_alpha()).signed(P256, Denial::Nsec),
        Zone::new("sub.good.alpha.", "@ A 192.0.2.30\nwww A 192.0.2.31\n")
            .signed(Algorithm::Ed25519, Denial::Nsec),
        Zone::new("good.beta.", GOOD_BETA).signed(Algorithm::RsaSha256, Denial::Nsec3(5)),
        Zone::new("good.gamma.", GOOD_GAMMA).signed(Algorithm::Ed25519, Denial::Nsec3(0)),
        Zone::new("good.plain.", GOOD_PLAIN),
        Zone::new("deep.alpha.", &deep()).signed(P256, Denial::Nsec),
        Zone::new("deep.beta.", &deep()).signed(P256, Denial::Nsec3(0)),
        Zone::new("six.alpha.", "www A 192.0.2.6\n")
            .signed(P256, Denial::Nsec)
            .over(Family::V6),
        // Its name server's name is in another zone.
        Zone::new("glueless.alpha.", "www A 192.0.2.70\n")
            .signed(P256, Denial::Nsec)
            .name_server("glueless-ns.good.beta."),
    ]
}

fn good_alpha() -> String {
    let mut text = GOOD_ALPHA.to_owned();
    for number in 1..=60 {
        let _ = writeln!(text, "many A 198.51.100.{number}");
    }
    for number in 0..12 {
        let _ = writeln!(text, "big TXT \"{number} {}\"", "x".repeat(240));
    }
    text
}

const GOOD_ALPHA: &str = r#"
@ A 192.0.2.1
@ AAAA 2001:db8::1
@ MX 10 mail
@ MX 20 mail.good.beta.
@ TXT "v=spf1 -all"
@ CAA 0 issue "ca.good.plain"
mail A 192.0.2.25
www A 192.0.2.80
www AAAA 2001:db8::80
_sip._udp SRV 0 5 5060 www
svc HTTPS 1 . alpn=h2
any A 192.0.2.85
any TXT "any"
odd TYPE65280 \# 4 01020304
short 7 A 192.0.2.7
alias CNAME www
chain CNAME chain.good.beta.
secure-chain CNAME secure-chain.good.beta.
into-insecure CNAME www.unsigned.alpha.
into-expired CNAME www.expired.alpha.
into-tampered CNAME www.tampered.alpha.
into-nothing CNAME none.good.beta.
into-dead CNAME www.gone.plain.
into-loop CNAME a.loop.alpha.
to-nodata CNAME only-txt
only-txt TXT "only"
a.b.c.ent A 192.0.2.2
*.wild A 192.0.2.90
*.wild TXT "wild"
exists.wild AAAA 2001:db8::90
*.cname-wild CNAME www.good.beta.
*.nothing-wild CNAME none.good.alpha.
"#;

const GOOD_BETA: &str = r#"
@ A 192.0.2.3
mail A 192.0.2.26
www A 192.0.2.81
chain CNAME chain.good.gamma.
secure-chain CNAME www.good.gamma.
only-txt TXT "only"
a.b.c.ent A 192.0.2.4
*.wild A 192.0.2.91
exists.wild AAAA 2001:db8::91
any A 192.0.2.86
any TXT "any"
glueless-ns A <glueless.alpha.>
"#;

const GOOD_GAMMA: &str = r"
@ A 192.0.2.5
www A 192.0.2.82
chain CNAME www.good.plain.
";

const GOOD_PLAIN: &str = r#"
@ A 192.0.2.8
@ MX 10 www
www A 192.0.2.83
alias CNAME www
any A 192.0.2.87
any TXT "any"
secure CNAME www.good.alpha.
*.wild TXT "wild"
zero 0 A 192.0.2.84
"#;

/// How many labels the deepest name has below its zone.
const DEEP_LABELS: usize = 40;

fn deep() -> String {
    let labels: Vec<_> = (1..=DEEP_LABELS).map(|n| n.to_string()).collect();
    let long = "l".repeat(60);
    format!(
        "{} A 192.0.2.40\n{long}.{long}.{long} A 192.0.2.41\n",
        labels.join(".")
    )
}

fn aliases() -> Vec<Zone> {
    vec![
        Zone::new("dname.alpha.", &dname("alpha")).signed(P256, Denial::Nsec),
        Zone::new("dname.beta.", &dname("beta")).signed(P256, Denial::Nsec3(0)),
        Zone::new("dname.plain.", &dname("plain")),
        Zone::new("loop.alpha.", &circles("loop.beta.")).signed(P256, Denial::Nsec),
        Zone::new("loop.beta.", "across CNAME across.loop.alpha.\n").signed(P256, Denial::Nsec3(0)),
    ]
}

fn dname(top: &str) -> String {
    let long = "l".repeat(60);
    format!(
        "old DNAME new.dname.{top}.\nwww.new A 192.0.2.50\nout DNAME good.gamma.\ninto-plain DNAME good.plain.\n\
         long DNAME {long}.{long}.{long}.dname.{top}.\nloop DNAME loop.dname.{top}.\n"
    )
}

/// Aliases that lead back to themselves, and a long way that doesn't.
fn circles(other: &str) -> String {
    let mut text = format!("a CNAME b\nb CNAME a\nself CNAME self\nacross CNAME across.{other}\n");
    for number in 0..20 {
        let _ = writeln!(text, "c{number} CNAME c{}", number + 1);
    }
    text.push_str("c20 A 192.0.2.60\n");
    text
}

/// Below a signed parent, and insecure.
fn unsigned() -> Vec<Zone> {
    const UNSIGNED: &str =
        "@ A 192.0.2.100\nwww A 192.0.2.101\nalias CNAME www.good.alpha.\n*.wild A 192.0.2.102\n";
    vec![
        Zone::new("unsigned.alpha.", UNSIGNED),
        Zone::new("unsigned.beta.", UNSIGNED),
        Zone::new("unsigned.gamma.", UNSIGNED),
        Zone::new("island.unsigned.alpha.", UNSIGNED).signed(P256, Denial::Nsec),
        Zone::new("no-ds.alpha.", UNSIGNED)
            .signed(P256, Denial::Nsec)
            .ds(Ds::Missing),
        Zone::new("unknown.alpha.", UNSIGNED)
            .signed(P256, Denial::Nsec)
            .ds(Ds::Unknown),
    ]
}

/// Whose signatures don't hold.
fn bogus() -> Vec<Zone> {
    const BOGUS: &str =
        "@ A 192.0.2.110\nwww A 192.0.2.111\ntxt TXT \"intact\"\n*.wild A 192.0.2.112\n";
    let signed = |name: &str| Zone::new(name, BOGUS).signed(P256, Denial::Nsec);
    vec![
        signed("expired.alpha.").period(Period::Past),
        Zone::new("expired.beta.", BOGUS)
            .signed(Algorithm::RsaSha256, Denial::Nsec3(0))
            .period(Period::Past),
        signed("future.alpha.").period(Period::Future),
        signed("tampered.alpha.").tampered("192.0.2.111", "192.0.2.211"),
        signed("wrong-ds.alpha.").ds(Ds::Wrong),
        signed("stripped.alpha.").served(&[Manners::Strips]),
        Zone::new("stripped.beta.", BOGUS)
            .signed(P256, Denial::Nsec3(0))
            .served(&[Manners::Strips]),
        signed("below.expired.alpha."),
    ]
}

fn reverse() -> Vec<Zone> {
    let pointer = |last: &str| {
        let zeros = "0.".repeat(22);
        format!("{last}.{}", zeros.trim_end_matches('.'))
    };
    let records = format!(
        "{} PTR www.good.alpha.\n{} PTR good.alpha.\n",
        pointer("0.8"),
        pointer("1.0")
    );
    vec![
        Zone::new("arpa.", "").signed(P256, Denial::Nsec),
        Zone::new("ip6.arpa.", "").signed(P256, Denial::Nsec),
        Zone::new("8.b.d.0.1.0.0.2.ip6.arpa.", &records).signed(P256, Denial::Nsec),
    ]
}

/// Whose servers misbehave.
fn ill_mannered() -> Vec<Zone> {
    const PLAIN: &str = "@ A 192.0.2.120\nwww A 192.0.2.121\nalias CNAME www.good.plain.\n";
    let zone = |name: &str, servers: &[Manners]| {
        Zone::new(&format!("{name}.plain."), PLAIN).served(servers)
    };
    let signed = |name: &str, servers: &[Manners]| {
        Zone::new(&format!("{name}.alpha."), PLAIN)
            .signed(P256, Denial::Nsec)
            .served(servers)
    };
    vec![
        zone("lame", &[Manners::Lame]),
        zone("half-lame", &[Manners::Lame, Manners::Good]),
        zone("not-authoritative", &[Manners::NotAuthoritative]),
        zone("gone", &[Manners::Gone]),
        zone("half-gone", &[Manners::Gone, Manners::Good]),
        zone("silent", &[Manners::Silent]),
        zone("half-silent", &[Manners::Silent, Manners::Good]),
        zone("slow", &[Manners::Slow(120)]),
        signed("slow", &[Manners::Slow(100)]),
        zone("truncates", &[Manners::Truncates]),
        signed("truncates", &[Manners::Truncates]),
        zone("tcp-only", &[Manners::TcpOnly]),
        zone("no-edns", &[Manners::NoEdns]),
        signed("no-edns", &[Manners::NoEdns]),
        zone("drops-edns", &[Manners::DropsEdns]),
        signed("half-strips", &[Manners::Strips, Manners::Good]),
    ]
}

/// How many name servers an NXNS delegation names.
const SWARM: usize = 40;

fn attackers() -> Vec<Zone> {
    let mut swarm = String::new();
    for delegation in 0..4 {
        for number in 0..SWARM {
            let _ = writeln!(
                swarm,
                "d{delegation} NS n{delegation}-{number}.swarmed.alpha."
            );
        }
    }
    let spoofed: String = (0..20).fold("www A 192.0.2.130\n".to_owned(), |mut text, number| {
        let _ = writeln!(text, "w{number} A 192.0.2.{}", 131 + number);
        text
    });
    vec![
        Zone::new("spoofed.plain.", &spoofed).served(&[Manners::Spoofed]),
        Zone::new("misasked.plain.", &spoofed).served(&[Manners::WrongQuestions]),
        Zone::new("victim.plain.", "www A 192.0.2.160\n"),
        Zone::new("swarm.plain.", &swarm),
        Zone::new("swarmed.alpha.", "www A 192.0.2.161\n").served(&[Manners::Watched]),
    ]
}
