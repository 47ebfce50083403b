//! Sluicegate on real NIC drivers: which mode each reaches, and that it answers in it.
//!
//! These run in the virtual machine (`make test-vm`, `lab/tests/vm.rs`), where the NICs are; anywhere else they are
//! skipped. What was seen goes into a table.

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

mod doctor;
mod drivers;
mod kinds;
mod site;

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
            || doctor::mends("igb"),
        )
        .test(
            "a VLAN on virtio_net",
            needs![Root, Netns, Nic("virtio-s1"), Peer("kdig")],
            || kinds::vlan("virtio"),
        )
        .test(
            "a VLAN on igb, which strips tags",
            needs![Root, Netns, Nic("igb-s1"), Peer("kdig")],
            || kinds::vlan("igb"),
        )
        .test(
            "a VLAN on igb, told to leave tags alone",
            needs![Root, Netns, Nic("igb-s1"), Peer("kdig")],
            || kinds::vlan_unstripped("igb"),
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
            "an LACP bond",
            needs![Root, Netns, Nic("igb-s2"), Peer("kdig")],
            kinds::bond,
        )
        .test(
            "a VLAN on an LACP bond",
            needs![Root, Netns, Nic("igb-s2"), Peer("kdig")],
            || kinds::vlan_on_bond(false),
        )
        .test(
            "a VLAN on a bond that is a bridge's port",
            needs![Root, Netns, Nic("igb-s2"), Peer("kdig")],
            || kinds::vlan_on_bond(true),
        )
        .test(
            "Proxmox's reference architecture, with fail-over",
            needs![Root, Netns, Nic("igb-s2"), Peer("kdig"), Peer("knotd")],
            kinds::proxmox,
        )
        .run()
}
