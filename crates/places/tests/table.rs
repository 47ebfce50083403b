//! Topologies written by hand, and the plans for them: every kind of interface, and the cases operators run into.

mod scene;

use scene::{Scene, in_vlans, key, tagged};
use sluicegate_bpf::Tag;
use sluicegate_places::{Kind, SpotState, Why};

/// What runs on metal, in a virtual machine, in a container.
#[test]
fn interfaces_with_queues_of_their_own_are_taken_as_they_are() {
    let scenes = [
        (Scene::new().nic("eth0"), Kind::Physical),
        (Scene::new().virtio("eth0"), Kind::Virtio),
        (Scene::new().of_kind("eth0", "veth"), Kind::Veth),
        (Scene::new().tap("eth0"), Kind::Tap),
        (
            Scene::new().of_kind("eth0", "netkit"),
            Kind::Other("netkit".into()),
        ),
    ];
    for (scene, kind) in scenes {
        let plan = scene
            .address("eth0", "192.0.2.1/24")
            .plan(&["192.0.2.1:53"]);
        let place = plan.place("eth0");
        assert_eq!(place.kind, kind);
        assert_eq!(plan.keys("eth0"), [key("192.0.2.1:53")].into(), "{kind}");
        assert_eq!(plan.macs("eth0"), [plan.mac("eth0")].into());
        assert_eq!(place.broadcast, ["192.0.2.255".parse().unwrap()].into());
        assert!(place.named && place.refusal.is_none());
        assert_eq!(plan.said("192.0.2.1:53"), [("eth0", SpotState::Taken)]);
    }
}

#[test]
fn interfaces_without_queues_of_their_own_are_the_kernels() {
    for kind in [
        "macvlan", "macvtap", "ipvlan", "ipvtap", "team", "vrf", "dummy",
    ] {
        let plan = Scene::new()
            .of_kind("x0", kind)
            .address("x0", "192.0.2.1/24")
            .plan(&["0.0.0.0:53"]);
        assert!(plan.is_empty(), "{kind}");
        assert!(
            matches!(plan.why("192.0.2.1:53"), Why::Stacked { .. }),
            "{kind}"
        );
    }
    let loopback = Scene::new()
        .loopback()
        .address("lo", "127.0.0.1/8")
        .plan(&["0.0.0.0:53"]);
    assert_eq!(loopback.why("127.0.0.1:53"), Why::Loopback);
    let tunnel = Scene::new()
        .of_kind("tun0", "tun")
        .with("tun0", |link| link.mac = None)
        .address("tun0", "192.0.2.1/24")
        .plan(&["0.0.0.0:53"]);
    assert!(matches!(
        tunnel.why("192.0.2.1:53"),
        Why::NotEthernet { .. }
    ));
}

#[test]
fn wildcard_stands_for_every_address_of_its_family_and_names_none() {
    let plan = Scene::new()
        .nic("eth0")
        .nic("eth1")
        .address("eth0", "192.0.2.1/24")
        .address("eth0", "192.0.2.2/24")
        .address("eth0", "2001:db8::1/64")
        .address("eth1", "198.51.100.1/25")
        .plan(&["0.0.0.0:53", "192.0.2.1:5353"]);
    let keys = ["192.0.2.1:53", "192.0.2.1:5353", "192.0.2.2:53"].map(key);
    assert_eq!(plan.keys("eth0"), keys.into());
    assert!(plan.place("eth0").named && !plan.place("eth1").named);
    assert_eq!(
        plan.place("eth1").broadcast,
        ["198.51.100.127".parse().unwrap()].into()
    );
}

/// The seed's "attaches on the wrong interface": a route can't tell which interface has the address.
#[test]
fn two_interfaces_in_one_subnet_are_told_apart_by_their_addresses() {
    let plan = Scene::new()
        .nic("eth0")
        .of_kind("veth-rb", "veth")
        .address("eth0", "192.168.10.201/24")
        .address("veth-rb", "192.168.10.250/24")
        .plan(&["192.168.10.250:53"]);
    assert_eq!(plan.names(), ["veth-rb"]);
    assert_eq!(plan.keys("veth-rb"), [key("192.168.10.250:53")].into());
}

