use std::fmt::Write;

use super::table::number;
use crate::measure::{Figure, Load, Results};

/// One thing that must be shown: a value, and what it may at least or at most be.
struct Target {
    /// Which requirement it belongs to.
    group: &'static str,
    what: String,
    value: Option<f64>,
    bound: Bound,
    /// What else one must know of it.
    beside: Option<String>,
}

enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

const OURS: &str = "Sluicegate AF_XDP";
const BUSY: &str = "Sluicegate AF_XDP, busy poll";
const KERNEL: &str = "Sluicegate kernel path";
const ECHO: &str = "xsk echo";
const KNOT: &str = "knotd XDP";
const KNOT_UDP: &str = "knotd UDP";
const UNBOUND: &str = "unbound";

/// The targets, each met or missed, and by how much.
pub(super) fn markdown(results: &Results) -> String {
    let mut text =
        "### What must be shown\n\n| | | measured | wanted | |\n|---|---|--:|--:|---|\n".to_owned();
    for target in targets(results) {
        let (sign, wanted) = match target.bound {
            Bound::AtLeast(wanted) => ("at least", wanted),
            Bound::AtMost(wanted) => ("at most", wanted),
        };
        let digits = if wanted < 10.0 { 2 } else { 0 };
        let measured = target
            .value
            .map_or_else(|| "-".to_owned(), |value| number(value, digits));
        let beside = target.beside.as_ref().map(|said| format!(" ({said})"));
        let _ = writeln!(
            text,
            "| {} | {} | {measured} | {sign} {} | {}{} |",
            target.group,
            target.what,
            number(wanted, digits),
            target.verdict(),
            beside.unwrap_or_default(),
        );
    }
    text.push('\n');
    text
}

impl Target {
    fn verdict(&self) -> String {
        let Some(value) = self.value else {
            return "not measured".to_owned();
        };
        let (wanted, met) = match self.bound {
            Bound::AtLeast(wanted) => (wanted, value >= wanted),
            Bound::AtMost(wanted) => (wanted, value <= wanted),
        };
        if met {
            return "met".to_owned();
        }
        format!(
            "**missed by {:.0} %**",
            (value / wanted - 1.0).abs() * 100.0
        )
    }
}

fn targets(results: &Results) -> Vec<Target> {
    [
        af_xdp,
        kernel_path,
        latency,
        in_process,
        structures,
        mixes,
        idle,
        misses,
    ]
    .into_iter()
    .flat_map(|group| group(results))
    .collect()
}

fn target(group: &'static str, what: &str, value: Option<f64>, bound: Bound) -> Target {
    Target {
        group,
        what: what.to_owned(),
        value,
        bound,
        beside: None,
    }
}

impl Target {
    /// The same, with what the testbed leaves of it: `of` another contender or of a part, where that was measured.
    fn beside(self, what: &str, value: Option<f64>) -> Self {
        let beside = value.map(|value| format!("{what}: {}", number(value, 2)));
        Self { beside, ..self }
    }
}

/// A figure's median divided by another contender's.
fn ratio(
    results: &Results,
    case: &str,
    (a, b): (&str, &str),
    load: Load,
    figure: Figure,
) -> Option<f64> {
    let of = |contender| results.figure(case, contender, load, figure);
    Some(of(a)?.median / of(b)?.median)
}

fn af_xdp(results: &Results) -> Vec<Target> {
    let rate = |pair| ratio(results, "hits", pair, Load::Flat, Figure::Rate);
    let cost = |pair, figure| ratio(results, "hits", pair, Load::Paced, figure);
    vec![
        target(
            "1",
            "AF_XDP hits/s over knotd XDP's",
            rate((OURS, KNOT)),
            Bound::AtLeast(1.3),
        ),
        target(
            "1",
            "its CPU per answer at 150,000/s over knotd XDP's",
            cost((OURS, KNOT), Figure::CpuUs),
            Bound::AtMost(0.8),
        )
        .beside("the xsk echo's", cost((ECHO, KNOT), Figure::CpuUs)),
        target(
            "1",
            "AF_XDP hits/s over the xsk echo's rate",
            rate((OURS, ECHO)),
            Bound::AtLeast(0.9),
        ),
    ]
}

fn kernel_path(results: &Results) -> Vec<Target> {
    let rate = |pair| ratio(results, "hits", pair, Load::Flat, Figure::Rate);
    let cost = |figure| ratio(results, "hits", (KERNEL, UNBOUND), Load::Paced, figure);
    vec![
        target(
            "2",
            "kernel path hits/s over unbound's",
            rate((KERNEL, UNBOUND)),
            Bound::AtLeast(1.5),
        ),
        target(
            "2",
            "its CPU per answer at 150,000/s over unbound's",
            cost(Figure::CpuUs),
            Bound::AtMost(0.5),
        )
        .beside("the servers' own time", cost(Figure::ServerUs)),
        target(
            "2",
            "kernel path hits/s over knotd UDP's",
            rate((KERNEL, KNOT_UDP)),
            Bound::AtLeast(1.0),
        ),
    ]
}

