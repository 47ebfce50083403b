use sluicegate_conf::XdpEnable;

use super::privileges::{NEEDED, drop_in};
use crate::change::quoted;
use crate::facts::{Served, Serving, Unit};
use crate::{Facts, Finding, Group, ProcessKind, Role, Verdict};

/// The running server, and the service that starts it.
pub(super) fn examine(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![enabled(facts), running(facts)];
    if let Some(server) = &facts.server {
        all.push(fast_path(facts, server));
        all.extend(balance(server));
    }
    all.push(match &facts.unit {
        Some(unit) => service(unit),
        None => Finding::new("service", Group::Server)
            .is(Verdict::Skipped, "systemd knows no sluicegate.service here"),
    });
    all
}

fn enabled(facts: &Facts) -> Finding {
    let finding = Finding::new("xdp-enabled", Group::Server);
    match facts.wanted.xdp.enable {
        XdpEnable::No => finding
            .probed("enable", "no")
            .is(
                Verdict::Info,
                "the configuration switches the fast path off",
            )
            .why("the kernel's sockets answer everything")
            .by_hand("# in the configuration, clause xdp: `enable: auto`"),
        XdpEnable::Auto => finding
            .probed("enable", "auto")
            .is(Verdict::Ok, "the fast path runs where it can"),
        XdpEnable::Yes => finding
            .probed("enable", "yes")
            .is(Verdict::Ok, "the fast path must run"),
    }
}

fn running(facts: &Facts) -> Finding {
    let finding = Finding::new("server", Group::Server).probed("running", facts.server.is_some());
    if facts.server.is_none() {
        return finding.is(Verdict::Skipped, "no server answers on the control socket");
    }
    let pid = match facts.process.kind {
        ProcessKind::Server => facts.process.pid,
        ProcessKind::Own => 0,
    };
    finding
        .probed("pid", pid)
        .is(Verdict::Ok, format!("a server runs, process {pid}"))
}

/// Below this many queries nothing is said of where they come in.
const ENOUGH: u64 = 1000;
const LOG: &str =
    "journalctl -u sluicegate --grep 'XDP'    # or the server's log: each interface has its line";

