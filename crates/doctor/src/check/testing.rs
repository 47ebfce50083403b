//! A machine on which all is well, for tests to break.

use sluicegate_xsk::nic::{Link, RingSizes, UdpHash};

use crate::facts::{Conf, Serving};
use crate::{Facts, Finding, Host, Interface, Limit, Probes, Process, ProcessKind, Role, Verdict};

/// All capabilities.
pub(crate) const ALL: u64 = u64::MAX;

/// A good machine with a good interface `eth0`.
pub(crate) fn good() -> Facts {
    let conf = Conf {
        rp_filter: Some(0),
        arp_ignore: Some(1),
        arp_announce: Some(2),
    };
    Facts {
        host: Host {
            release: "6.18.44".into(),
            processors: 4,
            governors: vec!["performance".into(); 4],
            bpf_jit: Some(1),
            lockdown: Some("none".into()),
            bpffs: Some(true),
            rmem_max_bytes: Some(8 << 20),
            container: None,
            all: conf,
            lo4_forwarding: Some(1),
            lo6_forwarding: Some(1),
        },
        process: Process {
            kind: ProcessKind::Own,
            effective: ALL,
            bounding: ALL,
            memlock: Some(Limit::Unlimited),
            ..Process::default()
        },
        probes: Probes {
            socket: Some(Ok(())),
            load: Some(Ok(())),
        },
        interfaces: vec![eth0()],
        ..Facts::default()
    }
}

/// A good interface.
pub(crate) fn eth0() -> Interface {
    let mut link = Link::default();
    (link.index, link.name, link.mtu_bytes) = (2, "eth0".into(), 1500);
    (link.up, link.running) = (true, true);
    let mut rings = RingSizes::default();
    (rings.rx, rings.max_rx) = (2048, 4096);
    let ports = UdpHash::from_letters("sdfn");
    Interface {
        link,
        role: Role::Listens,
        driver: Some("ixgbe".into()),
        rings: Some(rings),
        rx_queues: 4,
        udp4_hash: ports,
        udp6_hash: ports,
        ..Interface::default()
    }
}

/// A machine on which this is wrong, and all else well.
pub(crate) fn broken(change: impl FnOnce(&mut Facts)) -> Facts {
    let mut facts = good();
    change(&mut facts);
    facts
}

/// That nothing is wrong.
#[track_caller]
pub(crate) fn well(all: &[Finding]) {
    let bad = all.iter().find(|finding| finding.verdict != Verdict::Ok);
    assert_eq!(bad, None);
}

/// The only finding of a check.
#[track_caller]
pub(crate) fn one<'a>(all: &'a [Finding], check: &str) -> &'a Finding {
    let mut found = all.iter().filter(|finding| finding.check == check);
    let first = found
        .next()
        .unwrap_or_else(|| panic!("no finding of {check} in {all:#?}"));
    assert_eq!(found.next(), None, "a second finding of {check}");
    first
}

/// The verdict of a check, and the first command that mends it.
#[track_caller]
pub(crate) fn verdict(all: &[Finding], check: &str) -> (Verdict, Option<String>) {
    let finding = one(all, check);
    if finding.verdict >= Verdict::Warn {
        assert!(!finding.why.is_empty(), "{check} doesn't say why");
    }
    (
        finding.verdict,
        finding.mend.first().map(crate::Mend::command),
    )
}

/// A good machine with a server whose AF_XDP queues on eth0, and kernel, have had so many packets.
pub(crate) fn serving(queues: &[u64], kernel: u64) -> Facts {
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
