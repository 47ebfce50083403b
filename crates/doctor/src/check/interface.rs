use sluicegate_xsk::nic::AttachedMode;

use super::driver::stacked;
use crate::change::quoted;
use crate::{Change, Facts, Finding, Group, Interface, KernelVersion, Role, Verdict};

/// One interface.
pub(super) fn examine(facts: &Facts, one: &Interface) -> Vec<Finding> {
    vec![mtu(facts, one), program(facts, one)]
}

/// The longest packet that fits a frame of the UMEM, with Ethernet header and two tags around it.
const MAX_MTU_BYTES: u32 = 2048 - 256 - 14 - 8;

fn mtu(facts: &Facts, one: &Interface) -> Finding {
    let mtu_bytes = one.link.mtu_bytes;
    let finding = Finding::new("mtu", Group::Interface)
        .probed("mtu_bytes", mtu_bytes)
        .probed("max_bytes", MAX_MTU_BYTES);
    if mtu_bytes <= MAX_MTU_BYTES {
        return finding.is(
            Verdict::Ok,
            format!("packets of {mtu_bytes} bytes fit a frame"),
        );
    }
    if let Some(kind) = stacked(one) {
        return finding.is(
            Verdict::Ok,
            format!(
                "an MTU of {mtu_bytes}; a {kind} has no frames of its own, what is below it counts"
            ),
        );
    }
    if in_pieces(facts, one) {
        return finding
            .is(
                Verdict::Info,
                format!("an MTU of {mtu_bytes}: packets longer than {MAX_MTU_BYTES} bytes take the kernel's path"),
            )
            .why("the program is loaded for packets in several pieces; with an MTU that fits a frame zero-copy is possible too");
    }
    let finding = finding
        .is(Verdict::Warn, format!("an MTU of {mtu_bytes}; frames hold packets of {MAX_MTU_BYTES} bytes"))
        .why("drivers refuse a native program whose frames could not hold a whole packet, and the kernel answers. DNS over UDP needs no more than 1500");
    let change = Change::Mtu {
        interface: one.link.name.clone(),
        from: mtu_bytes,
        to: 1500,
    };
    if one.carries {
        // The kernel lowers those above along with it, and doesn't raise them again.
        return finding.by_hand(format!(
            "{}    # lowers the MTU of VLANs above too",
            change.command()
        ));
    }
    finding.mend(change)
}

/// Whether the driver hands on packets in several pieces, and the kernel copies all of them to AF_XDP (6.6 and later).
fn in_pieces(facts: &Facts, one: &Interface) -> bool {
    let version = KernelVersion::of_release(&facts.host.release).unwrap_or_default();
    one.features.is_some_and(|features| features.rx_sg) && version >= KernelVersion(6, 6, 0)
}

/// What the names of the server's own programs begin with.
const OWN: &str = sluicegate_bpf::PROGRAM;

fn program(facts: &Facts, one: &Interface) -> Finding {
    let finding = Finding::new("xdp-program", Group::Interface);
    let Some(program) = &one.program else {
        return finding
            .probed("id", None::<u32>)
            .is(Verdict::Ok, "no XDP program is attached");
    };
    let finding = finding
        .probed("id", program.id)
        .probed("name", program.name.clone())
        .probed("mode", program.mode.to_string());
    let (id, mode) = (program.id, program.mode);
    match program.name.as_deref() {
        Some(name) if name.starts_with(OWN) && mode == AttachedMode::Generic => finding
            .is(
                Verdict::Info,
                format!("the server's program {id} runs in generic mode"),
            )
            .why("native mode was not to be had when the server started; its log says why"),
        Some(name) if name.starts_with(OWN) && facts.server.is_none() => finding
            .is(
                Verdict::Info,
                format!("a server's program {id} runs ({mode}), but none answers here"),
            )
            .why("a server with another configuration or in a container has it; it goes with that process")
            .by_hand("bpftool link list    # shows the process that holds it"),
        Some(name) if name.starts_with(OWN) => finding.is(
            Verdict::Ok,
            format!("the server's program {id} runs, {mode}"),
        ),
        Some(name)
            if facts.wanted.xdp.pinned_maps.is_some() && program.uses_pinned_map == Some(false) =>
        {
            finding
                .is(
                    Verdict::Warn,
                    format!("the program {id}, '{name}' ({mode}), does not use the pinned map of sockets itself"),
                )
                .why("unless a program that it calls does (a dispatcher's), it redirects nothing here, and the kernel answers")
                .by_hand(format!(
                    "bpftool prog show id {id}    # its map_ids; load it with the maps in {}",
                    facts.wanted.xdp.pinned_maps.iter().map(|path| path.display().to_string()).collect::<String>()
                ))
        }
        Some(name) if facts.wanted.xdp.pinned_maps.is_some() => finding.is(
            Verdict::Ok,
            format!("the program {id}, '{name}' ({mode}), is the one to redirect by the pinned maps"),
        ),
        Some(name) => foreign(
            finding,
            one,
            mode,
            format!("another XDP program is attached: id {id}, name '{name}', {mode}"),
        ),
        None => finding.is(
            Verdict::Skipped,
            format!("an XDP program is attached ({mode}), id {id}; its name is for root to know"),
        ),
    }
}

