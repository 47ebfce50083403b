use sluicegate_conf::XdpMode;

use crate::change::quoted;
use crate::{Driver, Facts, Finding, Group, Interface, KernelVersion, Verdict, known};

/// Kinds that have no queues of their own.
const STACKED: &[&str] = &[
    "bridge", "bond", "team", "vlan", "macvlan", "macvtap", "ipvlan", "ipvtap", "vrf", "dummy",
];

/// The kind of an interface that has no queues of its own.
pub(super) fn stacked(one: &Interface) -> Option<&str> {
    let kind = one.link.kind.as_deref();
    kind.filter(|kind| STACKED.contains(kind))
}

/// Whether programs run in the driver, and whether it has zero-copy.
pub(super) fn driver(facts: &Facts, one: &Interface) -> Finding {
    let name = one.driver.as_deref().unwrap_or("unknown");
    let row = known::driver(name);
    let finding = Finding::new("driver", Group::Interface)
        .probed("driver", one.driver.clone())
        .probed("kind", one.link.kind.clone())
        .probed("xdp_basic", one.features.map(|features| features.basic))
        .probed(
            "xdp_redirect",
            one.features.map(|features| features.redirect),
        )
        .probed(
            "xdp_zero_copy",
            one.features.map(|features| features.zero_copy),
        )
        .probed("source", row.map(|row| row.source));
    if let Some(kind) = stacked(one) {
        return finding.is(
            Verdict::Info,
            format!("a {kind} has no queues of its own; what is below it counts"),
        );
    }
    let Some((runs, zero_copy)) = abilities(facts, one, row) else {
        return finding.is(
            Verdict::Skipped,
            format!("the driver {name} is not known, and this kernel doesn't tell its features"),
        );
    };
    if !runs {
        return generic_only(finding, facts, one, row);
    }
    let version = version(facts);
    if let Some(sound) = row.and_then(Driver::trusted_zero_copy)
        && zero_copy
        && version < sound
    {
        return distrusted(finding, facts, name, (version, sound));
    }
    let offer = if zero_copy {
        "native; the driver offers zero-copy"
    } else {
        "native, in copy mode"
    };
    let mode = running_mode(facts, one);
    let finding = finding.probed("server_mode", mode);
    let finding = finding.is(
        Verdict::Ok,
        match mode {
            Some(mode) => format!("{name}: {offer}; the server runs in mode {mode}"),
            None => format!("{name}: {offer}"),
        },
    );
    let note = row.map_or("", |row| row.note_on(version));
    if note.is_empty() {
        return finding;
    }
    let says = finding.says.clone();
    finding.is(Verdict::Info, says).why(note)
}

/// Zero-copy that `mode: auto` leaves alone on this kernel.
fn distrusted(
    finding: Finding,
    facts: &Facts,
    name: &str,
    (version, sound): (KernelVersion, KernelVersion),
) -> Finding {
    let asked_for = facts.wanted.xdp.mode == XdpMode::ZeroCopy;
    let (verdict, done) = if asked_for {
        (Verdict::Warn, "`mode: zero-copy` asks for it all the same")
    } else {
        (Verdict::Info, "`mode: auto` takes native copy instead")
    };
    finding
        .is(
            verdict,
            format!("{name}: native; its zero-copy is not to be trusted on Linux {version}"),
        )
        .why(format!(
            "it is reported to panic, or to leave the NIC dead, before Linux {sound} (Knot DNS's manual, ethernet-linux-ice \
             58, 59, 61); {done}"
        ))
        .by_hand(format!(
            "apt upgrade    # to Linux {sound} or later, then a restart"
        ))
}

/// The mode in which the running server serves an interface, if it does.
fn running_mode<'f>(facts: &'f Facts, one: &Interface) -> Option<&'f str> {
    let mut served = facts.server.iter().flat_map(|server| &server.placed);
    served.find_map(|served| served.mode_at(&one.link.name))
}

fn version(facts: &Facts) -> KernelVersion {
    KernelVersion::of_release(&facts.host.release).unwrap_or_default()
}

/// Whether programs run in the driver, and whether it has zero-copy: what the kernel tells, else what is known.
fn abilities(facts: &Facts, one: &Interface, row: Option<&Driver>) -> Option<(bool, bool)> {
    if let Some(features) = one.features {
        return Some((features.basic && features.redirect, features.zero_copy));
    }
    let version = version(facts);
    let since = |first: Option<KernelVersion>| first.is_some_and(|first| version >= first);
    row.map(|row| (since(row.native), since(row.zero_copy)))
}