/// Interfaces may share a link-local address; only one of them listens.
#[test]
fn scope_keeps_an_address_to_its_interface() {
    let scene = Scene::new()
        .nic("eth0")
        .nic("eth1")
        .address("eth0", "fe80::1/64")
        .address("eth1", "fe80::1/64");
    let listen = format!("[fe80::1%{}]:53", scene.index("eth1"));
    let plan = scene.plan(&[&listen]);
    assert_eq!(plan.names(), ["eth1"]);
    assert_eq!(plan.keys("eth1"), [key("[fe80::1]:53")].into());
}

#[test]
fn vlans_are_taken_below_with_their_tags() {
    let plan = Scene::new()
        .nic("eth0")
        .vlan("eth0.100", "eth0", 100)
        .vlan("eth0.100.200", "eth0.100", 200)
        .with("eth0.100.200", |link| link.mtu_bytes = 1496)
        .address("eth0", "192.0.2.3/24")
        .address("eth0.100", "192.0.2.1/24")
        .address("eth0.100.200", "192.0.2.2/24")
        .plan(&["0.0.0.0:53"]);
    let place = plan.place("eth0");
    let keys = [
        key("192.0.2.3:53"),
        tagged("192.0.2.1:53", 100, 0),
        tagged("192.0.2.2:53", 100, 200),
    ];
    assert_eq!(plan.keys("eth0"), keys.into());
    assert_eq!(place.mtu_bytes, 1496);
    assert_eq!(place.serves.len(), 3);
}

/// Two VLANs of one number on one card are two networks, and may have one address each.
#[test]
fn vlans_of_one_number_are_told_apart_by_their_protocol() {
    let service = |link: &mut sluicegate_xsk::nic::Link| link.vlan_protocol = Some(Tag::SERVICE);
    let plan = Scene::new()
        .nic("eth0")
        .vlan("customer", "eth0", 100)
        .vlan("service", "eth0", 100)
        .with("service", service)
        .vlan("inner", "service", 200)
        .address("customer", "192.0.2.1/24")
        .address("service", "192.0.2.2/24")
        .address("inner", "192.0.2.3/24")
        .plan(&["0.0.0.0:53"]);
    let (none, outer) = (Tag::NONE, Tag::service(100));
    let keys = [
        tagged("192.0.2.1:53", 100, 0),
        in_vlans("192.0.2.2:53", outer, none),
        in_vlans("192.0.2.3:53", outer, Tag::customer(200)),
    ];
    assert_eq!(plan.keys("eth0"), keys.into());
}

/// The kernel gives a bond member's tagged packets to a VLAN interface of that very tag only.
#[test]
fn a_members_own_vlan_takes_its_own_protocol_only() {
    let plan = |protocol| {
        Scene::new()
            .nic("eth0")
            .bond("bond0", 1, &["eth0"])
            .vlan("bond0.10", "bond0", 10)
            .vlan("eth0.10", "eth0", 10)
            .with("eth0.10", |link| link.vlan_protocol = Some(protocol))
            .address("bond0.10", "192.0.2.1/24")
            .plan(&["192.0.2.1:53"])
    };
    let other = plan(Tag::SERVICE);
    assert_eq!(other.keys("eth0"), [tagged("192.0.2.1:53", 10, 0)].into());
    let same = plan(Tag::CUSTOMER);
    let (_, state) = &same.said("192.0.2.1:53")[0];
    assert!(matches!(state, SpotState::Left(Why::TagTaken { .. })));
}

#[test]
fn vlan_with_a_mac_of_its_own_is_asked_for_by_it() {
    let plan = Scene::new()
        .nic("eth0")
        .vlan("eth0.100", "eth0", 100)
        .with("eth0.100", |link| link.mac = Some([2, 0, 0, 0, 0, 0x99]))
        .address("eth0.100", "192.0.2.1/24")
        .plan(&["0.0.0.0:53"]);
    assert_eq!(plan.macs("eth0"), [[2, 0, 0, 0, 0, 0x99]].into());
}

