use sluicegate_lab::wire::rtype::{
    A, AAAA, ANY, CNAME, DNAME, DNSKEY, MX, NS, NSEC, PTR, RRSIG, SOA, SRV, TXT,
};

/// A name, a type, and what comes of it where checking isn't disabled.
pub(crate) type Question = (&'static str, u16, Fate);

/// What must come of a question, whoever resolves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// NOERROR or NXDOMAIN with AD.
    Secure,
    /// NOERROR or NXDOMAIN without AD.
    Insecure,
    /// SERVFAIL, but data for those who disable checking.
    Bogus,
    /// SERVFAIL for everybody.
    Fails,
}

use Fate::{Bogus, Fails, Insecure, Secure};

const DS: u16 = 43;
const NSEC3: u16 = 50;
const NSEC3PARAM: u16 = 51;
const CAA: u16 = 257;
const HTTPS: u16 = 65;
const DEEPEST: &str = "1.2.3.4.5.6.7.8.9.10.11.12.13.14.15.16.17.18.19.20.21.22.23.24.25.26.27.28.29.30.31.32.33.34.35.36.37.38.39.40";

/// All questions that both resolvers are asked.
pub(crate) fn questions() -> Vec<(String, u16, Fate)> {
    let mut all: Vec<(String, u16, Fate)> = QUESTIONS
        .iter()
        .map(|(name, qtype, fate)| ((*name).to_owned(), *qtype, *fate))
        .collect();
    let long = "l".repeat(60);
    for top in ["alpha", "beta"] {
        all.push((format!("{DEEPEST}.deep.{top}."), A, Secure));
        all.push((format!("x.{DEEPEST}.deep.{top}."), A, Secure));
        all.push((format!("{long}.{long}.{long}.deep.{top}."), A, Secure));
        all.push((
            format!("20.21.{}.deep.{top}.", &DEEPEST[DEEPEST.len() - 20..]),
            A,
            Secure,
        ));
        // A DNAME makes the name too long: YXDOMAIN, which libunbound does not pass on.
        all.push((format!("{long}.long.dname.{top}."), A, Fails));
    }
    let pointer = |last: &str| format!("{last}.{}8.b.d.0.1.0.0.2.ip6.arpa.", "0.".repeat(22));
    all.push((pointer("0.8"), PTR, Secure));
    all.push((pointer("1.0"), PTR, Secure));
    all.push((pointer("f.f"), PTR, Secure));
    all
}

