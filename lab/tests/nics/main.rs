//! Sluicegate on real NIC drivers: which mode each reaches, and that it answers in it.
//!
//! These run in the virtual machine (`make test-vm`, `lab/tests/vm.rs`), where the NICs are; anywhere else they are
//! skipped. What was seen goes into a table.

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

mod attach;
mod doctor;
mod drivers;
mod kinds;
mod site;
mod tower;
mod towers;
mod traps;

#[expect(clippy::too_many_lines, reason = "a flat list of tests")]
fn main() -> ExitCode {
    suite("nics")
        .test(
            "virtio_net serves natively",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig")],
            || drivers::serves("virtio", "virtio_net"),
        )
        .test(
            "virtio_net behind an IOMMU serves natively",
            needs![Root, Netns, Nic("iommu-s1"), Peer("kdig")],
            || drivers::serves("iommu", "virtio_net, iommu_platform"),
        )
        .test(
            "igb serves natively",
            needs![Root, Netns, Nic("igb-s1"), Peer("kdig")],
            || drivers::serves("igb", "igb"),
        )
        .test(
            "vmxnet3 serves",
            needs![Root, Netns, Nic("vmxnet3-s1"), Peer("kdig")],
            || drivers::serves("vmxnet3", "vmxnet3"),
        )
        .test(
            "e1000e serves in generic mode",
            needs![Root, Netns, Nic("e1000e-s1"), Peer("kdig")],
            || drivers::serves("e1000e", "e1000e"),
        )
        .test(
            "igb serves in generic mode when told so",
            needs![Root, Netns, Nic("igb-s1"), Peer("kdig")],
            || drivers::generic("igb"),
        )
        .test(
            "igb serves on through a reload",
            needs![Root, Netns, Nic("igb-s1"), Peer("kdig")],
            || drivers::reload("igb"),
        )
        .test(
            "doctor mends what igb does by default",
            needs![Root, Netns, Nic("igb-s1"), Tool("ethtool")],
            || doctor::card("igb"),
        )
        .test(
            "doctor mends few queues and a large MTU",
            needs![Root, Netns, Nic("igb-s1"), Tool("ethtool")],
            || doctor::mistuned("igb"),
        )
        .test(
            "doctor mends a card that joins packets",
            needs![Root, Netns, Nic("vmxnet3-s1"), Tool("ethtool")],
            || doctor::joins("vmxnet3"),
        )
        .test(
            "doctor names a driver without XDP",
            needs![Root, Netns, Nic("e1000e-s1"), Tool("ethtool")],
            || doctor::knows("e1000e", "the driver e1000e runs no XDP programs"),
        )
        .test(
            "doctor knows what slows virtio_net down",
            needs![Root, Netns, Nic("virtio-s1"), Tool("ethtool")],
            || doctor::knows("virtio", "twice as many queues as processors"),
        )
        .test(
            "doctor mends a VLAN on a bond that is a bridge's port",
            needs![Root, Netns, Nic("lag-s2"), Tool("ethtool")],
            doctor::bond,
        )
        .test(
            "a VLAN on virtio_net",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig")],
            || kinds::vlan("virtio"),
        )
        .test(
            "a VLAN on igb, which strips tags until told not to",
            needs![Root, Netns, Nic("igb-s1"), Peer("kdig")],
            || kinds::vlan_stripped("igb"),
        )
        .test(
            "two tags on virtio_net",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig")],
            || kinds::qinq("virtio"),
        )
        .test(
            "a bridge on virtio_net",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig")],
            || kinds::bridge("virtio"),
        )
        .test(
            "macvlan on virtio_net",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig")],
            || kinds::sharing("virtio", "macvlan"),
        )
        .test(
            "ipvlan on virtio_net",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig")],
            || kinds::sharing("virtio", "ipvlan mode l2"),
        )
        .test(
            "a tap",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig"), Tool("perl")],
            kinds::tap,
        )
        .test(
            "an LACP bond, with fail-over",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig")],
            towers::bond,
        )
        .test(
            "a bond with a backup",
            needs![Root, Netns, Nic("vlag-s2"), Peer("kdig")],
            towers::backup,
        )
        .test(
            "a bond of a mode that is left alone",
            needs![Root, Netns, Nic("vlag-s2"), Peer("kdig")],
            towers::unusable_mode,
        )
        .test(
            "a VLAN on an LACP bond",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig")],
            || towers::vlan_on_bond(false),
        )
        .test(
            "a VLAN on a bond that is a bridge's port",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig")],
            || towers::vlan_on_bond(true),
        )
        .test(
            "a bridge on an LACP bond",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig")],
            || towers::bridge_on_bond(false),
        )
        .test(
            "a VLAN-aware bridge on an LACP bond",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig")],
            || towers::bridge_on_bond(true),
        )
        .test(
            "a bridge on a VLAN on an LACP bond",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig")],
            towers::bridge_on_vlan,
        )
        .test(
            "a container on a VLAN-aware bridge",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig"), Tool("bridge")],
            towers::container,
        )
        .test(
            "Proxmox's reference architecture, with fail-over",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig"), Peer("knotd")],
            towers::proxmox,
        )
        .test(
            "attaching to igb",
            needs![Root, Netns, Nic("igb-s1"), Peer("kdig")],
            || attach::card("igb"),
        )
        .test(
            "attaching to virtio_net",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig")],
            || attach::card("virtio"),
        )
        .test(
            "attaching to the members of an LACP bond, one by one",
            needs![Root, Netns, Nic("lag-s2"), Peer("kdig")],
            attach::bond,
        )
        .test(
            "a socket on a bond itself receives nothing",
            needs![Root, Netns, Nic("lag-s2")],
            traps::bond_itself,
        )
        .test(
            "a generic program wants a socket that copies",
            needs![Root, Netns, Nic("igb-s1")],
            || traps::generic_auto("igb"),
        )
        .test(
            "a redirect that fails is a drop in generic mode",
            needs![Root, Netns, Nic("virtio-s1")],
            || traps::generic_drop("virtio", ""),
        )
        .test(
            "the same on a VLAN",
            needs![Root, Netns, Nic("virtio-s1")],
            || traps::generic_drop("virtio", "vlan id 10"),
        )
        .test(
            "the same on a macvlan",
            needs![Root, Netns, Nic("virtio-s1")],
            || traps::generic_drop("virtio", "macvlan"),
        )
        .test(
            "the same on an ipvlan",
            needs![Root, Netns, Nic("virtio-s1")],
            || traps::generic_drop("virtio", "ipvlan mode l2"),
        )
        .run()
}