fn fast_path(facts: &Facts, server: &Serving) -> Finding {
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
    if let Some(refused) = refused(facts, server) {
        return told(finding, facts, refused);
    }
    if names.is_empty() {
        return finding
            .is(Verdict::Warn, "the server runs without the fast path")
            .why("all queries take the kernel's path: right answers, at a fraction of the speed")
            .by_hand(LOG);
    }
    if fast == 0 && server.kernel >= ENOUGH {
        return finding
            .is(Verdict::Warn, format!("AF_XDP runs on {}, but all {} queries took the kernel's path", names.join(", "), server.kernel))
            .why(
                "queries come in by another interface, on another queue, with a tag, or to another MAC address than the program \
                 looks for; its counters say which (`xdp.IF.pass.*`)",
            )
            .by_hand("sluicegate stats | grep 'pass\\.'");
    }
    if let Some((name, lost)) = server
        .lost
        .iter()
        .find(|(_, lost)| **lost * 1000 > fast && **lost >= ENOUGH)
    {
        return finding
            .probed("lost_packets", *lost)
            .is(Verdict::Warn, format!("{lost} packets of {name} were lost before a worker saw them"))
            .why("workers are too slow, or bursts too long, for the rings; larger ones (`rx-ring:`, `frames:`) or more queues help")
            .by_hand("sluicegate stats | grep 'rx\\.drop'");
    }
    finding.is(
        Verdict::Ok,
        format!(
            "AF_XDP on {}: {fast} packets; the kernel's path: {}",
            names.join(", "),
            server.kernel
        ),
    )
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

/// What the server itself says of an address that AF_XDP does not serve, or not wholly.
fn told(finding: Finding, facts: &Facts, served: &Served) -> Finding {
    let expected = served.by_nature() && !is_named(facts, served);
    let verdict = if expected {
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

/// Whether one queue has most of the packets of its interface.
fn balance(server: &Serving) -> Vec<Finding> {
    let uneven = |(name, queues): (&String, &std::collections::BTreeMap<u32, u64>)| {
        let total: u64 = queues.values().sum();
        let (busiest, most) = queues.iter().max_by_key(|(_, packets)| **packets)?;
        let counts: Vec<String> = queues
            .iter()
            .map(|(queue, packets)| format!("{queue}:{packets}"))
            .collect();
        let finding = Finding::new("balance", Group::Server)
            .on(name)
            .probed("packets", counts);
        if queues.len() < 2 || total < ENOUGH {
            return None;
        }
        let share = most * 100 / total;
        // With an even spread each queue has a hundredth part of 100 / queues.
        if share < 80 {
            return Some(finding.is(
                Verdict::Ok,
                format!("the busiest queue has {share} % of the packets"),
            ));
        }
        Some(
            finding
                .is(Verdict::Warn, format!("queue {busiest} has {share} % of the packets"))
                .why("its worker does nearly all the work: too few clients, a hash without ports (check rss), or a steering rule (check steering)")
                .by_hand(format!(
                    "ethtool -N {name} rx-flow-hash udp4 sdfn && ethtool -N {name} rx-flow-hash udp6 sdfn",
                    name = quoted(name)
                )),
        )
    };
    server.queues.iter().filter_map(uneven).collect()
}

/// Whether the unit lets the fast path run.
fn service(unit: &Unit) -> Finding {
    let finding = Finding::new("service", Group::Server)
        .probed("AmbientCapabilities", unit.text("AmbientCapabilities"))
        .probed(
            "RestrictAddressFamilies",
            unit.text("RestrictAddressFamilies"),
        )
        .probed("LimitMEMLOCK", unit.text("LimitMEMLOCK"));
    if unit.forgoes_xdp() {
        return finding
            .is(
                Verdict::Info,
                "sluicegate.service starts the server with --no-xdp",
            )
            .why("it is told to use the kernel's sockets, and needs no more rights than these do")
            .by_hand(match unit.drop_in_no_xdp() {
                Some(path) => format!(
                    "rm {} && systemctl daemon-reload && systemctl restart sluicegate",
                    quoted(path)
                ),
                None => "systemctl edit --full sluicegate    # take --no-xdp out of ExecStart="
                    .to_owned(),
            });
    }
    let missing: Vec<&str> = NEEDED
        .iter()
        .map(|(_, name)| *name)
        .filter(|name| !unit.has_capability(name))
        .collect();
    if !missing.is_empty() {
        let names = missing.join(" ");
        return finding
            .is(Verdict::Warn, format!("sluicegate.service lacks {names}"))
            .why("started by systemd the server can't attach its program or make AF_XDP sockets, whatever root may do in a shell")
            .by_hand(drop_in(&format!("AmbientCapabilities={names}\\nCapabilityBoundingSet={names}")));
    }
    if !unit.allows_family("AF_XDP") {
        return finding
            .is(Verdict::Warn, "sluicegate.service may not use AF_XDP")
            .why("RestrictAddressFamilies= doesn't name it: the server's sockets fail with EAFNOSUPPORT, and the kernel answers")
            .by_hand(drop_in("RestrictAddressFamilies=AF_XDP"));
    }
    let memlock = unit.text("LimitMEMLOCK");
    if !matches!(memlock, "" | "infinity" | "18446744073709551615") {
        return finding
            .is(Verdict::Warn, format!("sluicegate.service may lock only {memlock} bytes"))
            .why("each queue locks its buffers (2 KiB for each of `frames:`); a queue whose buffers can't be locked is not opened")
            .by_hand(drop_in("LimitMEMLOCK=infinity"));
    }
    finding.is(Verdict::Ok, "sluicegate.service may use AF_XDP")
}

#[cfg(test)]
mod tests {
    use super::super::testing::{good, one, verdict};
    use super::*;
    use crate::WantedListen;

    fn serving(queues: &[u64], kernel: u64) -> Facts {
        let mut facts = good();
        let mut server = Serving {
            kernel,
            ..Serving::default()
        };
        if !queues.is_empty() {
            let counts = (0..).zip(queues.iter().copied()).collect();
            server.queues.insert("eth0".into(), counts);
        }
        facts.server = Some(server);
        facts
    }

    #[test]
    fn no_server_is_no_fault() {
        let all = examine(&good());
        assert_eq!(verdict(&all, "server").0, Verdict::Skipped);
        assert_eq!(verdict(&all, "service").0, Verdict::Skipped);
        let mut facts = good();
        facts.wanted.xdp.enable = XdpEnable::No;
        assert_eq!(verdict(&examine(&facts), "xdp-enabled").0, Verdict::Info);
    }

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

    #[test]
    fn one_queue_with_all_the_work() {
        let of = |queues: &[u64]| {
            let all = examine(&serving(queues, 0));
            all.iter()
                .find(|finding| finding.check == "balance")
                .map(|finding| finding.verdict)
        };
        assert_eq!(of(&[9000, 100, 100, 100]), Some(Verdict::Warn));
        assert_eq!(of(&[900, 800]), Some(Verdict::Ok));
        assert_eq!((of(&[9000]), of(&[9, 0])), (None, None));
    }

    #[test]
    fn units_that_forbid_it() {
        let of = |shown: &str| {
            let mut facts = good();
            facts.unit = Unit::parse(&format!("LoadState=loaded\nUser=sluicegate\n{shown}"));
            examine(&facts)
        };
        let caps = "AmbientCapabilities=cap_net_admin cap_net_raw cap_bpf\n";
        assert_eq!(
            verdict(&of(&format!("{caps}LimitMEMLOCK=infinity\n")), "service").0,
            Verdict::Ok
        );
        let all = of("AmbientCapabilities=cap_net_bind_service\n");
        assert!(
            one(&all, "service")
                .says
                .contains("CAP_NET_ADMIN CAP_NET_RAW CAP_BPF")
        );
        let all = of(&format!("{caps}RestrictAddressFamilies=AF_INET AF_INET6\n"));
        let (how, command) = verdict(&all, "service");
        assert!(
            how == Verdict::Warn && command.unwrap().contains("RestrictAddressFamilies=AF_XDP")
        );
        // As the drop-in no-xdp.conf leaves it.
        let start = "AmbientCapabilities=cap_net_bind_service\nExecStart={ path=/usr/sbin/sluicegate ; \
                     argv[]=/usr/sbin/sluicegate -p --no-xdp -c conf ; ignore_errors=no }\n";
        let path = "/etc/systemd/system/sluicegate.service.d/no-xdp.conf";
        let (how, command) = verdict(&of(&format!("{start}DropInPaths={path}\n")), "service");
        assert!(
            how == Verdict::Info
                && command
                    .unwrap()
                    .starts_with(&format!("rm {path} && systemctl"))
        );
        let (_, command) = verdict(&of(start), "service");
        assert!(command.unwrap().starts_with("systemctl edit"));
        let all = of(&format!("{caps}LimitMEMLOCK=8388608\n"));
        assert!(
            verdict(&all, "service")
                .1
                .unwrap()
                .contains("LimitMEMLOCK=infinity")
        );
    }
}