fn latency(results: &Results) -> Vec<Target> {
    let over = |figure| ratio(results, "latency", (OURS, KNOT), Load::Single, figure);
    let busy = results.figure("latency", BUSY, Load::Polled, Figure::P50Us);
    vec![
        target(
            "3",
            "RTT p50 over knotd XDP's",
            over(Figure::P50Us),
            Bound::AtMost(1.0),
        ),
        target(
            "3",
            "RTT p99 over knotd XDP's",
            over(Figure::P99Us),
            Bound::AtMost(1.0),
        ),
        target(
            "3",
            "RTT p50 in busy-poll mode, us (polling client)",
            busy.map(|spread| spread.median),
            Bound::AtMost(9.0),
        ),
    ]
}

fn in_process(results: &Results) -> Vec<Target> {
    let value = |name: &str| results.in_process.get(name).copied();
    let over = |a: &str, b: &str| Some(value(a)? / value(b)?);
    vec![
        target(
            "4",
            "instructions of a whole hit, by way of the answer cache",
            value("instructions whole"),
            Bound::AtMost(600.0),
        ),
        target(
            "4",
            "instructions of a whole hit, of a query that has come before",
            value("instructions repeated"),
            Bound::AtMost(600.0),
        ),
        target(
            "4",
            "ns of a whole hit, 1 M names uniform, in batches of 32",
            value("ns whole 1m uniform, in batches"),
            Bound::AtMost(150.0),
        ),
        target(
            "4",
            "ns to parse a query",
            value("ns parse"),
            Bound::AtMost(25.0),
        ),
        target(
            "5",
            "cost of a hit at 10 M names over that at 10 k (Zipf), in batches of 32",
            over(
                "ns whole 10m zipf, in batches",
                "ns whole 10k zipf, in batches",
            ),
            Bound::AtMost(1.35),
        ),
        target(
            "5",
            "bytes per cached A answer",
            value("bytes per answer"),
            Bound::AtMost(160.0),
        ),
    ]
}

/// What must not cost more when there is more of it.
fn structures(results: &Results) -> Vec<Target> {
    let value = |name: &str| results.in_process.get(name).copied();
    let over = |a: &str, b: &str| Some(value(a)? / value(b)?);
    vec![
        target(
            "dataplane",
            "ns to look up one of 100,000 prefixes",
            value("ns acl 100k side by side"),
            Bound::AtMost(45.0),
        ),
        target(
            "dataplane",
            "cost of a local name of 1 M over that of 1 k, in batches of 32",
            over(
                "ns local 1m uniform, in batches",
                "ns local 1k uniform, in batches",
            ),
            Bound::AtMost(1.5),
        ),
    ]
}

fn mixes(results: &Results) -> Vec<Target> {
    let rate = |case| ratio(results, case, (OURS, KNOT), Load::Flat, Figure::Rate);
    vec![
        target(
            "6",
            "1,200-byte answers/s over knotd XDP's",
            rate("large"),
            Bound::AtLeast(1.0),
        ),
        target(
            "6",
            "answers/s with DO mixed in over knotd XDP's",
            rate("dnssec-ok"),
            Bound::AtLeast(1.0),
        ),
        target(
            "6",
            "answers/s over IPv6 over knotd XDP's",
            rate("ipv6"),
            Bound::AtLeast(1.0),
        ),
    ]
}

fn idle(results: &Results) -> Vec<Target> {
    let idle = results.figure("latency", OURS, Load::Idle, Figure::ServerPercent);
    vec![target(
        "idle",
        "% of a core without a query",
        idle.map(|spread| spread.median),
        Bound::AtMost(0.5),
    )]
}

/// Beside Unbound, in the unsigned and the signed zone, one thread each and two.
fn misses(results: &Results) -> Vec<Target> {
    let mut targets = Vec::new();
    for (case, zone) in [
        ("misses-plain", "unsigned zone"),
        ("misses-signed", "signed zone"),
        ("misses-plain-2", "unsigned zone, two threads"),
        ("misses-signed-2", "signed zone, two threads"),
    ] {
        let over = |load, figure| ratio(results, case, (OURS, UNBOUND), load, figure);
        let p50 = |contender| results.figure(case, contender, Load::LoneMiss, Figure::P50Us);
        let above = p50(OURS).zip(p50(UNBOUND));
        let above = above.map(|(ours, unbound)| ours.median - unbound.median);
        let cpu = over(Load::Misses, Figure::ServerUs);
        let memory = over(Load::Misses, Figure::MemoryMib);
        targets.extend(
            [
                ("CPU per miss over unbound's", cpu, 1.15),
                ("lone miss, p50 above unbound's in us", above, 60.0),
                ("memory after 40,000 names over unbound's", memory, 1.5),
            ]
            .map(|(what, value, most)| {
                target(
                    "misses",
                    &format!("{what}, {zone}"),
                    value,
                    Bound::AtMost(most),
                )
            }),
        );
    }
    targets
}
