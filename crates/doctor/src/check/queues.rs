use sluicegate_xsk::nic::{AttachedMode, Offloads};

use crate::change::quoted;
use crate::{Change, Facts, Finding, Flow, Group, Interface, Offload, Verdict};

/// Queues, and how packets are spread over them.
pub(super) fn examine(facts: &Facts, one: &Interface) -> Vec<Finding> {
    vec![
        count(facts, one),
        hash(one),
        steering(one),
        rings(one),
        interrupts(facts, one),
        vlan_offload(facts, one),
        lro(one),
    ]
}

fn count(facts: &Facts, one: &Interface) -> Finding {
    let (queues, processors) = (one.rx_queues, facts.host.processors.max(1));
    let channels = one.channels;
    let finding = Finding::new("queues", Group::Interface)
        .probed("rx_queues", queues)
        .probed(
            "max_combined",
            channels.map(|channels| channels.max_combined),
        )
        .probed("processors", processors);
    let says = format!(
        "{}, {}",
        counted(queues, "RX queue"),
        counted(processors, "processor")
    );
    let Some(channels) = channels else {
        return finding.is(Verdict::Ok, says);
    };
    if channels.combined > 0 && channels.tx > 0 && channels.rx == 0 || queues > tx(one) {
        return finding
            .is(Verdict::Info, format!("{queues} RX queues and {} TX queues", tx(one)))
            .why("a queue is served only if it can send too; packets of the others stay with the kernel");
    }
    let name = one.driver.as_deref();
    let usable = match name {
        // Each channel takes one more for XDP to send by.
        Some(ENA) => (channels.max_combined / 2).max(1),
        _ => channels.max_combined,
    };
    let better = usable.min(processors);
    if name == Some(ENA) && channels.combined > usable && channels.max_combined > 1 {
        return finding
            .is(Verdict::Warn, format!("{says}; with XDP the driver has {usable} at most"))
            .why(
                "ena refuses native XDP where more than half of the device's channels are in use (amzn-drivers 164, 240); \
                 generic mode is all that is left then",
            )
            .mend(Change::Channels {
                interface: one.link.name.clone(),
                from: channels.combined,
                to: better,
            });
    }
    if name == Some(VIRTIO) && channels.combined < better {
        return finding
            .is(Verdict::Info, format!("{says}; the device could have {better} queues"))
            .why(
                "virtio_net sends for XDP by queue pairs that are spare, one for each processor: if all are in use it sends \
                 in a slower, locked mode. More queues are good only where the machine has as many again",
            );
    }
    if channels.combined > 0 && channels.combined < better {
        return finding
            .is(Verdict::Info, format!("{says}; the device could have {better} queues"))
            .why("each queue is served by a worker of its own: with fewer queues than processors some of these stay idle")
            .mend(Change::Channels {
                interface: one.link.name.clone(),
                from: channels.combined,
                to: better,
            });
    }
    if queues > processors {
        return finding
            .is(Verdict::Info, says)
            .why("more workers than processors take turns; nothing is lost but some cache warmth");
    }
    finding.is(Verdict::Ok, says)
}

const ENA: &str = "ena";
const VIRTIO: &str = "virtio_net";

