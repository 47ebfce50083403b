use crate::change::quoted;
use crate::known::{NEEDED, troubles};
use crate::{Change, ClosedPath, Facts, Finding, Group, KernelVersion, ProcessKind, Verdict};

/// The kernel and its settings.
pub(super) fn examine(facts: &Facts) -> Vec<Finding> {
    vec![
        kernel(facts),
        jit(facts),
        lockdown(facts),
        bpffs(facts),
        governor(facts),
        container(facts),
        receive_buffer(facts),
    ]
}

fn kernel(facts: &Facts) -> Finding {
    let release = &facts.host.release;
    let finding = Finding::new("kernel", Group::Kernel).probed("release", release.as_str());
    let Some(version) = KernelVersion::of_release(release) else {
        return finding.is(Verdict::Skipped, "the kernel's version can't be read");
    };
    if version < NEEDED {
        return finding
            .is(Verdict::Fail, format!("Linux {version} is too old for the fast path"))
            .why(format!(
                "older kernels don't take the server's program: bpf_xdp_get_buff_len, by which it learns how long a frame is, \
                 came with Linux {NEEDED}; until then the kernel's sockets answer"
            ))
            .by_hand("apt install linux-image-amd64    # or another way to a newer kernel, then a restart");
    }
    if let Some(trouble) = troubles(version).next() {
        return finding
            .probed("source", trouble.source)
            .is(Verdict::Warn, format!("Linux {version}: {}", trouble.what))
            .why(format!(
                "`mode: auto` leaves generic mode alone here; native modes are not concerned ({})",
                trouble.source
            ))
            .by_hand("apt upgrade    # to another kernel, then a restart");
    }
    finding.is(Verdict::Ok, format!("Linux {version}"))
}

fn jit(facts: &Facts) -> Finding {
    let finding =
        Finding::new("bpf-jit", Group::Kernel).probed("bpf_jit_enable", facts.host.bpf_jit);
    match facts.host.bpf_jit {
        Some(0) => finding
            .is(Verdict::Warn, "BPF programs are interpreted")
            .why("every packet of the interface runs through the program; interpreted it takes several times as long")
            .mend(Change::Sysctl {
                key: "net/core/bpf_jit_enable".into(),
                from: "0".into(),
                to: "1".into(),
            }),
        Some(_) => finding.is(Verdict::Ok, "BPF programs are compiled"),
        None => finding.is(Verdict::Skipped, "the kernel doesn't tell whether BPF programs are compiled"),
    }
}

fn lockdown(facts: &Facts) -> Finding {
    let finding =
        Finding::new("lockdown", Group::Kernel).probed("mode", facts.host.lockdown.clone());
    match facts.host.lockdown.as_deref() {
        None => finding.is(Verdict::Ok, "there is no lockdown"),
        Some("none") => finding.is(Verdict::Ok, "lockdown is off"),
        Some("confidentiality") => finding
            .is(Verdict::Warn, "lockdown is in mode confidentiality")
            .why(
                "it forbids BPF programs to read kernel memory; XDP programs need not, but some kernels refuse more. If \
                 `program` below is ok, leave it",
            )
            .by_hand("# boot with lockdown=integrity on the kernel's command line"),
        Some(mode) => finding.is(Verdict::Ok, format!("lockdown in mode {mode} allows XDP")),
    }
}

fn bpffs(facts: &Facts) -> Finding {
    let finding = Finding::new("bpffs", Group::Kernel).probed("mounted", facts.host.bpffs);
    if let Some(ClosedPath { directory, user }) = &facts.closed {
        let (user, directory) = (quoted(user), directory.display().to_string());
        return finding
            .probed("closed", directory.as_str())
            .is(
                Verdict::Warn,
                format!("the user {user} can't pass {directory}, below which `pinned-maps:` are"),
            )
            .why(
                "systemd mounts the BPF file system for root alone, and no capability of the server's lifts that: as another \
                 user it finds no map there, made before or not, and the kernel answers",
            )
            .by_hand(format!(
                "chgrp \"$(id -g {user})\" {directory} && chmod g+x {directory}    # until the next start of the machine",
                directory = quoted(&directory)
            ));
    }
    match facts.host.bpffs {
        Some(true) => finding.is(Verdict::Ok, "a BPF file system is at /sys/fs/bpf"),
        Some(false) => finding
            .is(Verdict::Info, "no BPF file system at /sys/fs/bpf")
            .why("only needed to share the map of sockets with a program of your own, and by bpftool")
            .by_hand("mount -t bpf bpf /sys/fs/bpf"),
        None => finding.is(Verdict::Skipped, "the mounts can't be read"),
    }
}