#[test]
fn vlans_the_program_can_not_read_are_the_kernels() {
    let three = Scene::new()
        .nic("eth0")
        .vlan("a", "eth0", 1)
        .vlan("b", "a", 2)
        .vlan("c", "b", 3)
        .address("c", "192.0.2.1/24")
        .plan(&["0.0.0.0:53"]);
    assert!(matches!(three.why("192.0.2.1:53"), Why::Tags { .. }));
    let zero = Scene::new()
        .nic("eth0")
        .vlan("a", "eth0", 0)
        .address("a", "192.0.2.1/24");
    assert!(matches!(
        zero.plan(&["0.0.0.0:53"]).why("192.0.2.1:53"),
        Why::Tags { .. }
    ));
    let elsewhere = Scene::new()
        .nic("eth0")
        .vlan("a", "eth0", 5)
        .with("a", |link| {
            (link.lower, link.lower_elsewhere) = (None, true);
        })
        .address("a", "192.0.2.1/24")
        .plan(&["0.0.0.0:53"]);
    assert!(matches!(
        elsewhere.why("192.0.2.1:53"),
        Why::LowerElsewhere { .. }
    ));
}

/// The NIC lab's first trap: an Intel card takes the tags off by default.
#[test]
fn stripped_tags_are_told_with_the_command() {
    let scene = || {
        Scene::new()
            .nic("eth0")
            .vlan("eth0.10", "eth0", 10)
            .address("eth0", "192.0.2.1/24")
            .address("eth0.10", "198.51.100.1/24")
    };
    let plan = scene()
        .offload("eth0", "rx-vlan-hw-parse")
        .plan(&["0.0.0.0:53"]);
    assert_eq!(
        plan.keys("eth0"),
        [key("192.0.2.1:53")].into(),
        "untagged ones are seen"
    );
    let (_, state) = &plan.said("198.51.100.1:53")[0];
    let SpotState::Left(why) = state else {
        panic!("{state:?}");
    };
    assert_eq!(why.command().as_deref(), Some("ethtool -K eth0 rxvlan off"));
    assert!(why.to_string().contains("ethtool -K eth0 rxvlan off"));
    let service = scene()
        .with("eth0.10", |link| link.vlan_protocol = Some(0x88a8))
        .offload("eth0", "rx-vlan-hw-parse")
        .plan(&["0.0.0.0:53"]);
    assert_eq!(
        service.keys("eth0").len(),
        2,
        "the other protocol's tags stay on"
    );
    let none = scene().offload("eth0", "rx-gro").plan(&["0.0.0.0:53"]);
    assert_eq!(none.keys("eth0").len(), 2);
}

/// Without its tag a query from the VLAN looks like one to the card's own address, and the reply would go untagged.
#[test]
fn address_that_a_stripped_vlan_may_share_is_the_kernels() {
    let scene = || {
        Scene::new()
            .nic("eth0")
            .vlan("eth0.10", "eth0", 10)
            .address("eth0", "fe80::1/64")
            .address("eth0", "192.0.2.1/24")
            .address("eth0", "2001:db8::1/64")
            .address("eth0.10", "2001:db8::1/64")
    };
    let listen = ["[::]:53", "0.0.0.0:53"];
    let plan = scene().offload("eth0", "rx-vlan-hw-parse").plan(&listen);
    assert_eq!(plan.keys("eth0"), [key("192.0.2.1:53")].into());
    for shared in ["[fe80::1]:53", "[2001:db8::1]:53"] {
        let said = plan.said(shared);
        assert!(
            matches!(said[0].1, SpotState::Standby(Why::TagsStripped { .. })),
            "{said:?}"
        );
    }
    assert_eq!(scene().plan(&listen).keys("eth0").len(), 4);
    // The tags of no VLAN here.
    let other = scene().offload("eth0", "rx-vlan-stag-hw-parse");
    assert_eq!(other.plan(&listen).keys("eth0").len(), 4);
    let veth = scene()
        .with("eth0", |link| link.kind = Some("veth".into()))
        .offload("eth0", "rx-vlan-hw-parse");
    assert_eq!(veth.plan(&listen).keys("eth0").len(), 4);
}