fn counted(number: u32, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

fn tx(one: &Interface) -> u32 {
    one.channels.map_or(one.rx_queues, |channels| {
        channels.tx.saturating_add(channels.combined)
    })
}

fn hash(one: &Interface) -> Finding {
    let shown = |hash: Option<_>| hash.map(|hash: sluicegate_xsk::nic::UdpHash| hash.to_string());
    let finding = Finding::new("rss", Group::Interface)
        .probed("udp4", shown(one.udp4_hash))
        .probed("udp6", shown(one.udp6_hash));
    if one.rx_queues < 2 {
        return finding.is(Verdict::Ok, "one queue: nothing to spread");
    }
    let flows = [(Flow::Udp4, one.udp4_hash), (Flow::Udp6, one.udp6_hash)];
    if flows.iter().all(|(_, hash)| hash.is_none()) {
        return finding.is(Verdict::Skipped, "the driver doesn't tell what it hashes");
    }
    let poor: Vec<_> = flows
        .into_iter()
        .filter_map(|(flow, hash)| {
            hash.filter(|hash| !hash.has_ports())
                .map(|hash| (flow, hash))
        })
        .collect();
    if poor.is_empty() {
        return finding.is(Verdict::Ok, "UDP packets are spread by addresses and ports");
    }
    poor.iter().fold(
        finding
            .is(Verdict::Warn, "UDP packets are spread by their addresses alone")
            .why("all queries of one client, as of a resolver or forwarder with many users, take one queue and one worker"),
        |finding, (flow, hash)| {
            finding.mend(Change::UdpHash {
                interface: one.link.name.clone(),
                flow: *flow,
                from: hash.to_string(),
                to: "sdfn".into(),
            })
        },
    )
}

fn steering(one: &Interface) -> Finding {
    let finding = Finding::new("steering", Group::Interface)
        .probed("ntuple", is_active(one, Offloads::NTUPLE))
        .probed("rules", one.steering_rules);
    match one.steering_rules {
        Some(rules) if rules > 0 => finding
            .is(Verdict::Info, format!("{rules} rules steer packets to chosen queues"))
            .why(
                "every queue is served here, so DNS needs no rule; one that sends all of port 53 to a single queue, as some \
                 guides advise, leaves the other workers idle",
            )
            .by_hand(format!("ethtool -n {}", quoted(&one.link.name))),
        Some(_) => finding.is(Verdict::Ok, "no steering rules; the hash spreads all packets"),
        None => finding.is(Verdict::Skipped, "the driver has no steering rules"),
    }
}

/// Smaller rings lose packets in bursts.
const RING_ENTRIES: u32 = 512;

fn rings(one: &Interface) -> Finding {
    let finding = Finding::new("rings", Group::Interface)
        .probed("rx", one.rings.map(|rings| rings.rx))
        .probed("max_rx", one.rings.map(|rings| rings.max_rx));
    let Some(rings) = one.rings.filter(|rings| rings.rx > 0) else {
        return finding.is(Verdict::Skipped, "the driver doesn't tell its ring sizes");
    };
    let better = rings.max_rx.min(2048);
    if rings.rx >= RING_ENTRIES || rings.rx >= better {
        return finding.is(
            Verdict::Ok,
            format!("receiving rings of {} entries", rings.rx),
        );
    }
    finding
        .is(Verdict::Info, format!("receiving rings of {} entries; {} are possible", rings.rx, rings.max_rx))
        .why("a burst longer than the ring is lost before anybody sees it (`ethtool -S`: rx_missed, rx_no_buffer)")
        .mend(Change::RxRing {
            interface: one.link.name.clone(),
            from: rings.rx,
            to: better,
        })
}

fn interrupts(facts: &Facts, one: &Interface) -> Finding {
    let shown: Vec<String> = one
        .interrupts
        .iter()
        .map(|one| format!("{}:{}", one.number, one.effective))
        .collect();
    let finding = Finding::new("interrupts", Group::Interface).probed("processors", shown);
    let Some(first) = one.interrupts.first().map(|first| &first.effective) else {
        return finding.is(Verdict::Skipped, "the device has no interrupts of its own");
    };
    let all_on_one = one
        .interrupts
        .iter()
        .all(|interrupt| interrupt.effective == *first);
    if one.rx_queues < 2 || facts.host.processors < 2 || !all_on_one || first.contains(['-', ',']) {
        return finding.is(Verdict::Ok, "interrupts are spread over processors");
    }
    let finding = finding
        .is(
            Verdict::Warn,
            format!(
                "all {} interrupts go to processor {first}",
                one.interrupts.len()
            ),
        )
        .why("that processor receives for all queues, however many workers there are");
    one.interrupts
        .iter()
        .zip((0..facts.host.processors).cycle())
        .filter(|(interrupt, to)| interrupt.effective != to.to_string())
        .fold(finding, |finding, (interrupt, to)| {
            finding.mend(Change::Irq {
                number: interrupt.number,
                from: interrupt.allowed.clone(),
                to: to.to_string(),
            })
        })
}

/// Whether a VLAN above is listened on, whose tags the device would take off.
fn vlan_offload(facts: &Facts, one: &Interface) -> Finding {
    let finding = Finding::new("vlan-offload", Group::Interface)
        .probed("rxvlan", is_active(one, Offloads::RX_VLAN))
        .probed(
            "rx_vlan_stag_hw_parse",
            is_active(one, Offloads::RX_SERVICE_VLAN),
        );
    let above = outer_vlans(facts, one);
    // What is stacked itself, and veth, which keeps tags in the packet, strips nothing.
    let strips = |offload: &str| one.link.kind.is_none() && is_active(one, offload) == Some(true);
    let Some(first) = above.first() else {
        if !strips(Offloads::RX_VLAN) {
            return finding.is(Verdict::Ok, "no VLAN above is listened on");
        }
        return finding
            .is(Verdict::Info, "no VLAN above is listened on, and the device takes tags off")
            .why(
                "it matters only where the switch's port is a trunk: queries of another VLAN, of a container's own or of none \
                 that is known here, look untagged without their tag, and what they ask of an untagged address is answered \
                 untagged, where nobody waits for it",
            )
            .by_hand(format!(
                "ethtool -K {} rxvlan off    # only on a trunk",
                quoted(&one.link.name)
            ));
    };
    if one.offloads.is_none() {
        return finding.is(Verdict::Skipped, "the driver doesn't tell its offloads");
    }
    let kinds = [
        (Offload::RxVlan, Offloads::RX_VLAN, false),
        (Offload::RxServiceVlan, Offloads::RX_SERVICE_VLAN, true),
    ];
    let taken = kinds.into_iter().filter_map(|(offload, name, service)| {
        let vlan = above.iter().find(|vlan| is_service(vlan) == service)?;
        strips(name).then_some((offload, *vlan))
    });
    let taken: Vec<(Offload, &Interface)> = taken.collect();
    let Some((_, vlan)) = taken.first() else {
        return finding.is(
            Verdict::Ok,
            format!("tags of {} stay in the packets", first.link.name),
        );
    };
    let finding = finding
        .is(Verdict::Warn, format!("the device takes off the tags of {}", vlan.link.name))
        .why(
            "without its tag a query of the VLAN looks like one of the untagged network: it would not be recognised, or be \
             answered untagged, where nobody waits for it",
        );
    taken.into_iter().fold(finding, |finding, (name, _)| {
        finding.mend(Change::Offload {
            interface: one.link.name.clone(),
            name,
            from: true,
            to: false,
        })
    })
}

/// The VLANs whose tags are the outer ones of packets that come in by an interface.
fn outer_vlans<'f>(facts: &'f Facts, lower: &Interface) -> Vec<&'f Interface> {
    let vlans = facts.interfaces.iter();
    let above: Vec<&Interface> = vlans
        .filter(|upper| upper.link.vlan_id.is_some() && stands_on(facts, upper, lower))
        .collect();
    let outer = above
        .iter()
        .filter(|vlan| !above.iter().any(|other| stands_on(facts, vlan, other)));
    outer.copied().collect()
}

