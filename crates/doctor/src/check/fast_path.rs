use sluicegate_conf::XdpEnable;

use crate::facts::{Served, Serving};
use crate::{Facts, Finding, Group, Role, Verdict};

/// Below this many queries nothing is said of where they come in.
pub(super) const ENOUGH: u64 = 1000;
const LOG: &str =
    "journalctl -u sluicegate --grep 'XDP'    # or the server's log: each interface has its line";

/// Which path queries take.
pub(super) fn fast_path(facts: &Facts, server: &Serving) -> Finding {
    let listening: Vec<_> = facts
        .interfaces
        .iter()
        .filter(|one| one.role == Role::Listens)
        .collect();
    let fast = server.fast();
    let names: Vec<String> = server.queues.keys().cloned().collect();
    let finding = Finding::new("fast-path", Group::Server)
        .probed("interfaces", names.clone())
        .probed("af_xdp_packets", fast)
        .probed("kernel_packets", server.kernel);
    if facts.wanted.xdp.enable == XdpEnable::No || listening.is_empty() {
        return finding.is(Verdict::Ok, "the fast path is not asked for here");
    }
    // What an interface's nature asks for is told last: whether the rest of the fast path works matters more.
    let refused = refused(facts, server);
    if let Some(served) = refused.filter(|served| names.is_empty() || !is_expected(facts, served)) {
        return told(finding, facts, served);
    }
    if names.is_empty() {
        return finding
            .is(Verdict::Warn, "the server runs without the fast path")
            .why("all queries take the kernel's path: right answers, at a fraction of the speed")
            .by_hand(LOG);
    }
    let names = names.join(", ");
    if fast == 0 && server.kernel >= ENOUGH {
        return idle(finding, server, &names, refused);
    }
    if let Some((name, lost)) = most_lost(server) {
        return finding
            .probed("lost_packets", lost)
            .is(Verdict::Warn, format!("{lost} packets of {name} were lost before a worker saw them"))
            .why("workers are too slow, or bursts too long, for the rings; larger ones (`rx-ring:`, `frames:`) or more queues help")
            .by_hand("sluicegate stats | grep 'rx\\.drop'");
    }
    if let Some(served) = refused {
        return told(finding, facts, served);
    }
    let kernel = server.kernel;
    finding.is(
        Verdict::Ok,
        format!("AF_XDP on {names}: {fast} packets; the kernel's path: {kernel}"),
    )
}

/// AF_XDP is ready and gets nothing, while the kernel gets queries.
fn idle(finding: Finding, server: &Serving, names: &str, refused: Option<&Served>) -> Finding {
    let kernel = server.kernel;
    let why = "queries come in by another interface, on another queue, with a tag, or to another MAC address than the program \
               looks for; its counters say which (`xdp.IF.pass.*`)";
    let why = match refused {
        Some(served) => format!(
            "{why}. Or all ask {} on {}, {}",
            served.address,
            served.interface,
            served.by_kernel().unwrap_or_default()
        ),
        None => why.to_owned(),
    };
    finding
        .is(
            Verdict::Warn,
            format!("AF_XDP runs on {names}, but all {kernel} queries took the kernel's path"),
        )
        .why(why)
        .by_hand("sluicegate stats | grep 'pass\\.'")
}

/// The interface that has lost many packets, measured by what came in, and how many.
fn most_lost(server: &Serving) -> Option<(&str, u64)> {
    let fast = server.fast();
    server
        .lost
        .iter()
        .filter(|(_, lost)| **lost * 1000 > fast && **lost >= ENOUGH)
        .map(|(name, lost)| (name.as_str(), *lost))
        .max_by_key(|(_, lost)| *lost)
}

/// The address that the kernel serves most to be wondered at: one that is named first, what lies in the interface last.
fn refused<'a>(facts: &Facts, server: &'a Serving) -> Option<&'a Served> {
    let listens = |name: &str| {
        let mut all = facts.interfaces.iter();
        all.any(|one| one.role == Role::Listens && one.link.name == name)
    };
    let by_kernel = server
        .placed
        .iter()
        .filter(|served| served.by_kernel().is_some() && listens(&served.interface));
    by_kernel.max_by_key(|served| (is_named(facts, served), !served.by_nature()))
}

fn is_named(facts: &Facts, served: &Served) -> bool {
    facts.wanted.names(&served.address, &served.interface)
}

/// Whether nobody need be told: it lies in the interface, and no listen address asks for just this one.
fn is_expected(facts: &Facts, served: &Served) -> bool {
    served.by_nature() && !is_named(facts, served)
}