/// From the top to the bottom of the world.
const QUESTIONS: &[Question] = &[
    // The root and the top.
    (".", SOA, Secure),
    (".", NS, Secure),
    (".", DNSKEY, Secure),
    (".", A, Secure),
    ("none.", A, Secure),
    ("www.none.", AAAA, Secure),
    ("alpha.", DS, Secure),
    ("beta.", DNSKEY, Secure),
    ("gamma.", SOA, Secure),
    ("plain.", NS, Insecure),
    ("plain.", DS, Secure),
    ("none.alpha.", A, Secure),
    ("none.beta.", A, Secure),
    // Behind an opt-out record nothing is proven.
    ("none.gamma.", A, Insecure),
    ("none.plain.", A, Insecure),
    // NSEC.
    ("good.alpha.", A, Secure),
    ("good.alpha.", AAAA, Secure),
    ("good.alpha.", MX, Secure),
    ("good.alpha.", TXT, Secure),
    ("good.alpha.", NS, Secure),
    ("good.alpha.", SOA, Secure),
    ("good.alpha.", DNSKEY, Secure),
    ("good.alpha.", DS, Secure),
    ("good.alpha.", NSEC, Secure),
    ("good.alpha.", CAA, Secure),
    ("good.alpha.", SRV, Secure),
    ("www.good.alpha.", A, Secure),
    ("WWW.Good.ALPHA.", AAAA, Secure),
    ("www.good.alpha.", MX, Secure),
    ("none.good.alpha.", A, Secure),
    ("x.www.good.alpha.", A, Secure),
    ("mail.good.alpha.", A, Secure),
    ("_sip._udp.good.alpha.", SRV, Secure),
    ("svc.good.alpha.", HTTPS, Secure),
    ("odd.good.alpha.", 65_280, Secure),
    ("short.good.alpha.", A, Secure),
    ("many.good.alpha.", A, Secure),
    ("big.good.alpha.", TXT, Secure),
    ("c.ent.good.alpha.", A, Secure),
    ("ent.good.alpha.", TXT, Secure),
    ("a.b.c.ent.good.alpha.", A, Secure),
    ("x.b.c.ent.good.alpha.", A, Secure),
    // Nothing signs signatures.
    ("a.b.c.ent.good.alpha.", RRSIG, Insecure),
    // What is cached of a name decides what ANY finds: nothing else is asked of these.
    ("any.good.alpha.", ANY, Secure),
    ("any.good.beta.", ANY, Secure),
    ("any.good.plain.", ANY, Insecure),
    ("none.good.alpha.", ANY, Secure),
    ("good.beta.", NSEC3, Secure),
    ("good.beta.", NSEC3PARAM, Secure),
    ("good.beta.", RRSIG, Insecure),
    (".", DS, Secure),
    // A zone below.
    ("sub.good.alpha.", A, Secure),
    ("sub.good.alpha.", DS, Secure),
    ("www.sub.good.alpha.", A, Secure),
    ("none.sub.good.alpha.", A, Secure),
    // NSEC3, RSA.
    ("good.beta.", A, Secure),
    ("good.beta.", NS, Secure),
    ("good.beta.", MX, Secure),
    ("good.beta.", DNSKEY, Secure),
    ("good.beta.", DS, Secure),
    ("www.good.beta.", A, Secure),
    ("www.good.beta.", AAAA, Secure),
    ("none.good.beta.", A, Secure),
    ("x.none.good.beta.", A, Secure),
    ("b.c.ent.good.beta.", A, Secure),
    ("a.b.c.ent.good.beta.", A, Secure),
    // Ed25519, below an opt-out parent.
    ("good.gamma.", A, Secure),
    ("good.gamma.", DS, Secure),
    ("good.gamma.", DNSKEY, Secure),
    ("www.good.gamma.", A, Secure),
    ("none.good.gamma.", A, Secure),
    ("www.good.gamma.", TXT, Secure),
    // Not signed at all.
    ("good.plain.", A, Insecure),
    ("good.plain.", MX, Insecure),
    ("good.plain.", DS, Insecure),
    ("www.good.plain.", A, Insecure),
    ("www.good.plain.", AAAA, Insecure),
    ("none.good.plain.", A, Insecure),
    ("zero.good.plain.", A, Insecure),
    ("x.wild.good.plain.", TXT, Insecure),
    // Wildcards.
    ("x.wild.good.alpha.", A, Secure),
    ("x.wild.good.alpha.", TXT, Secure),
    ("x.wild.good.alpha.", AAAA, Secure),
    ("y.x.wild.good.alpha.", A, Secure),
    ("exists.wild.good.alpha.", A, Secure),
    ("exists.wild.good.alpha.", AAAA, Secure),
    ("x.exists.wild.good.alpha.", A, Secure),
    ("*.wild.good.alpha.", A, Secure),
    ("wild.good.alpha.", A, Secure),
    ("x.cname-wild.good.alpha.", A, Secure),
    ("x.nothing-wild.good.alpha.", A, Secure),
    ("x.wild.good.beta.", A, Secure),
    ("x.wild.good.beta.", AAAA, Secure),
    ("y.x.wild.good.beta.", A, Secure),
    ("exists.wild.good.beta.", A, Secure),
    ("x.wild.unsigned.alpha.", A, Insecure),
    // Aliases, within zones and across them.
    ("alias.good.alpha.", A, Secure),
    ("alias.good.alpha.", AAAA, Secure),
    ("alias.good.alpha.", CNAME, Secure),
    ("alias.good.alpha.", TXT, Secure),
    ("alias.good.plain.", A, Insecure),
    ("chain.good.alpha.", A, Insecure),
    ("chain.good.alpha.", MX, Insecure),
    ("secure-chain.good.alpha.", A, Secure),
    ("secure-chain.good.alpha.", TXT, Secure),
    ("into-insecure.good.alpha.", A, Insecure),
    ("into-nothing.good.alpha.", A, Secure),
    ("to-nodata.good.alpha.", A, Secure),
    ("secure.good.plain.", A, Insecure),
    ("into-expired.good.alpha.", A, Bogus),
    ("into-tampered.good.alpha.", A, Bogus),
    ("into-dead.good.alpha.", A, Fails),
    ("www.old.dname.alpha.", A, Secure),
    // libunbound wants a signature of the CNAME that the DNAME makes, when it is asked for just that.
    ("www.old.dname.alpha.", CNAME, Bogus),
    ("old.dname.alpha.", DNAME, Secure),
    ("old.dname.alpha.", A, Secure),
    ("none.old.dname.alpha.", A, Secure),
    ("www.out.dname.alpha.", A, Secure),
    ("www.into-plain.dname.alpha.", A, Insecure),
    ("www.old.dname.beta.", A, Secure),
    ("www.out.dname.beta.", A, Secure),
    ("none.out.dname.beta.", A, Secure),
    ("www.old.dname.plain.", A, Insecure),
    ("www.into-plain.dname.plain.", A, Insecure),
    // Circles.
    ("a.loop.alpha.", A, Fails),
    ("self.loop.alpha.", A, Fails),
    ("self.loop.alpha.", CNAME, Secure),
    ("across.loop.alpha.", A, Fails),
    ("into-loop.good.alpha.", A, Fails),
    ("x.loop.dname.alpha.", A, Bogus),
    ("www.circle.alpha.", A, Fails),
    // Twenty aliases are too many, ten aren't.
    ("c0.loop.alpha.", A, Fails),
    ("c12.loop.alpha.", A, Secure),
    // Insecure delegations.
    ("unsigned.alpha.", A, Insecure),
    ("unsigned.alpha.", DS, Secure),
    ("www.unsigned.alpha.", A, Insecure),
    ("none.unsigned.alpha.", A, Insecure),
    ("alias.unsigned.alpha.", A, Insecure),
    ("unsigned.beta.", DS, Secure),
    ("www.unsigned.beta.", A, Insecure),
    ("none.unsigned.beta.", A, Insecure),
    ("unsigned.gamma.", DS, Insecure),
    ("www.unsigned.gamma.", A, Insecure),
    ("none.unsigned.gamma.", A, Insecure),
    ("www.island.unsigned.alpha.", A, Insecure),
    ("island.unsigned.alpha.", DNSKEY, Insecure),
    ("www.no-ds.alpha.", A, Insecure),
    ("none.no-ds.alpha.", A, Insecure),
    ("www.unknown.alpha.", A, Insecure),
    ("unknown.alpha.", DNSKEY, Insecure),
    ("unknown.alpha.", DS, Secure),
    // Signatures that don't hold.
    ("www.expired.alpha.", A, Bogus),
    ("expired.alpha.", DNSKEY, Bogus),
    ("expired.alpha.", DS, Secure),
    ("none.expired.alpha.", A, Bogus),
    ("x.wild.expired.alpha.", A, Bogus),
    ("www.below.expired.alpha.", A, Bogus),
    ("www.expired.beta.", A, Bogus),
    ("none.expired.beta.", A, Bogus),
    ("www.future.alpha.", A, Bogus),
    ("www.tampered.alpha.", A, Bogus),
    ("txt.tampered.alpha.", TXT, Secure),
    ("none.tampered.alpha.", A, Secure),
    ("www.wrong-ds.alpha.", A, Bogus),
    ("wrong-ds.alpha.", DNSKEY, Bogus),
    ("www.stripped.alpha.", A, Bogus),
    ("none.stripped.alpha.", A, Bogus),
    ("www.stripped.beta.", A, Bogus),
    ("none.stripped.beta.", A, Bogus),
    // Servers that misbehave.
    ("www.lame.plain.", A, Fails),
    ("www.half-lame.plain.", A, Insecure),
    ("www.not-authoritative.plain.", A, Insecure),
    ("www.gone.plain.", A, Fails),
    ("alias.gone.plain.", A, Fails),
    ("www.half-gone.plain.", A, Insecure),
    ("www.silent.plain.", A, Fails),
    ("www.half-silent.plain.", A, Insecure),
    ("www.slow.plain.", A, Insecure),
    ("www.slow.alpha.", A, Secure),
    ("none.slow.alpha.", A, Secure),
    ("www.truncates.plain.", A, Insecure),
    ("www.truncates.alpha.", A, Secure),
    ("none.truncates.alpha.", TXT, Secure),
    ("www.tcp-only.plain.", A, Fails),
    ("www.no-edns.plain.", A, Insecure),
    ("www.no-edns.alpha.", A, Bogus),
    // Nobody leaves EDNS out for a silent server any more (DNS flag day 2019).
    ("www.drops-edns.plain.", A, Fails),
    ("www.half-strips.alpha.", A, Secure),
    // Servers that are hard to find.
    ("www.six.alpha.", A, Secure),
    ("none.six.alpha.", A, Secure),
    ("www.glueless.alpha.", A, Secure),
    ("www.d0.swarm.plain.", A, Fails),
    ("www.swarmed.alpha.", A, Insecure),
    // Servers that lie.
    ("www.spoofed.plain.", A, Insecure),
    ("www.spoofed.plain.", TXT, Insecure),
    ("www.misasked.plain.", A, Fails),
    ("www.victim.plain.", A, Insecure),
];
