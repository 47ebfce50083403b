use super::driver::stacked;
use crate::{Facts, Finding, Group, Limit, ProcessKind, Verdict};

/// What the process may do.
pub(super) fn examine(facts: &Facts) -> Vec<Finding> {
    vec![
        capabilities(facts),
        socket(facts),
        program(facts),
        memlock(facts),
        seccomp(facts),
        confinement(facts),
    ]
}

/// Bits and names of `linux/capability.h` that AF_XDP needs: the least there is, by test.
pub(super) const NEEDED: &[(u32, &str)] =
    &[(12, "CAP_NET_ADMIN"), (13, "CAP_NET_RAW"), (39, "CAP_BPF")];
/// Stands for the last one, as before Linux 5.8.
const SYS_ADMIN: u32 = 21;
const IPC_LOCK: u32 = 14;
const SYS_RESOURCE: u32 = 24;
/// Lets a program without root have them.
const SETCAP: &str =
    "setcap cap_net_bind_service,cap_net_raw,cap_net_admin,cap_bpf=ep \"$(command -v sluicegate)\"";

/// No capability is missing: what else there may be.
const OTHERS: &str = "sluicegate doctor kernel lockdown capabilities seccomp confinement    # one of these has the reason";
/// The number of `CAP_NET_RAW`.
const NET_RAW: u32 = 13;

fn capabilities(facts: &Facts) -> Finding {
    let process = &facts.process;
    let finding = Finding::new("capabilities", Group::Privileges)
        .probed("effective", format!("{:016x}", process.effective))
        .probed("bounding", format!("{:016x}", process.bounding));
    if process.kind == ProcessKind::Server {
        return finding.is(
            Verdict::Ok,
            "the server has started; what it needed then it need not have now",
        );
    }
    let covered = |bit: u32| process.can(bit) || (bit == 39 && process.can(SYS_ADMIN));
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(bit, _)| !covered(*bit))
        .map(|(_, name)| *name)
        .collect();
    if process.user_namespace && missing.is_empty() {
        return finding
            .is(Verdict::Warn, "the capabilities are those of a user namespace")
            .why("the kernel wants CAP_BPF and CAP_NET_ADMIN of the host for an XDP program on one of the host's interfaces")
            .by_hand("# run outside of the user namespace (rootless containers have one)");
    }
    if missing.is_empty() {
        return finding.is(Verdict::Ok, "nothing is missing for AF_XDP");
    }
    finding
        .is(Verdict::Fail, format!("missing {}", missing.join(", ")))
        .why("the XDP program can't be loaded and attached, nor AF_XDP sockets made: EPERM at the start, and the kernel answers")
        .by_hand(SETCAP)
}

fn socket(facts: &Facts) -> Finding {
    let finding = Finding::new("af-xdp", Group::Privileges);
    let Some(tried) = facts.probes.socket else {
        return finding.is(Verdict::Skipped, "not tried");
    };
    match tried {
        Ok(()) => finding
            .probed("socket", "ok")
            .is(Verdict::Ok, "AF_XDP sockets can be made"),
        Err(errno) => {
            let finding = finding.probed("socket", errno.to_string()).is(
                Verdict::Fail,
                format!("an AF_XDP socket can't be made: {errno}"),
            );
            match errno.number() {
                EAFNOSUPPORT => finding
                    .why(
                        "either the kernel is built without CONFIG_XDP_SOCKETS, or a filter keeps the address family away \
                         (systemd's RestrictAddressFamilies=)",
                    )
                    .by_hand(drop_in("RestrictAddressFamilies=AF_XDP")),
                EPERM if !facts.process.can(NET_RAW) => {
                    finding.why("CAP_NET_RAW is missing").by_hand(SETCAP)
                }
                EPERM => finding
                    .why("CAP_NET_RAW is there: a seccomp filter, a security module or a user namespace forbids it")
                    .by_hand(OTHERS),
                _ => finding
                    .why("it is not for want of a capability; without such sockets the kernel answers")
                    .by_hand("journalctl -k    # what the kernel has to say of it"),
            }
        }
    }
}

/// `libc::EPERM`.
const EPERM: i32 = 1;
/// `libc::EAFNOSUPPORT`, the same on all architectures that Rust supports but MIPS and SPARC.
const EAFNOSUPPORT: i32 = 97;