fn governor(facts: &Facts) -> Finding {
    let governors = &facts.host.governors;
    let finding = Finding::new("governor", Group::Kernel).probed("governors", governors.clone());
    let Some(first) = governors.first() else {
        return finding.is(
            Verdict::Skipped,
            "processors have no frequency governor (a virtual machine, or the firmware's affair)",
        );
    };
    if governors.iter().all(|one| one == "performance") {
        return finding.is(Verdict::Ok, "all processors run at full frequency");
    }
    let finding = finding
        .is(Verdict::Info, format!("processors are governed by {first}"))
        .why("a processor that slows down between queries answers the next one later; for the lowest latency keep it fast");
    if governors.iter().all(|one| one == first) {
        return finding.mend(Change::Governor {
            from: first.clone(),
            to: "performance".into(),
        });
    }
    finding.by_hand("cpupower frequency-set --governor performance")
}

fn container(facts: &Facts) -> Finding {
    let finding = Finding::new("container", Group::Kernel)
        .probed("container", facts.host.container.clone())
        .probed("user_namespace", facts.process.user_namespace);
    let Some(name) = &facts.host.container else {
        return finding.is(Verdict::Ok, "no container");
    };
    finding
        .is(Verdict::Info, format!("this is a container ({name})"))
        .why(
            "the fast path reaches the network card only with the host's network; with a network of its own it runs on the \
             container's veth, in copy mode",
        )
        .by_hand(
            "podman run --network host --cap-add NET_ADMIN --cap-add NET_RAW --cap-add BPF --ulimit \
             memlock=-1 ...",
        )
}

/// What the server asks for each of the kernel's UDP sockets; beyond the limit of all it needs `CAP_NET_ADMIN`.
const RECEIVE_BUFFER_BYTES: u64 = 4 << 20;
/// Its number in `linux/capability.h`.
const NET_ADMIN: u32 = 12;