/// Whether a VLAN is one of 802.1ad.
fn is_service(vlan: &Interface) -> bool {
    vlan.link.vlan_protocol == Some(SERVICE_TAG)
}

/// `ETH_P_8021AD` of `linux/if_ether.h`.
const SERVICE_TAG: u16 = 0x88a8;

/// Whether packets for `upper` come in by `lower`.
fn stands_on(facts: &Facts, upper: &Interface, lower: &Interface) -> bool {
    let by_index = |index| facts.interfaces.iter().find(|one| one.link.index == index);
    let mut floor = vec![upper.link.index];
    // Each round goes one storey down; there are no more storeys than interfaces.
    for _ in &facts.interfaces {
        let below: Vec<u32> = facts
            .interfaces
            .iter()
            .filter(|one| {
                let is_lower = |index: &u32| {
                    by_index(*index).and_then(|above| above.link.lower) == Some(one.link.index)
                };
                // A bridge above a VLAN is beside the point: it is the VLAN's own tags that count.
                one.link
                    .master
                    .is_some_and(|master| floor.contains(&master))
                    || floor.iter().any(is_lower)
            })
            .map(|one| one.link.index)
            .collect();
        if below.contains(&lower.link.index) {
            return true;
        }
        floor = below;
    }
    false
}

/// Whether an offload is at work, if the driver tells.
fn is_active(one: &Interface, name: &str) -> Option<bool> {
    let offloads = one.offloads.as_ref()?;
    Some(offloads.is_active(name))
}

fn lro(one: &Interface) -> Finding {
    let finding = Finding::new("lro", Group::Interface)
        .probed("lro", is_active(one, Offloads::LRO))
        .probed("gro", is_active(one, Offloads::GRO));
    match &one.offloads {
        None => finding.is(Verdict::Skipped, "the driver doesn't tell its offloads"),
        Some(offloads) if offloads.is_active(Offloads::LRO) => finding
            .is(Verdict::Warn, "the device joins packets (LRO)")
            .why("drivers refuse native XDP while it is on: a joined packet fits no frame")
            .mend(Change::Offload {
                interface: one.link.name.clone(),
                name: Offload::Lro,
                from: true,
                to: false,
            }),
        // Then the kernel has joined what it joins before it asks the program.
        Some(_) if runs_generic(one) => finding.is(
            Verdict::Ok,
            "the device joins no packets; GRO comes before a program in generic mode, and joins UDP only with rx-udp-gro-forwarding",
        ),
        Some(_) => finding.is(
            Verdict::Ok,
            "the device joins no packets; GRO comes after native XDP",
        ),
    }
}