fn program(facts: &Facts) -> Finding {
    let finding = Finding::new("program", Group::Privileges);
    match &facts.probes.load {
        None => finding.is(Verdict::Skipped, "not tried"),
        Some(Ok(())) => finding
            .probed("load", "ok")
            .is(Verdict::Ok, "the kernel takes the XDP program"),
        Some(Err(refusal)) => finding
            .probed("load", refusal.says.as_str())
            .is(
                Verdict::Fail,
                format!("the kernel does not take the XDP program: {}", refusal.says),
            )
            .why("without its program nothing is redirected to AF_XDP, and the kernel answers")
            .by_hand(if refusal.lacks_capability {
                SETCAP
            } else {
                OTHERS
            }),
    }
}

fn memlock(facts: &Facts) -> Finding {
    let process = &facts.process;
    let needed = needed_bytes(facts);
    let finding = Finding::new("memlock", Group::Privileges)
        .probed("needed_bytes", needed)
        .probed("under_systemd", process.under_systemd);
    let limit = match process.memlock {
        None => return finding.is(Verdict::Skipped, "the limit of locked memory can't be read"),
        Some(Limit::Unlimited) => {
            return finding
                .probed("limit_bytes", "unlimited")
                .is(Verdict::Ok, "locked memory has no limit");
        }
        Some(Limit::Bytes(limit)) => limit,
    };
    let finding = finding.probed("limit_bytes", limit);
    // A server with `username:` keeps no capability; one that may raise its limit does so first.
    let lifted = !facts.wanted.drops_privileges && process.can(IPC_LOCK);
    if lifted || process.kind == ProcessKind::Own && process.can(SYS_RESOURCE) {
        return finding.is(
            Verdict::Ok,
            "this user's capabilities lift the limit of locked memory",
        );
    }
    if limit >= needed {
        return finding.is(
            Verdict::Ok,
            format!("{limit} bytes may be locked, {needed} are needed"),
        );
    }
    let says = format!("only {limit} bytes may be locked, and the buffers of AF_XDP need {needed}");
    let why = "a queue whose buffers can't be locked is not opened, and the kernel answers";
    if process.under_systemd || process.kind == ProcessKind::Server {
        finding
            .is(Verdict::Warn, says)
            .why(why)
            .by_hand(drop_in("LimitMEMLOCK=infinity"))
    } else {
        finding
            .is(Verdict::Info, says)
            .why(format!(
                "{why}. This is the limit of this shell; a service has its own (LimitMEMLOCK=)"
            ))
            .by_hand(raise(process.memlock_hard, needed))
    }
}

/// How a shell gets a higher limit.
fn raise(hard: Option<Limit>, needed: u64) -> String {
    match hard {
        Some(Limit::Unlimited) => "ulimit -l unlimited".to_owned(),
        Some(Limit::Bytes(bytes)) if bytes >= needed => format!("ulimit -l {}", bytes / 1024),
        _ => "prlimit --pid $$ --memlock=unlimited    # as root, or by limits.conf(5)".to_owned(),
    }
}

/// Buffers of all queues that would be served.
fn needed_bytes(facts: &Facts) -> u64 {
    const FRAME_BYTES: u64 = 2048;
    let on_interfaces: u32 = facts
        .interfaces
        .iter()
        .filter(|one| stacked(one).is_none())
        .map(|one| one.rx_queues)
        .sum();
    let queues = if on_interfaces == 0 {
        facts.host.processors.max(1)
    } else {
        on_interfaces
    };
    let served = facts
        .wanted
        .xdp
        .queues
        .map_or(queues, |wanted| wanted.min(queues));
    u64::from(served) * u64::from(facts.wanted.xdp.frames) * FRAME_BYTES
}