fn foreign(finding: Finding, one: &Interface, mode: AttachedMode, says: String) -> Finding {
    let verdict = match one.role {
        Role::Listens => Verdict::Warn,
        Role::Below => Verdict::Info,
    };
    finding
        .is(verdict, says)
        .why("an interface holds one program, and a foreign one is never replaced; the kernel answers here")
        .by_hand(format!(
            "ip link set dev {} {} off    # if it stays: bpftool link list; bpftool link detach id ID",
            quoted(&one.link.name),
            match mode {
                AttachedMode::Native => "xdpdrv",
                AttachedMode::Generic => "xdpgeneric",
                AttachedMode::Hardware => "xdpoffload",
                _ => "xdp",
            }
        ))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{eth0, good, one, verdict};
    use super::*;
    use crate::{Mend, Program};

    fn after(change: impl FnOnce(&mut Interface)) -> Vec<Finding> {
        let mut eth0 = eth0();
        change(&mut eth0);
        let mut facts = good();
        facts.server = Some(crate::Serving::default());
        examine(&facts, &eth0)
    }

    #[test]
    fn a_large_mtu_is_set_back() {
        let all = after(|eth0| eth0.link.mtu_bytes = 9000);
        let command = "ip link set dev eth0 mtu 1500".to_owned();
        assert_eq!(verdict(&all, "mtu"), (Verdict::Warn, Some(command)));
        assert_eq!(
            verdict(&after(|eth0| eth0.link.mtu_bytes = MAX_MTU_BYTES), "mtu").0,
            Verdict::Ok
        );
    }

    #[test]
    fn what_stands_on_others_is_left_alone() {
        for kind in ["bridge", "bond", "vlan"] {
            let all =
                after(|one| (one.link.mtu_bytes, one.link.kind) = (9000, Some(kind.to_owned())));
            assert_eq!(verdict(&all, "mtu"), (Verdict::Ok, None), "{kind}");
        }
        // What carries others can't be put back alone.
        let all = after(|eth0| (eth0.link.mtu_bytes, eth0.carries) = (9000, true));
        let finding = one(&all, "mtu");
        assert_eq!(finding.verdict, Verdict::Warn);
        assert!(
            matches!(&finding.mend[..], [Mend::ByHand(command)] if command.starts_with("ip link set dev eth0 mtu 1500 ")),
            "{finding:#?}"
        );
    }

    #[test]
    fn packets_in_several_pieces_may_be_large() {
        let all = after(|eth0| {
            let mut features = sluicegate_xsk::nic::XdpFeatures::default();
            features.rx_sg = true;
            (eth0.link.mtu_bytes, eth0.features) = (9000, Some(features));
        });
        assert_eq!(verdict(&all, "mtu"), (Verdict::Info, None));
    }

    #[test]
    fn foreign_programs_are_named() {
        let with = |name: Option<&str>, mode| {
            after(|eth0| {
                eth0.program = Some(Program {
                    id: 7,
                    name: name.map(Into::into),
                    mode,
                    uses_pinned_map: None,
                });
            })
        };
        let pinned = |uses| {
            let (mut facts, mut eth0) = (good(), eth0());
            facts.wanted.xdp.pinned_maps = Some("/sys/fs/bpf/s".into());
            eth0.program = Some(Program {
                id: 7,
                name: Some("theirs".into()),
                mode: AttachedMode::Native,
                uses_pinned_map: uses,
            });
            verdict(&examine(&facts, &eth0), "xdp-program")
        };
        assert_eq!(pinned(Some(true)), (Verdict::Ok, None));
        assert_eq!(pinned(None), (Verdict::Ok, None));
        let (how, command) = pinned(Some(false));
        assert_eq!(how, Verdict::Warn);
        assert!(command.unwrap().starts_with("bpftool prog show id 7"));
        let all = with(Some("xdp_dispatcher"), AttachedMode::Native);
        let (how, command) = verdict(&all, "xdp-program");
        assert!(
            how == Verdict::Warn
                && command
                    .unwrap()
                    .starts_with("ip link set dev eth0 xdpdrv off")
        );
        let says = &one(&all, "xdp-program").says;
        assert!(
            says.contains("id 7") && says.contains("xdp_dispatcher"),
            "{says}"
        );
        assert_eq!(
            verdict(&with(Some(OWN), AttachedMode::Native), "xdp-program").0,
            Verdict::Ok
        );
        assert_eq!(
            verdict(&with(Some(OWN), AttachedMode::Generic), "xdp-program").0,
            Verdict::Info
        );
        assert_eq!(
            verdict(&with(None, AttachedMode::Native), "xdp-program").0,
            Verdict::Skipped
        );
    }
}