fn runs_generic(one: &Interface) -> bool {
    let program = one.program.as_ref();
    program.is_some_and(|program| program.mode == AttachedMode::Generic)
}

#[cfg(test)]
mod tests {
    use sluicegate_xsk::nic::{Channels, RingSizes, UdpHash};

    use super::super::testing::{eth0, good, one, verdict};
    use super::*;
    use crate::{Interrupt, Mend, Program};

    fn after(change: impl FnOnce(&mut Interface)) -> Vec<Finding> {
        let mut eth0 = eth0();
        change(&mut eth0);
        examine(&good(), &eth0)
    }

    fn channels(combined: u32, max_combined: u32) -> Channels {
        let mut channels = Channels::default();
        (channels.combined, channels.max_combined) = (combined, max_combined);
        channels
    }

    #[test]
    fn fewer_queues_than_processors() {
        let of = |combined, max| {
            verdict(
                &after(|eth0| {
                    eth0.channels = Some(channels(combined, max));
                    eth0.rx_queues = combined;
                }),
                "queues",
            )
        };
        let command = "ethtool -L eth0 combined 4".to_owned();
        assert_eq!(of(1, 8), (Verdict::Info, Some(command)));
        assert_eq!(of(4, 8), (Verdict::Ok, None));
        assert_eq!(of(1, 1), (Verdict::Ok, None));
        assert_eq!(of(8, 8), (Verdict::Info, None));
    }

    #[test]
    fn no_queue_is_added_that_costs_the_fast_path() {
        let of = |driver: &str, combined, max| {
            let all = after(|eth0| {
                eth0.driver = Some(driver.into());
                eth0.channels = Some(channels(combined, max));
                eth0.rx_queues = combined;
            });
            verdict(&all, "queues")
        };
        // Half of them is all that ena has with XDP; the machine has four processors.
        assert_eq!(of("ena", 2, 4), (Verdict::Ok, None));
        let command = |number| Some(format!("ethtool -L eth0 combined {number}"));
        assert_eq!(of("ena", 4, 4), (Verdict::Warn, command(2)));
        assert_eq!(of("ena", 16, 16), (Verdict::Warn, command(4)));
        assert_eq!(of("ena", 1, 4), (Verdict::Info, command(2)));
        // There is no half of one.
        assert_eq!(of("ena", 1, 1), (Verdict::Ok, None));
        assert_eq!(of("virtio_net", 2, 4), (Verdict::Info, None));
        assert_eq!(of("virtio_net", 4, 4), (Verdict::Ok, None));
    }

    #[test]
    fn queues_that_only_receive() {
        let mut few = channels(0, 0);
        (few.rx, few.tx) = (4, 2);
        let all = after(|eth0| eth0.channels = Some(few));
        assert_eq!(verdict(&all, "queues").0, Verdict::Info);
    }

    #[test]
    fn hashes_without_ports() {
        let addresses = UdpHash::from_letters("sd");
        let all = after(|eth0| (eth0.udp4_hash, eth0.udp6_hash) = (addresses, addresses));
        let command = "ethtool -N eth0 rx-flow-hash udp4 sdfn".to_owned();
        assert_eq!(verdict(&all, "rss"), (Verdict::Warn, Some(command)));
        let all = after(|eth0| (eth0.udp4_hash, eth0.rx_queues) = (addresses, 1));
        assert_eq!(verdict(&all, "rss").0, Verdict::Ok);
        let all = after(|eth0| (eth0.udp4_hash, eth0.udp6_hash) = (None, None));
        assert_eq!(verdict(&all, "rss").0, Verdict::Skipped);
        assert_eq!(verdict(&after(|_| {}), "rss").0, Verdict::Ok);
    }

    #[test]
    fn steering_rules_are_shown() {
        let of = |rules| verdict(&after(|eth0| eth0.steering_rules = rules), "steering").0;
        assert_eq!(of(Some(2)), Verdict::Info);
        assert_eq!((of(Some(0)), of(None)), (Verdict::Ok, Verdict::Skipped));
    }

    #[test]
    fn small_rings_can_grow() {
        let of = |rx, max| {
            let mut rings = RingSizes::default();
            (rings.rx, rings.max_rx) = (rx, max);
            verdict(&after(|eth0| eth0.rings = Some(rings)), "rings")
        };
        assert_eq!(
            of(256, 4096),
            (Verdict::Info, Some("ethtool -G eth0 rx 2048".into()))
        );
        assert_eq!(
            (of(256, 256).0, of(512, 4096).0),
            (Verdict::Ok, Verdict::Ok)
        );
        assert_eq!(of(0, 0).0, Verdict::Skipped);
    }