#[test]
fn bond_is_taken_at_its_members() {
    let plan = Scene::new()
        .nic("eth0")
        .nic("eth1")
        .bond("bond0", 4, &["eth0", "eth1"])
        .address("bond0", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert_eq!(plan.names(), ["eth0", "eth1"]);
    for member in ["eth0", "eth1"] {
        assert_eq!(plan.keys(member), [key("192.0.2.1:53")].into());
        assert_eq!(plan.macs(member), [plan.mac("bond0")].into());
        assert_eq!(plan.place(member).serves, ["bond0".to_owned()].into());
    }
}

#[test]
fn backup_of_a_bond_stands_by() {
    let plan = Scene::new()
        .nic("eth0")
        .nic("eth1")
        .bond("bond0", 1, &["eth0", "eth1"])
        .backup("eth1")
        .address("bond0", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert_eq!(plan.keys("eth0").len(), 1);
    assert!(plan.keys("eth1").is_empty());
    let backup = SpotState::Standby(Why::Backup {
        bond: "bond0".into(),
    });
    assert_eq!(
        plan.said("192.0.2.1:53"),
        [("eth0", SpotState::Taken), ("eth1", backup)]
    );
}

#[test]
fn bonds_with_ways_of_their_own_are_the_kernels() {
    for (mode, name) in [(3, "broadcast"), (5, "balance-tlb"), (6, "balance-alb")] {
        let plan = Scene::new()
            .nic("eth0")
            .bond("bond0", mode, &["eth0"])
            .address("bond0", "192.0.2.1/24")
            .plan(&["192.0.2.1:53"]);
        let bond = "bond0".to_owned();
        assert_eq!(plan.why("192.0.2.1:53"), Why::BondMode { bond, mode: name });
    }
    let empty = Scene::new()
        .bond("bond0", 1, &[])
        .address("bond0", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert!(matches!(empty.why("192.0.2.1:53"), Why::NoMembers { .. }));
}

/// VLAN on bond on two cards: native at the cards, by the tag.
#[test]
fn vlan_on_a_bond_is_taken_at_the_members_with_its_tag() {
    let scene = || {
        Scene::new()
            .nic("eth0")
            .nic("eth1")
            .bond("bond0", 4, &["eth0", "eth1"])
            .vlan("bond0.10", "bond0", 10)
            .address("bond0.10", "192.0.2.1/24")
    };
    let plan = scene().plan(&["192.0.2.1:53"]);
    for member in ["eth0", "eth1"] {
        assert_eq!(plan.keys(member), [tagged("192.0.2.1:53", 10, 0)].into());
    }
    // One card strips tags: the other still serves.
    let plan = scene()
        .offload("eth0", "rx-vlan-hw-parse")
        .plan(&["192.0.2.1:53"]);
    assert_eq!(plan.names(), ["eth1"]);
    let said = plan.said("192.0.2.1:53");
    assert!(matches!(
        said[0],
        ("eth0", SpotState::Left(Why::TagsStripped { .. }))
    ));
    // Deleted, and made again with another tag.
    let plan = scene().without("bond0.10").vlan("bond0.10", "bond0", 11);
    let plan = plan
        .address("bond0.10", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert_eq!(plan.keys("eth1"), [tagged("192.0.2.1:53", 11, 0)].into());
}

#[test]
fn bridge_is_taken_at_its_uplinks_and_for_its_own_mac_address() {
    let plan = Scene::new()
        .nic("eth0")
        .of_kind("tap100", "veth")
        .bridge("br0", &["eth0", "tap100"])
        .address("br0", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert_eq!(plan.names(), ["eth0"], "a guest's port is left alone");
    assert_eq!(plan.macs("eth0"), [plan.mac("br0")].into());
    assert_eq!(plan.keys("eth0"), [key("192.0.2.1:53")].into());
    let blocked = Scene::new()
        .nic("eth0")
        .bridge("br0", &["eth0"])
        .blocked("eth0")
        .address("br0", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert!(blocked.keys("eth0").is_empty());
    assert!(matches!(
        blocked.said("192.0.2.1:53")[0].1,
        SpotState::Standby(Why::Blocked { .. })
    ));
}

#[test]
fn only_port_of_a_bridge_is_its_way_out() {
    let scene = |ports: &[&str]| {
        Scene::new()
            .of_kind("v0", "veth")
            .of_kind("v1", "veth")
            .bridge("br0", ports)
            .address("br0", "192.0.2.1/24")
            .plan(&["192.0.2.1:53"])
    };
    assert_eq!(scene(&["v0"]).names(), ["v0"]);
    let two = scene(&["v0", "v1"]);
    assert!(two.is_empty());
    assert_eq!(
        two.why("192.0.2.1:53"),
        Why::NoUplink {
            bridge: "br0".into()
        }
    );
    assert!(matches!(
        scene(&[]).why("192.0.2.1:53"),
        Why::NoMembers { .. }
    ));
}

/// docker0 with one container.
#[test]
fn only_guest_of_a_bridge_is_left_alone_by_a_wildcard() {
    let scene = || {
        Scene::new()
            .of_kind("v0", "veth")
            .tap("tap0")
            .bridge("docker0", &["v0"])
            .bridge("virbr0", &["tap0"])
            .address("docker0", "172.17.0.1/16")
            .address("docker0", "172.17.0.2/16")
            .address("virbr0", "192.168.122.1/24")
    };
    let plan = scene().plan(&["0.0.0.0:53"]);
    assert!(plan.is_empty());
    for local in ["172.17.0.1:53", "172.17.0.2:53", "192.168.122.1:53"] {
        assert!(matches!(plan.why(local), Why::NoUplink { .. }), "{local}");
    }
    // One address that is named decides for the bridge.
    let plan = scene().plan(&["0.0.0.0:53", "172.17.0.2:5353"]);
    assert_eq!(plan.names(), ["v0"]);
    let keys = ["172.17.0.1:53", "172.17.0.2:53", "172.17.0.2:5353"].map(key);
    assert_eq!(plan.keys("v0"), keys.into());
    let nic = Scene::new()
        .nic("eth0")
        .bridge("br0", &["eth0"])
        .address("br0", "192.0.2.1/24")
        .plan(&["0.0.0.0:53"]);
    assert_eq!(nic.names(), ["eth0"]);
}

#[test]
fn address_on_a_port_is_the_masters_affair() {
    for kind in ["bridge", "bond", "vrf"] {
        let plan = Scene::new()
            .nic("eth0")
            .of_kind("m0", kind)
            .master("eth0", "m0")
            .address("eth0", "192.0.2.1/24")
            .plan(&["192.0.2.1:53"]);
        assert_eq!(
            plan.why("192.0.2.1:53"),
            Why::Port {
                master: "m0".into()
            },
            "{kind}"
        );
    }
}

/// The reference of the seed: bond0.10 in the bridge br-rb, the server on a veth, others on the bridge.
#[test]
fn proxmox_reference() {
    let scene = || {
        Scene::new()
            .nic("eth0")
            .nic("eth1")
            .bond("bond0", 4, &["eth0", "eth1"])
            .vlan("bond0.10", "bond0", 10)
            .of_kind("veth-bnd", "veth")
            .bridge("br-rb", &["bond0.10", "veth-bnd"])
            .of_kind("veth-rb", "veth")
            .address("br-rb", "192.168.10.201/24")
            .address("veth-rb", "192.168.10.250/24")
    };
    let plan = scene().plan(&["192.168.10.250:53"]);
    assert_eq!(
        plan.names(),
        ["veth-rb"],
        "BIND on the bridge is left alone"
    );
    let plan = scene().plan(&["192.168.10.201:53"]);
    assert_eq!(plan.names(), ["eth0", "eth1"]);
    for member in ["eth0", "eth1"] {
        assert_eq!(
            plan.keys(member),
            [tagged("192.168.10.201:53", 10, 0)].into()
        );
        assert_eq!(plan.macs(member), [plan.mac("br-rb")].into());
    }
}

/// The seed's conflict: bond0 is a port of vmbr0, and bond0.10 is built on it.
#[test]
fn vlan_interface_of_a_bridge_port_gets_its_tag_before_the_bridge() {
    let scene = || {
        Scene::new()
            .nic("eth0")
            .bond("bond0", 4, &["eth0"])
            .bridge("vmbr0", &["bond0"])
            .vlan("bond0.10", "bond0", 10)
            .address("vmbr0", "192.0.2.1/24")
            .address("bond0.10", "198.51.100.1/24")
    };
    let plan = scene().plan(&["0.0.0.0:53"]);
    let keys = [key("192.0.2.1:53"), tagged("198.51.100.1:53", 10, 0)];
    assert_eq!(plan.keys("eth0"), keys.into());
    let both = scene()
        .vlan("vmbr0.10", "vmbr0", 10)
        .address("vmbr0.10", "203.0.113.1/24")
        .plan(&["203.0.113.1:53"]);
    let said = both.said("203.0.113.1:53");
    let by = "bond0.10".to_owned();
    assert_eq!(said, [("bond0", SpotState::Left(Why::TagTaken { by }))]);
}

#[test]
fn interfaces_that_are_down_wait() {
    let plan = Scene::new()
        .nic("eth0")
        .with("eth0", |link| link.up = false)
        .address("eth0", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert!(matches!(plan.place("eth0").refusal, Some(Why::Down { .. })));
    let above = Scene::new()
        .nic("eth0")
        .vlan("eth0.10", "eth0", 10)
        .with("eth0.10", |link| link.up = false)
        .address("eth0", "192.0.2.1/24")
        .address("eth0.10", "198.51.100.1/24")
        .plan(&["0.0.0.0:53"]);
    assert_eq!(above.keys("eth0"), [key("192.0.2.1:53")].into());
    assert!(above.place("eth0").refusal.is_none());
    assert!(matches!(
        above.said("198.51.100.1:53")[0].1,
        SpotState::Standby(Why::Down { .. })
    ));
}

/// An address that moves from one interface to another is wanted only at the other.
#[test]
fn moved_address_and_changed_members_are_followed() {
    let scene = || {
        Scene::new()
            .nic("eth0")
            .nic("eth1")
            .nic("eth2")
            .bond("bond0", 4, &["eth0", "eth1"])
    };
    let plan = scene()
        .address("bond0", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert_eq!(plan.names(), ["eth0", "eth1"]);
    let plan = scene()
        .address("eth2", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert_eq!(plan.names(), ["eth2"]);
    let plan = scene()
        .master("eth2", "bond0")
        .with("eth0", |link| (link.master, link.port) = (None, None))
        .address("bond0", "192.0.2.1/24")
        .plan(&["192.0.2.1:53"]);
    assert_eq!(plan.names(), ["eth1", "eth2"]);
}

/// A kernel can't make such a thing; a walk over what it tells must end all the same.
#[test]
fn circles_end() {
    let plan = Scene::new()
        .of_kind("br0", "bridge")
        .of_kind("br1", "bridge")
        .with("br0", |link| link.port = None)
        .master("br1", "br0")
        .vlan("v", "br1", 7)
        .master("v", "br1")
        .address("br0", "192.0.2.1/24")
        .plan(&["0.0.0.0:53"]);
    assert!(plan.is_empty());
}

/// Azure with accelerated networking: the virtual function has netvsc for its master, and its packets come in by it.
#[test]
fn a_card_that_stands_for_a_paravirtual_one() {
    let with = Scene::new()
        .nic("eth0")
        .address("eth0", "10.0.0.4/24")
        .nic("enP1s1")
        .master("enP1s1", "eth0")
        .plan(&["10.0.0.4:53"]);
    let card = "enP1s1".to_owned();
    assert_eq!(with.why("10.0.0.4:53"), Why::Accelerated { card });
    assert!(with.is_empty());
    let without = Scene::new()
        .nic("eth0")
        .address("eth0", "10.0.0.4/24")
        .plan(&["10.0.0.4:53"]);
    assert_eq!(without.names(), ["eth0"]);
}