fn seccomp(facts: &Facts) -> Finding {
    let finding = Finding::new("seccomp", Group::Privileges).probed("mode", facts.process.seccomp);
    let tried = &facts.probes;
    let refused = matches!(tried.socket, Some(Err(_))) || matches!(tried.load, Some(Err(_)));
    if facts.process.seccomp == 0 {
        finding.is(Verdict::Ok, "no filter of system calls")
    } else if facts.process.kind == ProcessKind::Server {
        finding.is(
            Verdict::Ok,
            "the server runs behind a filter of system calls",
        )
    } else if refused {
        finding
            .is(Verdict::Warn, "a filter of system calls is in place, and something was refused")
            .why("bpf(2) is in systemd's group @privileged and in no other; containers forbid it without CAP_BPF")
            .by_hand(drop_in("SystemCallFilter=bpf"))
    } else {
        finding.is(
            Verdict::Ok,
            "the filter of system calls lets AF_XDP through",
        )
    }
}

fn confinement(facts: &Facts) -> Finding {
    let finding = Finding::new("confinement", Group::Privileges)
        .probed("label", facts.process.confined_by.clone());
    match &facts.process.confined_by {
        None => finding.is(Verdict::Ok, "no security module confines the process"),
        Some(label) => finding
            .is(Verdict::Info, format!("confined as {label}"))
            .why(
                "an AppArmor profile needs the lines `network xdp raw,`, `network netlink raw,` and `capability net_admin, \
                 net_raw, bpf,`",
            )
            .by_hand("journalctl -k --grep 'apparmor=\"DENIED\"|avc:.*denied'"),
    }
}

/// Adds a line to the service. Drop-ins are read in the order of their names, and others may empty the same lists before:
/// this one comes last.
pub(super) fn drop_in(line: &str) -> String {
    let name = line.split('=').next().unwrap_or(line).to_lowercase();
    format!(
        "mkdir -p /etc/systemd/system/sluicegate.service.d && \
         printf '[Service]\\n{line}\\n' > /etc/systemd/system/sluicegate.service.d/zz-doctor-{name}.conf && \
         systemctl daemon-reload && systemctl restart sluicegate"
    )
}

#[cfg(test)]
mod tests {
    use sluicegate_xsk::Errno;

    use super::super::testing::{ALL, broken, eth0, one, verdict, well};
    use super::*;
    use crate::LoadRefusal;

    fn after(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
        examine(&broken(change))
    }

    #[test]
    fn a_good_process_is_well() {
        well(&after(|_| {}));
    }

    #[test]
    fn missing_capabilities_are_named() {
        let all = after(|facts| facts.process.effective = ALL & !(1 << 12) & !(1 << 13));
        assert_eq!(
            one(&all, "capabilities").says,
            "missing CAP_NET_ADMIN, CAP_NET_RAW"
        );
        let (how, command) = verdict(&all, "capabilities");
        assert!(how == Verdict::Fail && command.unwrap().starts_with("setcap "));
        // CAP_SYS_ADMIN stands for CAP_BPF.
        let few = (1 << 12) | (1 << 13) | (1 << 21);
        assert_eq!(
            verdict(
                &after(|facts| facts.process.effective = few),
                "capabilities"
            )
            .0,
            Verdict::Ok
        );
        let all = after(|facts| facts.process.user_namespace = true);
        assert_eq!(verdict(&all, "capabilities").0, Verdict::Warn);
        let all =
            after(|facts| (facts.process.effective, facts.process.kind) = (0, ProcessKind::Server));
        assert_eq!(verdict(&all, "capabilities").0, Verdict::Ok);
    }

    #[test]
    fn sockets_that_are_refused() {
        let of = |number| {
            verdict(
                &after(|facts| facts.probes.socket = Some(Err(Errno::new(number)))),
                "af-xdp",
            )
        };
        let (how, command) = of(EAFNOSUPPORT);
        assert!(
            how == Verdict::Fail && command.unwrap().contains("RestrictAddressFamilies=AF_XDP")
        );
        // All capabilities are there.
        assert!(of(1).1.unwrap().starts_with("sluicegate doctor kernel "));
        assert!(of(12).1.unwrap().starts_with("journalctl "));
        let all = after(|facts| {
            facts.process.effective = ALL & !(1 << NET_RAW);
            facts.probes.socket = Some(Err(Errno::new(1)));
        });
        assert!(verdict(&all, "af-xdp").1.unwrap().starts_with("setcap "));
        assert_eq!(
            verdict(&after(|facts| facts.probes.socket = None), "af-xdp").0,
            Verdict::Skipped
        );
    }

