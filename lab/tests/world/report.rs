use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Result, ensure};
use sluicegate_lab::scene::Path;
use sluicegate_lab::wire::{Message, Record, rcode};

use crate::asked::Asked;
use crate::questions::Fate;

/// Where we differ from Debian's Unbound, and why: part of what is asked, part of what differs, the reason.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "",
        "truncated",
        "what we truncate is empty; Unbound keeps what fits, and AD",
    ),
    (
        " CD",
        "AD where Unbound has none",
        "Unbound answers CD=1 from its cache before it has validated",
    ),
    (
        " CD",
        "lives no longer than val-bogus-ttl",
        "what is bogus is kept for val-bogus-ttl only; Unbound keeps its TTL",
    ),
    (
        "dname.",
        "lives no longer than val-bogus-ttl",
        "behind a DNAME libunbound may miss a key at first; what it took for bogus keeps the short TTL",
    ),
    (
        "",
        "EDE, more exactly",
        "libunbound says why data is bogus; Unbound 1.17 only that it is (6), or 9 at first",
    ),
];

/// As much as the header of an answer says; RD and RA too.
const ALL_FLAGS: u16 = 0xfff0;
const AD: u16 = 0x20;
/// Both were asked for the first time within that many seconds, on a busy machine too.
const TTL_SLACK_SECS: u32 = 30;
/// The default of `val-bogus-ttl`.
const BOGUS_TTL_SECS: u32 = 60;
/// INFO-CODEs of RFC 8914, 4.
const DNSSEC_BOGUS: u16 = 6;
const DNSKEY_MISSING: u16 = 9;
const BOGUS_ERRORS: [u16; 7] = [DNSSEC_BOGUS, 7, 8, DNSKEY_MISSING, 10, 11, 12];
const NO_REACHABLE_AUTHORITY: u16 = 22;
/// Part of the name, and the extended error that we give.
const ERRORS: &[(&str, u16)] = &[
    ("expired.", 7),
    ("future.", 8),
    ("wrong-ds.", DNSKEY_MISSING),
    ("stripped.", 10),
    ("no-edns.", 10),
];
const OPTION_EDE: u16 = 15;

/// What was compared, and what was not as it must be.
pub(crate) struct Report {
    /// Whether each question must come to what is said of it.
    pub(crate) fates: bool,
    compared: usize,
    meant: BTreeMap<&'static str, usize>,
    wrong: BTreeSet<String>,
}

impl Report {
    pub(crate) fn new(fates: bool) -> Self {
        Self {
            fates,
            compared: 0,
            meant: BTreeMap::new(),
            wrong: BTreeSet::new(),
        }
    }

    pub(crate) fn compare(&mut self, path: Path, asked: &Asked, ours: &Message, theirs: &Message) {
        self.compared += 1;
        self.expect("Sluicegate", asked, ours);
        self.expect_error(asked, ours);
        for difference in differences(ours, theirs) {
            let text = asked.text();
            let meant = DIFFERENCES
                .iter()
                .find(|(what, how, _)| text.contains(what) && difference.contains(how));
            match meant {
                Some((_, _, reason)) => *self.meant.entry(reason).or_default() += 1,
                None => {
                    self.wrong.insert(format!("{text}: {path}: {difference}"));
                }
            }
        }
    }

    /// Whether what came of a question is what must, for any resolver.
    pub(crate) fn expect(&mut self, who: &str, asked: &Asked, answer: &Message) {
        let disabled = asked.query.cd;
        let secure = answer.flags & AD != 0;
        let found = matches!(answer.rcode(), rcode::NOERROR | rcode::NXDOMAIN);
        let right = match asked.fate {
            Fate::Secure => {
                let wanted = asked.query.dnssec_ok || asked.query.ad;
                found && (secure == wanted || answer.truncated() || !secure && disabled)
            }
            Fate::Insecure => found && !secure,
            Fate::Bogus if disabled => found && !secure,
            Fate::Bogus | Fate::Fails => answer.rcode() == rcode::SERVFAIL,
        };
        if self.fates && !right {
            let (code, fate) = (answer.rcode(), asked.fate);
            let ad = if secure { ", AD" } else { "" };
            let text = format!("{}: {who} has code {code}{ad}, not {fate:?}", asked.text());
            self.wrong.insert(text);
        }
    }

    /// Whether a failure of ours says why: what has failed before may be said to be just bogus.
    fn expect_error(&mut self, asked: &Asked, answer: &Message) {
        if !self.fates || answer.rcode() != rcode::SERVFAIL || answer.edns.is_none() {
            return;
        }
        let named = ERRORS
            .iter()
            .find(|(part, _)| asked.query.name.contains(part));
        let expected = match (asked.fate, named) {
            (Fate::Fails, _) => NO_REACHABLE_AUTHORITY,
            (_, Some((_, code))) => *code,
            (_, None) => DNSSEC_BOGUS,
        };
        let found = extended_errors(answer);
        let bogus = asked.fate == Fate::Bogus && found == [DNSSEC_BOGUS].into();
        // Of what no zone's fault explains, libunbound may say so at first, as Unbound does: seen behind a DNAME.
        let at_first =
            named.is_none() && asked.fate == Fate::Bogus && found == [DNSKEY_MISSING].into();
        if found != [expected].into() && !bogus && !at_first {
            let text = format!("{}: our EDE is {found:?}, not {expected}", asked.text());
            self.wrong.insert(text);
        }
    }

