use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::thread;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::netns::Process;
use sluicegate_lab::scene::Path;
use sluicegate_lab::wire::{Message, QuerySpec, query, rcode, rtype};
use sluicegate_lab::world::{World, zones};

use crate::questions::{Fate, questions};
use crate::site::{Site, start_unbound};

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
    ("", "EDE {} for", "not sent yet"),
];

/// The same questions to us and to Debian's Unbound, and to each what must come of them.
pub(crate) fn recursion() -> Result<()> {
    let world = World::start(zones())?;
    let mut report = Report::default();
    compare(&world, "", &mut report)?;
    report.finish()
}

/// Recursion, stubs and forwarding mixed, other trust, answers less minimal: what must come of some questions, and that
/// we do as Unbound does with all.
pub(crate) fn mixture() -> Result<()> {
    let world = World::start(zones())?;
    let _forwarder = forwarder(&world)?;
    let mut report = Report {
        fates: false,
        ..Report::default()
    };
    let stub = |name: &str| {
        let address = world.address(name).context("a zone of the world")?;
        anyhow::Ok(format!(
            "stub-zone:\n  name: {name}\n  stub-addr: {address}\n"
        ))
    };
    let forward = |name: &str, more: &str| {
        format!("forward-zone:\n  name: {name}\n  forward-addr: {FORWARDER}\n{more}")
    };
    let island = world
        .key("island.unsigned.alpha.")
        .context("it is signed")?;
    let conf = [
        format!("{OTHERWISE}  trust-anchor-file: {}\n", island.display()),
        stub("good.alpha.")?,
        stub("good.plain.")?,
        forward("good.beta.", ""),
        forward("good.gamma.", "  forward-tcp-upstream: yes\n"),
        forward("unsigned.beta.", "  forward-first: yes\n"),
    ];
    let ours = compare(&world, &conf.concat(), &mut report)?;
    for (name, fate) in MIXTURE {
        let asked = Asked::new(name, rtype::A, *fate, 1);
        report.fates = true;
        report.expect("Sluicegate", &asked, &ours.ask(Path::Xdp, &asked.query)?);
    }
    report.finish()
}

/// Where the resolver is that questions are forwarded to.
const FORWARDER: &str = "10.55.254.1";
/// The date is not looked at: what has expired, or is to come, is as good as the rest.
const OTHERWISE: &str = "
  minimal-responses: no
  qname-minimisation: no
  aggressive-nsec: no
  harden-below-nxdomain: no
  val-override-date: -1
  domain-insecure: stripped.alpha.
  domain-insecure: wrong-ds.alpha.
";
const MIXTURE: &[(&str, Fate)] = &[
    ("www.good.alpha.", Fate::Secure),
    ("www.good.beta.", Fate::Secure),
    ("www.good.gamma.", Fate::Secure),
    ("www.good.plain.", Fate::Insecure),
    ("www.island.unsigned.alpha.", Fate::Secure),
    ("www.expired.alpha.", Fate::Secure),
    ("www.future.alpha.", Fate::Secure),
    ("www.stripped.alpha.", Fate::Insecure),
    ("www.wrong-ds.alpha.", Fate::Insecure),
    ("www.tampered.alpha.", Fate::Bogus),
];

fn forwarder(world: &World) -> Result<Process> {
    let conf = format!(
        "server:\n  interface: {FORWARDER}\n  access-control: 0.0.0.0/0 allow\n{}",
        world.resolver_conf()
    );
    start_unbound(world.netns(), &conf)
}

fn compare(world: &World, more: &str, report: &mut Report) -> Result<Site> {
    let ours = Site::sluicegate(world, more)?;
    let theirs = Site::unbound(world, more)?;
    for round in 0..VARIANTS.len() {
        let asked: Vec<Asked> = questions()
            .into_iter()
            .enumerate()
            .map(|(index, (name, qtype, fate))| Asked::new(&name, qtype, fate, index + round))
            .collect();
        let queries: Vec<QuerySpec> = asked.iter().map(|asked| asked.query.clone()).collect();
        // Both at once, since they wait for the same dead servers.
        let (udp, tcp, answers) = thread::scope(|scope| {
            let theirs = scope.spawn(|| {
                let udp = theirs.ask_all(Path::Xdp, &queries)?;
                anyhow::Ok((udp, theirs.ask_all(Path::Tcp, &queries)?))
            });
            let ours: Result<Vec<_>> = Path::ALL
                .iter()
                .map(|path| ours.ask_all(*path, &queries))
                .collect();
            let (udp, tcp) = theirs.join().expect("no panic")?;
            anyhow::Ok((udp, tcp, ours?))
        })?;
        for (path, answers) in Path::ALL.into_iter().zip(&answers) {
            let others = if path == Path::Tcp { &tcp } else { &udp };
            for ((asked, ours), theirs) in asked.iter().zip(answers).zip(others) {
                report.compare(path, asked, ours, theirs);
            }
        }
        for (asked, answer) in asked.iter().zip(&udp) {
            report.expect("Unbound", asked, answer);
        }
    }
    ours.expect_all_paths()?;
    Ok(ours)
}

/// DO and CD in all combinations, then without EDNS, and without EDNS but with AD, which asks for AD (RFC 6840, 5.7).
const VARIANTS: [Variant; 6] = [
    Variant::new(Some(false), false, false),
    Variant::new(Some(true), false, false),
    Variant::new(Some(true), true, false),
    Variant::new(Some(false), true, false),
    Variant::new(None, false, false),
    Variant::new(None, false, true),
];
/// As much as the header of an answer says; RD and RA too.
const ALL_FLAGS: u16 = 0xfff0;
const AD: u16 = 0x20;
const OPTION_EDE: u16 = 15;

#[derive(Clone, Copy)]
struct Variant {
    /// The DO bit, if there is an OPT record.
    dnssec_ok: Option<bool>,
    cd: bool,
    ad: bool,
}

impl Variant {
    const fn new(dnssec_ok: Option<bool>, cd: bool, ad: bool) -> Self {
        Self { dnssec_ok, cd, ad }
    }

    fn query(self, name: &str, qtype: u16) -> QuerySpec {
        let mut query = query(name, qtype).flags(true, self.cd);
        query.ad = self.ad;
        match self.dnssec_ok {
            Some(dnssec_ok) => query.edns(1232, dnssec_ok),
            None => query,
        }
    }
}

struct Asked {
    query: QuerySpec,
    fate: Fate,
}

impl Asked {
    /// Each question begins with another variant, so that what is cached first is not always the same.
    fn new(name: &str, qtype: u16, fate: Fate, number: usize) -> Self {
        Self {
            query: VARIANTS[number % VARIANTS.len()].query(name, qtype),
            fate,
        }
    }

    fn text(&self) -> String {
        let set = |bit, name| if bit { name } else { "" };
        format!(
            "{} TYPE{}{}{}{}{}",
            self.query.name,
            self.query.qtype,
            set(self.query.dnssec_ok, " DO"),
            set(self.query.cd, " CD"),
            set(self.query.ad, " AD"),
            set(self.query.udp_size.is_none(), " no EDNS"),
        )
    }
}

struct Report {
    /// Whether each question must come to what is said of it.
    fates: bool,
    compared: usize,
    meant: BTreeMap<&'static str, usize>,
    wrong: BTreeSet<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self {
            fates: true,
            compared: 0,
            meant: BTreeMap::new(),
            wrong: BTreeSet::new(),
        }
    }
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
