use sluicegate_conf::XdpEnable;

use super::fast_path::{ENOUGH, fast_path};
use super::privileges::{NEEDED, drop_in};
use crate::change::quoted;
use crate::facts::{Serving, Unit};
use crate::{Facts, Finding, Group, ProcessKind, Verdict};

/// The running server, and the service that starts it.
pub(super) fn examine(facts: &Facts) -> Vec<Finding> {
    let mut all = vec![enabled(facts), running(facts)];
    if let Some(server) = &facts.server {
        all.push(fast_path(facts, server));
        all.extend(balance(server));
    }
    all.push(match &facts.unit {
        Some(unit) => service(facts, unit),
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

/// For ports below 1024.
const BIND: &str = "CAP_NET_BIND_SERVICE";

/// Whether the unit lets the server listen, and the fast path run.
fn service(facts: &Facts, unit: &Unit) -> Finding {
    let finding = Finding::new("service", Group::Server)
        .probed("AmbientCapabilities", unit.text("AmbientCapabilities"))
        .probed(
            "RestrictAddressFamilies",
            unit.text("RestrictAddressFamilies"),
        )
        .probed("bpf_allowed", unit.allows_call("bpf"))
        .probed("LimitMEMLOCK", unit.text("LimitMEMLOCK"));
    if facts.wanted.has_low_port() && !unit.has_capability(BIND) {
        return finding
            .is(Verdict::Warn, format!("sluicegate.service lacks {BIND}"))
            .why(
                "started by systemd as another user than root the server can't listen on ports below 1024, but for those that \
                 sluicegate.socket hands over",
            )
            .by_hand(drop_in(&format!("AmbientCapabilities={BIND}\\nCapabilityBoundingSet={BIND}")));
    }
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
    if !unit.allows_call("bpf") {
        return finding
            .is(Verdict::Warn, "sluicegate.service may not call bpf(2)")
            .why(
                "SystemCallFilter= keeps it away (it is in the group @privileged and in no other): no program can be loaded, \
                 and the kernel answers",
            )
            .by_hand(drop_in("SystemCallFilter=bpf"));
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
    use super::super::testing::{good, one, serving, verdict};
    use super::*;

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
        let caps = "AmbientCapabilities=cap_net_bind_service cap_net_admin cap_net_raw cap_bpf\n";
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
        let all = of(&format!("{caps}SystemCallFilter=accept brk socket\n"));
        let (how, command) = verdict(&all, "service");
        assert!(how == Verdict::Warn && command.unwrap().contains("SystemCallFilter=bpf"));
        let all = of("AmbientCapabilities=cap_net_admin cap_net_raw cap_bpf\n");
        let (how, command) = verdict(&all, "service");
        let command = command.unwrap();
        assert_eq!(how, Verdict::Warn);
        assert!(
            command.contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"),
            "{command}"
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
