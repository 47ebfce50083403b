use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use anyhow::{Result, ensure};
use sluicegate_lab::scene::Path;
use sluicegate_lab::wire::{Message, QuerySpec, query, rcode};
use sluicegate_lab::world::{World, zones};

use crate::questions::{Fate, questions};
use crate::site::Site;

/// Where we differ from Debian's Unbound, and why: part of what is asked, part of what differs, the reason.
const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "",
        "truncated",
        "what we truncate is empty; Unbound keeps what fits, and AD",
    ),
    (
        " CD",
        "flags 81b0 for 8190",
        "Unbound answers CD=1 from its cache before it has validated",
    ),
    ("", "EDE {} for", "not sent yet"),
];

/// The same questions to us and to Debian's Unbound, and to each what must come of them.
pub(crate) fn compare() -> Result<()> {
    let world = World::start(zones())?;
    let ours = Site::sluicegate(&world, "")?;
    let theirs = Site::unbound(&world, "")?;
    let mut report = Report::default();
    for round in 0..VARIANTS.len() {
        let asked: Vec<Asked> = questions()
            .into_iter()
            .enumerate()
            .map(|(index, (name, qtype, fate))| Asked::new(&name, qtype, fate, index + round))
            .collect();
        let queries: Vec<QuerySpec> = asked.iter().map(|asked| asked.query.clone()).collect();
        let udp = theirs.ask_all(Path::Xdp, &queries)?;
        let tcp = theirs.ask_all(Path::Tcp, &queries)?;
        for path in Path::ALL {
            let answers = ours.ask_all(path, &queries)?;
            let others = if path == Path::Tcp { &tcp } else { &udp };
            for ((asked, ours), theirs) in asked.iter().zip(&answers).zip(others) {
                report.compare(path, asked, ours, theirs);
            }
        }
        for (asked, answer) in asked.iter().zip(&udp) {
            report.expect("Unbound", asked, answer);
        }
    }
    ours.expect_all_paths()?;
    report.finish()
}

/// DO and CD in all combinations.
const VARIANTS: [(bool, bool); 4] = [(false, false), (true, false), (true, true), (false, true)];
/// As much as the header of an answer says; RD and RA too.
const ALL_FLAGS: u16 = 0xfff0;
const AD: u16 = 0x20;
const OPTION_EDE: u16 = 15;

struct Asked {
    query: QuerySpec,
    fate: Fate,
}

impl Asked {
    /// Each question begins with another variant, so that what is cached first is not always the same.
    fn new(name: &str, qtype: u16, fate: Fate, number: usize) -> Self {
        let (dnssec_ok, disabled) = VARIANTS[number % VARIANTS.len()];
        Self {
            query: query(name, qtype)
                .edns(1232, dnssec_ok)
                .flags(true, disabled),
            fate,
        }
    }

    fn text(&self) -> String {
        let set = |bit, name| if bit { name } else { "" };
        format!(
            "{} TYPE{}{}{}",
            self.query.name,
            self.query.qtype,
            set(self.query.dnssec_ok, " DO"),
            set(self.query.cd, " CD")
        )
    }
}

#[derive(Default)]
struct Report {
    compared: usize,
    meant: BTreeMap<&'static str, usize>,
    wrong: BTreeSet<String>,
}

impl Report {
    fn compare(&mut self, path: Path, asked: &Asked, ours: &Message, theirs: &Message) {
        self.compared += 1;
        self.expect("Sluicegate", asked, ours);
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
    fn expect(&mut self, who: &str, asked: &Asked, answer: &Message) {
        let disabled = asked.query.cd;
        let secure = answer.flags & AD != 0;
        let found = matches!(answer.rcode(), rcode::NOERROR | rcode::NXDOMAIN);
        let right = match asked.fate {
            // AD says that it was checked; with CD, and without DO, that is not asked for.
            Fate::Secure => found && (secure == asked.query.dnssec_ok || answer.truncated()),
            Fate::Insecure => found && !secure,
            Fate::Bogus if disabled => found && !secure,
            Fate::Bogus | Fate::Fails => answer.rcode() == rcode::SERVFAIL,
        };
        if !right {
            let (code, fate) = (answer.rcode(), asked.fate);
            let ad = if secure { ", AD" } else { "" };
            let text = format!("{}: {who} has code {code}{ad}, not {fate:?}", asked.text());
            self.wrong.insert(text);
        }
    }

    #[expect(clippy::print_stdout, reason = "how much was compared")]
    fn finish(self) -> Result<()> {
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

/// What differs between two answers to the same question, TTLs and order aside.
fn differences(ours: &Message, theirs: &Message) -> Vec<String> {
    let (ours, theirs) = (ours.clone().comparable(), theirs.clone().comparable());
    let mut all = Vec::new();
    if ours.rcode() != theirs.rcode() {
        return vec![format!("code {} for {}", ours.rcode(), theirs.rcode())];
    }
    if ours.truncated() && theirs.truncated() {
        let same = ours.flags == theirs.flags && ours.authority.len() == theirs.authority.len();
        return Vec::from_iter((!same).then(|| "truncated".to_owned()));
    }
    if (ours.flags ^ theirs.flags) & ALL_FLAGS != 0 {
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
        all.push(format!("EDE {ours:?} for {theirs:?}"));
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
