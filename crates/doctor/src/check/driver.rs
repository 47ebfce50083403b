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
    let note = row.map_or("", |row| row.note);
    let finding = if !runs {
        generic_only(finding, facts, one, row)
    } else if zero_copy {
        finding.is(Verdict::Ok, format!("{name}: native, zero-copy"))
    } else {
        finding.is(Verdict::Ok, format!("{name}: native, in copy mode"))
    };
    if note.is_empty() || !finding.why.is_empty() {
        return finding;
    }
    let (verdict, says) = (finding.verdict.max(Verdict::Info), finding.says.clone());
    finding.is(verdict, says).why(note)
}

/// Whether programs run in the driver, and whether it has zero-copy: what the kernel tells, else what is known.
fn abilities(facts: &Facts, one: &Interface, row: Option<&Driver>) -> Option<(bool, bool)> {
    if let Some(features) = one.features {
        return Some((features.basic && features.redirect, features.zero_copy));
    }
    let version = KernelVersion::of_release(&facts.host.release).unwrap_or_default();
    let since = |first: Option<KernelVersion>| first.is_some_and(|first| version >= first);
    row.map(|row| (since(row.native), since(row.zero_copy)))
}

fn generic_only(finding: Finding, facts: &Facts, one: &Interface, row: Option<&Driver>) -> Finding {
    let name = one.driver.as_deref().unwrap_or("unknown");
    let version = KernelVersion::of_release(&facts.host.release).unwrap_or_default();
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
            "mlx5_core: native, zero-copy"
        );
        assert_eq!(
            of("mlx5_core", Some(features(true, false))).1,
            "mlx5_core: native, in copy mode"
        );
        assert_eq!(of("e1000e", None).0, Verdict::Warn);
        assert_eq!(of("veth", Some(features(false, false))).0, Verdict::Warn);
        assert_eq!(of("nobody-knows", None).0, Verdict::Skipped);
        // A note is worth knowing even where all is well.
        assert_eq!(of("ice", None).0, Verdict::Info);
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