fn generic_only(finding: Finding, facts: &Facts, one: &Interface, row: Option<&Driver>) -> Finding {
    let name = one.driver.as_deref().unwrap_or("unknown");
    let version = version(facts);
    let newer = row
        .and_then(|row| row.native)
        .filter(|first| version < *first);
    let finding = finding
        .is(
            Verdict::Warn,
            format!("the driver {name} runs no XDP programs: generic mode at best"),
        )
        .why("in generic mode the kernel has already made a packet buffer for each query; little is gained");
    match newer {
        Some(first) => finding.by_hand(format!(
            "apt upgrade    # {name} has XDP since Linux {first}"
        )),
        None => finding.by_hand(format!(
            "ethtool -i {}    # which drivers have XDP is told in docs/xdp.md",
            quoted(&one.link.name)
        )),
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_xsk::nic::XdpFeatures;

    use super::super::testing::{eth0, good, one, verdict};
    use super::*;

    fn after(change: impl FnOnce(&mut Interface)) -> Vec<Finding> {
        let mut eth0 = eth0();
        change(&mut eth0);
        vec![driver(&good(), &eth0)]
    }

    fn features(basic: bool, zero_copy: bool) -> XdpFeatures {
        let mut features = XdpFeatures::default();
        (features.basic, features.redirect, features.zero_copy) = (basic, basic, zero_copy);
        features
    }

    #[test]
    fn what_the_kernel_tells_counts_more_than_the_table() {
        let of = |name: &str, told: Option<XdpFeatures>| {
            let all = after(|eth0| (eth0.driver, eth0.features) = (Some(name.into()), told));
            let finding = one(&all, "driver");
            (finding.verdict, finding.says.clone())
        };
        assert_eq!(
            of("mlx5_core", Some(features(true, true))).1,
            "mlx5_core: native; the driver offers zero-copy"
        );
        assert_eq!(
            of("mlx5_core", Some(features(true, false))).1,
            "mlx5_core: native, in copy mode"
        );
        assert_eq!(of("e1000e", None).0, Verdict::Warn);
        assert_eq!(of("veth", Some(features(false, false))).0, Verdict::Warn);
        assert_eq!(of("nobody-knows", None).0, Verdict::Skipped);
        // A note is worth knowing even where all is well.
        assert_eq!(of("i40e", None).0, Verdict::Info);
    }

    #[test]
    fn zero_copy_that_panics_is_named_where_it_does() {
        let of = |release: &str, mode| {
            let (mut facts, mut eth0) = (good(), eth0());
            facts.host.release = release.into();
            facts.wanted.xdp.mode = mode;
            (eth0.driver, eth0.features) = (Some("ice".into()), Some(features(true, true)));
            driver(&facts, &eth0)
        };
        let old = of("6.1.0-50-amd64", XdpMode::Auto);
        assert_eq!(old.verdict, Verdict::Info);
        assert!(
            old.why.contains("6.10.4") && old.why.contains("native copy"),
            "{old:#?}"
        );
        assert_eq!(
            of("6.1.0-50-amd64", XdpMode::ZeroCopy).verdict,
            Verdict::Warn
        );
        let new = of("6.12.107+deb13-amd64", XdpMode::Auto);
        assert_eq!((new.verdict, new.why.as_str()), (Verdict::Ok, ""));
    }

    #[test]
    fn what_the_server_has_is_told_beside_the_offer() {
        let (mut facts, mut eth0) = (good(), eth0());
        (eth0.driver, eth0.features) = (Some("virtio_net".into()), Some(features(true, true)));
        let stats = "place.192.0.2.9@53=eth1 (physical): XDP at eth1 (zero-copy, 4 queues)\n\
                     place.192.0.2.1@53=eth0 (virtio): XDP at eth0 (VLAN 7, copy, 2 queues)\n";
        facts.server = Some(crate::Serving::from_stats(stats));
        assert_eq!(
            driver(&facts, &eth0).says,
            "virtio_net: native; the driver offers zero-copy; the server runs in mode copy"
        );
    }

    #[test]
    fn a_driver_may_need_a_newer_kernel() {
        let mut facts = good();
        facts.host.release = "6.1.0-57-amd64".into();
        let mut eth0 = eth0();
        eth0.driver = Some("vmxnet3".into());
        let (how, command) = verdict(&[driver(&facts, &eth0)], "driver");
        assert!(how == Verdict::Warn && command.unwrap().contains("since Linux 6.6"));
    }

    #[test]
    fn stacked_interfaces_have_no_queues() {
        for kind in STACKED {
            let all = after(|eth0| eth0.link.kind = Some((*kind).into()));
            assert_eq!(verdict(&all, "driver").0, Verdict::Info, "{kind}");
        }
    }
}