/// What the server itself says of an address that AF_XDP does not serve, or not wholly.
fn told(finding: Finding, facts: &Facts, served: &Served) -> Finding {
    let verdict = if is_expected(facts, served) {
        Verdict::Info
    } else {
        Verdict::Warn
    };
    let outcome = served.by_kernel().unwrap_or_default();
    finding
        .probed("address", served.address.as_str())
        .probed("outcome", served.outcome.as_str())
        .is(
            verdict,
            format!("{} on {}: {outcome}", served.address, served.interface),
        )
        .why("queries for this address take the kernel's path: right answers, at a fraction of the speed")
        .by_hand(served.command().unwrap_or(LOG))
}

#[cfg(test)]
mod tests {
    use super::super::serving::examine;
    use super::super::testing::{one, serving, verdict};
    use super::*;
    use crate::WantedListen;

    #[test]
    fn which_path_queries_take() {
        let of =
            |queues: &[u64], kernel| verdict(&examine(&serving(queues, kernel)), "fast-path").0;
        assert_eq!(of(&[500, 600], 3), Verdict::Ok);
        assert_eq!(of(&[0, 0], 20), Verdict::Ok);
        assert_eq!(of(&[0, 0], 5000), Verdict::Warn);
        assert_eq!(of(&[], 0), Verdict::Warn);
        let mut facts = serving(&[10_000], 0);
        facts
            .server
            .as_mut()
            .unwrap()
            .lost
            .insert("eth0".into(), 5000);
        assert_eq!(verdict(&examine(&facts), "fast-path").0, Verdict::Warn);
    }

    #[test]
    fn addresses_that_the_kernel_serves() {
        let of = |listen: &str, outcome: &str| {
            let mut facts = serving(&[500], 3);
            facts.wanted.listen = vec![WantedListen::Address(listen.parse().unwrap())];
            let served = |address: &str, interface: &str, outcome: &str| Served {
                address: address.into(),
                interface: interface.into(),
                outcome: outcome.into(),
            };
            facts.server.as_mut().unwrap().placed = vec![
                served(
                    "127.0.0.1@53",
                    "lo",
                    "kernel: the loopback interface has no use for XDP",
                ),
                served("192.0.2.1@53", "eth0", outcome),
            ];
            verdict(&examine(&facts), "fast-path")
        };
        let (all, own) = ("0.0.0.0:53", "192.0.2.1:53");
        assert_eq!(of(own, "XDP at eth0 (copy, 1 queue)").0, Verdict::Ok);
        assert_eq!(
            of(all, "kernel at eth0: another XDP program is attached").0,
            Verdict::Warn
        );
        assert_eq!(
            of(
                own,
                "XDP at eth0 (copy, 1 queue); kernel at eth1: it is gone"
            )
            .0,
            Verdict::Warn
        );
        assert_eq!(of(all, "kernel: it is a port of br0").0, Verdict::Info);
        assert_eq!(of(own, "kernel: it is a port of br0").0, Verdict::Warn);
        let command = Some("ethtool -K eth0 rxvlan off".to_owned());
        let stripped = "kernel at eth0: tags go; to change that: ethtool -K eth0 rxvlan off";
        assert_eq!(of(own, stripped), (Verdict::Warn, command));
    }

    /// One address is the kernel's by nature, as a wildcard brings it about; what the counters say comes first.
    #[test]
    fn an_expected_refusal_hides_no_trouble() {
        let with = |queues: &[u64], kernel, lost: u64| {
            let mut facts = serving(queues, kernel);
            facts.wanted.listen = vec![WantedListen::Address("0.0.0.0:53".parse().unwrap())];
            let server = facts.server.as_mut().unwrap();
            server.placed = vec![Served {
                address: "192.0.2.1@53".into(),
                interface: "eth0".into(),
                outcome: "kernel: it is a port of br0".into(),
            }];
            server.lost.insert("eth0".into(), lost);
            one(&examine(&facts), "fast-path").clone()
        };
        let quiet = with(&[500, 600], 5000, 0);
        assert_eq!(quiet.verdict, Verdict::Info);
        assert!(quiet.says.contains("a port of br0"), "{}", quiet.says);
        let idle = with(&[0, 0], 5000, 0);
        assert_eq!(idle.verdict, Verdict::Warn);
        assert!(idle.says.contains("all 5000 queries"), "{}", idle.says);
        assert!(idle.why.contains("192.0.2.1@53 on eth0"), "{}", idle.why);
        let lossy = with(&[10_000], 0, 5000);
        assert_eq!(lossy.verdict, Verdict::Warn);
        assert!(
            lossy.says.contains("5000 packets of eth0"),
            "{}",
            lossy.says
        );
        // Nothing is left for the fast path to do.
        assert_eq!(with(&[], 5000, 0).verdict, Verdict::Info);
    }
}