fn receive_buffer(facts: &Facts) -> Finding {
    let finding = Finding::new("receive-buffer", Group::Kernel)
        .probed("rmem_max_bytes", facts.host.rmem_max_bytes)
        .probed("wanted_bytes", RECEIVE_BUFFER_BYTES);
    let process = &facts.process;
    let exceeds = match &facts.unit {
        Some(unit) => unit.has_capability("CAP_NET_ADMIN"),
        None => process.kind == ProcessKind::Server || process.can(NET_ADMIN),
    };
    match facts.host.rmem_max_bytes {
        None => finding.is(Verdict::Skipped, "the limit of receive buffers can't be read"),
        Some(limit) if limit >= RECEIVE_BUFFER_BYTES => {
            finding.is(Verdict::Ok, format!("receive buffers may have {limit} bytes"))
        }
        Some(_) if exceeds => {
            finding.is(Verdict::Ok, "the server may exceed the limit of receive buffers")
        }
        Some(limit) => finding
            .is(
                Verdict::Info,
                format!("receive buffers are limited to {limit} bytes, and the server wants {RECEIVE_BUFFER_BYTES}"),
            )
            .why("on the kernel's path a burst of queries that overflows a socket's buffer is lost; CAP_NET_ADMIN would lift the limit")
            .mend(Change::Sysctl {
                key: "net/core/rmem_max".into(),
                from: limit.to_string(),
                to: RECEIVE_BUFFER_BYTES.to_string(),
            }),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{broken, verdict, well};
    use super::*;

    fn after(change: impl FnOnce(&mut Facts)) -> Vec<Finding> {
        examine(&broken(change))
    }

    #[test]
    fn a_good_machine_is_well() {
        well(&after(|_| {}));
    }

    #[test]
    fn kernels() {
        let of = |release: &str| {
            verdict(
                &after(|facts| facts.host.release = release.into()),
                "kernel",
            )
            .0
        };
        assert_eq!(of("5.10.0-30-amd64"), Verdict::Fail);
        assert_eq!(of("5.17.15"), Verdict::Fail);
        assert_eq!(of("5.18.0"), Verdict::Ok);
        assert_eq!(of("6.17.4-200.fc42"), Verdict::Warn);
        assert_eq!(of(""), Verdict::Skipped);
    }

    #[test]
    fn an_interpreter_is_switched_off_by_a_sysctl() {
        let all = after(|facts| facts.host.bpf_jit = Some(0));
        let command = "sysctl -w net/core/bpf_jit_enable=1".to_owned();
        assert_eq!(verdict(&all, "bpf-jit"), (Verdict::Warn, Some(command)));
        assert_eq!(
            verdict(&after(|facts| facts.host.bpf_jit = None), "bpf-jit").0,
            Verdict::Skipped
        );
    }

    #[test]
    fn lockdown_modes() {
        let of = |mode: &str| {
            verdict(
                &after(|facts| facts.host.lockdown = Some(mode.into())),
                "lockdown",
            )
            .0
        };
        assert_eq!(
            (of("integrity"), of("confidentiality")),
            (Verdict::Ok, Verdict::Warn)
        );
        assert_eq!(
            verdict(&after(|facts| facts.host.lockdown = None), "lockdown").0,
            Verdict::Ok
        );
    }

    #[test]
    fn a_missing_bpffs_can_be_mounted() {
        let all = after(|facts| facts.host.bpffs = Some(false));
        assert_eq!(
            verdict(&all, "bpffs"),
            (Verdict::Info, Some("mount -t bpf bpf /sys/fs/bpf".into()))
        );
    }

    #[test]
    fn a_closed_bpffs_is_opened_for_the_user() {
        let all = after(|facts| {
            facts.closed = Some(ClosedPath {
                directory: "/sys/fs/bpf".into(),
                user: "sluicegate".into(),
            });
        });
        let (how, command) = verdict(&all, "bpffs");
        let typed = "chgrp \"$(id -g sluicegate)\" /sys/fs/bpf && chmod g+x /sys/fs/bpf    # ";
        assert!(how == Verdict::Warn && command.unwrap().starts_with(typed));
    }

    #[test]
    fn governors() {
        let of = |names: &[&str]| {
            let names = names.iter().map(|&name| name.to_owned()).collect();
            verdict(&after(|facts| facts.host.governors = names), "governor")
        };
        assert_eq!(of(&[]).0, Verdict::Skipped);
        let (how, command) = of(&["powersave", "powersave"]);
        assert_eq!(how, Verdict::Info);
        assert!(command.unwrap().contains("echo performance"));
        assert!(
            of(&["powersave", "schedutil"])
                .1
                .unwrap()
                .contains("cpupower")
        );
    }

    #[test]
    fn containers_are_named() {
        let all = after(|facts| facts.host.container = Some("docker".into()));
        assert_eq!(verdict(&all, "container").0, Verdict::Info);
    }

    #[test]
    fn small_receive_buffers_matter_to_those_who_cannot_exceed_them() {
        let of = |limit: u64, effective: u64| {
            let all = after(|facts| {
                facts.host.rmem_max_bytes = Some(limit);
                facts.process.effective = effective;
            });
            verdict(&all, "receive-buffer")
        };
        let command = "sysctl -w net/core/rmem_max=4194304".to_owned();
        assert_eq!(of(212_992, 0), (Verdict::Info, Some(command)));
        assert_eq!(of(212_992, 1 << NET_ADMIN).0, Verdict::Ok);
        assert_eq!(of(RECEIVE_BUFFER_BYTES, 0).0, Verdict::Ok);
    }
}