    #[test]
    fn interrupts_on_one_processor_are_spread() {
        let found = |all: &[&str]| {
            let all = (30..).zip(all).map(|(number, one)| Interrupt {
                number,
                effective: (*one).to_owned(),
                allowed: "0-3".to_owned(),
            });
            after(|eth0| eth0.interrupts = all.collect())
        };
        let of = |all: &[&str]| verdict(&found(all), "interrupts");
        let command = "echo 1 > /proc/irq/31/smp_affinity_list".to_owned();
        assert_eq!(of(&["0", "0", "0"]), (Verdict::Warn, Some(command)));
        // What is put back is what was set, not what the kernel had chosen of it.
        let all = found(&["0", "0"]);
        let Mend::Change(change) = &one(&all, "interrupts").mend[0] else {
            panic!("{all:#?}");
        };
        assert_eq!(
            change.reversed().command().to_string(),
            "echo 0-3 > /proc/irq/31/smp_affinity_list"
        );
        assert_eq!(of(&["0", "1"]).0, Verdict::Ok);
        assert_eq!(of(&["0-3", "0-3"]).0, Verdict::Ok);
        assert_eq!(of(&[]).0, Verdict::Skipped);
    }

    #[test]
    fn tags_must_stay_where_a_vlan_is_listened_on() {
        let mut facts = good();
        facts.interfaces[0].offloads = Some(Offloads::with_active([Offloads::RX_VLAN]));
        let of = |facts: &Facts| verdict(&examine(facts, &facts.interfaces[0]), "vlan-offload");
        // No VLAN is known here; on a trunk there are others all the same.
        assert_eq!(of(&facts).0, Verdict::Info);
        // The NIC in a bond, a VLAN on the bond.
        let (mut bond, mut vlan) = (eth0(), eth0());
        (bond.link.index, bond.link.kind) = (3, Some("bond".into()));
        (vlan.link.index, vlan.link.kind) = (4, Some("vlan".into()));
        (vlan.link.lower, vlan.link.vlan_id) = (Some(3), Some(10));
        facts.interfaces[0].link.master = Some(3);
        facts.interfaces.extend([bond, vlan]);
        let command = "ethtool -K eth0 rxvlan off".to_owned();
        assert_eq!(of(&facts), (Verdict::Warn, Some(command)));
        facts.interfaces[0].offloads = Some(Offloads::default());
        assert_eq!(of(&facts).0, Verdict::Ok);
        facts.interfaces.truncate(1);
        assert_eq!(of(&facts).0, Verdict::Ok);
    }

    #[test]
    fn each_kind_of_tag_has_an_offload_of_its_own() {
        let mut facts = good();
        let (mut outer, mut inner) = (eth0(), eth0());
        for (vlan, index, lower, protocol) in
            [(&mut outer, 3, 2, SERVICE_TAG), (&mut inner, 4, 3, 0x8100)]
        {
            (vlan.link.index, vlan.link.lower) = (index, Some(lower));
            (vlan.link.kind, vlan.link.vlan_id) = (Some("vlan".into()), Some(10));
            vlan.link.vlan_protocol = Some(protocol);
        }
        facts.interfaces.extend([outer, inner]);
        let mut with = |active: &[&str]| {
            facts.interfaces[0].offloads = Some(Offloads::with_active(active.iter().copied()));
            verdict(&examine(&facts, &facts.interfaces[0]), "vlan-offload")
        };
        // The tag of the inner one is not the device's to take off.
        assert_eq!(with(&[Offloads::RX_VLAN]).0, Verdict::Ok);
        let command = "ethtool -K eth0 rx-vlan-stag-hw-parse off".to_owned();
        let both = [Offloads::RX_VLAN, Offloads::RX_SERVICE_VLAN];
        assert_eq!(with(&both), (Verdict::Warn, Some(command)));
    }

    #[test]
    fn joined_packets_are_switched_off() {
        let all = after(|eth0| eth0.offloads = Some(Offloads::with_active([Offloads::LRO])));
        assert_eq!(
            verdict(&all, "lro"),
            (Verdict::Warn, Some("ethtool -K eth0 lro off".into()))
        );
        let told = |mode| {
            let all = after(|eth0| {
                eth0.offloads = Some(Offloads::default());
                eth0.program = Some(Program {
                    id: 7,
                    name: None,
                    mode,
                    uses_pinned_map: None,
                });
            });
            one(&all, "lro").says.clone()
        };
        assert!(told(AttachedMode::Native).contains("GRO comes after native XDP"));
        assert!(told(AttachedMode::Generic).contains("GRO comes before a program in generic mode"));
    }
}