    fn refusal(lacks_capability: bool) -> LoadRefusal {
        LoadRefusal {
            says: "not permitted".into(),
            lacks_capability,
        }
    }

    #[test]
    fn programs_that_are_refused() {
        let of = |lacks| after(|facts| facts.probes.load = Some(Err(refusal(lacks))));
        let (how, command) = verdict(&of(true), "program");
        assert!(how == Verdict::Fail && command.unwrap().starts_with("setcap "));
        // No capability makes a kernel take what it doesn't know.
        let (how, command) = verdict(&of(false), "program");
        assert!(how == Verdict::Fail && !command.unwrap().contains("setcap"));
        assert!(one(&of(false), "program").says.contains("not permitted"));
    }

    #[test]
    fn locked_memory() {
        let limited = |more: fn(&mut Facts)| {
            after(move |facts| {
                facts.wanted.xdp.frames = 8192;
                facts.process.memlock = Some(Limit::Bytes(8 << 20));
                facts.process.effective = ALL & !(1 << IPC_LOCK) & !(1 << SYS_RESOURCE);
                more(facts);
            })
        };
        // Four queues of 16 MiB each.
        let all = limited(|_| {});
        let (how, command) = verdict(&all, "memlock");
        assert!(how == Verdict::Info && command.unwrap().starts_with("prlimit "));
        let by_itself = |hard| {
            let all = after(|facts| {
                facts.process.memlock = Some(Limit::Bytes(8 << 20));
                facts.process.memlock_hard = Some(hard);
                facts.process.effective = ALL & !(1 << IPC_LOCK) & !(1 << SYS_RESOURCE);
            });
            verdict(&all, "memlock").1
        };
        assert_eq!(by_itself(Limit::Unlimited).unwrap(), "ulimit -l unlimited");
        assert_eq!(
            by_itself(Limit::Bytes(64 << 20)).unwrap(),
            "ulimit -l 65536"
        );
        assert!(one(&all, "memlock").says.contains("67108864"));
        let (how, command) = verdict(
            &limited(|facts| facts.process.under_systemd = true),
            "memlock",
        );
        let command = command.unwrap();
        assert!(how == Verdict::Warn && command.contains("LimitMEMLOCK=infinity"));
        assert!(
            command.contains("/zz-doctor-limitmemlock.conf"),
            "{command}"
        );
        // A bond's queues are those of its members.
        let bond = limited(|facts| {
            let mut bond = eth0();
            (bond.link.index, bond.link.kind) = (3, Some("bond".into()));
            facts.interfaces.push(bond);
        });
        assert!(one(&bond, "memlock").says.contains("67108864"));
        // What root may is not what the server may that root starts.
        let other_user = limited(|facts| {
            facts.process.effective = 1 << IPC_LOCK;
            facts.wanted.drops_privileges = true;
        });
        assert_eq!(verdict(&other_user, "memlock").0, Verdict::Info);
        let server = limited(|facts| facts.process.kind = ProcessKind::Server);
        assert_eq!(verdict(&server, "memlock").0, Verdict::Warn);
        for enough in [
            (|facts: &mut Facts| facts.process.effective = ALL) as fn(&mut Facts),
            |facts| facts.process.memlock = Some(Limit::Unlimited),
            |facts| facts.process.memlock = Some(Limit::Bytes(64 << 20)),
            |facts| facts.wanted.xdp.frames = 1024,
            |facts| facts.process.effective = 1 << IPC_LOCK,
        ] {
            assert_eq!(verdict(&limited(enough), "memlock").0, Verdict::Ok);
        }
    }

    #[test]
    fn filters_matter_only_when_something_is_refused() {
        let all = after(|facts| facts.process.seccomp = 2);
        assert_eq!(verdict(&all, "seccomp").0, Verdict::Ok);
        let all = after(|facts| {
            facts.process.seccomp = 2;
            facts.probes.load = Some(Err(refusal(false)));
        });
        assert_eq!(verdict(&all, "seccomp").0, Verdict::Warn);
    }

    #[test]
    fn confinement_is_named() {
        let all = after(|facts| facts.process.confined_by = Some("sluicegate (enforce)".into()));
        assert_eq!(verdict(&all, "confinement").0, Verdict::Info);
    }
}