    #[expect(clippy::print_stdout, reason = "how much was compared")]
    pub(crate) fn finish(self) -> Result<()> {
        println!("{} answers compared; differences meant:", self.compared);
        for (reason, count) in &self.meant {
            println!("  {count}: {reason}");
        }
        let mut text = String::new();
        for line in &self.wrong {
            let _ = writeln!(text, "{line}");
        }
        ensure!(
            self.wrong.is_empty(),
            "{} differ:\n{text}",
            self.wrong.len()
        );
        Ok(())
    }
}

/// Records that live much longer or shorter than those of another answer at about the same time.
fn late(ours: &Message, theirs: &Message) -> Vec<String> {
    let all = |message: &Message| {
        let sections = [&message.answer, &message.authority, &message.additional];
        sections.map(Clone::clone).concat()
    };
    let theirs = all(theirs);
    let mut late = Vec::new();
    for record in all(ours) {
        let same = |other: &&Record| {
            other.name == record.name && other.rtype == record.rtype && other.rdata == record.rdata
        };
        let Some(other) = theirs.iter().find(same) else {
            continue;
        };
        if record.ttl_secs <= BOGUS_TTL_SECS && other.ttl_secs > BOGUS_TTL_SECS {
            late.push("lives no longer than val-bogus-ttl".to_owned());
        } else if record.ttl_secs.abs_diff(other.ttl_secs) > TTL_SLACK_SECS {
            late.push(format!("TTL {} of {record:?}", other.ttl_secs));
        }
    }
    late
}

/// What differs between two answers to the same question, order and some seconds of TTL aside.
fn differences(ours: &Message, theirs: &Message) -> Vec<String> {
    let mut all = late(ours, theirs);
    let (ours, theirs) = (ours.clone().comparable(), theirs.clone().comparable());
    if ours.rcode() != theirs.rcode() {
        return vec![format!("code {} for {}", ours.rcode(), theirs.rcode())];
    }
    if ours.truncated() && theirs.truncated() {
        let same = ours.flags == theirs.flags && ours.authority.len() == theirs.authority.len();
        return Vec::from_iter((!same).then(|| "truncated".to_owned()));
    }
    if ours.flags ^ theirs.flags == AD && ours.flags & AD != 0 {
        all.push("AD where Unbound has none".to_owned());
    } else if (ours.flags ^ theirs.flags) & ALL_FLAGS != 0 {
        all.push(format!("flags {:x} for {:x}", ours.flags, theirs.flags));
    }
    if ours.questions != theirs.questions {
        all.push("the question".to_owned());
    }
    for (what, ours, theirs) in [
        ("answer", &ours.answer, &theirs.answer),
        ("authority", &ours.authority, &theirs.authority),
        ("additional", &ours.additional, &theirs.additional),
    ] {
        let missing: Vec<_> = theirs
            .iter()
            .filter(|record| !ours.contains(record))
            .collect();
        let extra: Vec<_> = ours
            .iter()
            .filter(|record| !theirs.contains(record))
            .collect();
        if !missing.is_empty() || !extra.is_empty() || ours.len() != theirs.len() {
            all.push(format!("{what}: missing {missing:?}, extra {extra:?}"));
        }
    }
    let opt = |message: &Message| {
        message
            .edns
            .as_ref()
            .map(|edns| (edns.dnssec_ok, edns.version, edns.udp_size))
    };
    if opt(&ours) != opt(&theirs) {
        all.push(format!("OPT {:?} for {:?}", opt(&ours), opt(&theirs)));
    }
    let (ours, theirs) = (extended_errors(&ours), extended_errors(&theirs));
    // Unbound doesn't always give one where there is one to give.
    if !theirs.is_empty() && ours != theirs {
        let exact = ours.len() == 1 && ours.is_subset(&BOGUS_ERRORS.into());
        let vague = theirs.is_subset(&[DNSSEC_BOGUS, DNSKEY_MISSING].into());
        all.push(if exact && vague {
            "EDE, more exactly".to_owned()
        } else {
            format!("EDE {ours:?} for {theirs:?}")
        });
    }
    all
}

/// The INFO-CODEs of the extended errors of an answer (RFC 8914).
fn extended_errors(message: &Message) -> BTreeSet<u16> {
    let mut options = message
        .edns
        .as_ref()
        .map_or(&[][..], |edns| &edns.options[..]);
    let mut codes = BTreeSet::new();
    while let [c0, c1, l0, l1, rest @ ..] = options {
        let length = usize::from(u16::from_be_bytes([*l0, *l1])).min(rest.len());
        if u16::from_be_bytes([*c0, *c1]) == OPTION_EDE
            && let [first, second, ..] = rest[..length]
        {
            codes.insert(u16::from_be_bytes([first, second]));
        }
        options = &rest[length..];
    }
    codes
}
