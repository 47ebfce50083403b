//! Sluicegate on a veth pair: which path answers, and what happens when the fast one can't.
//!
//! Which path it was is read from the server's own counters: each test asks one question at a time and
//! looks at whether a worker `xdp.*` or `udp.*` has replied.

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

mod answers;
mod come_and_go;
mod dead_queue;
mod idle;
mod impossible;
mod jumbo;
mod kernel_path;
mod pinned;
mod places;
mod routes;
mod self_test;
mod site;

#[expect(clippy::too_many_lines, reason = "a flat list of tests")]
fn main() -> ExitCode {
    suite("xdp_path")
        .test(
            "dig is answered over both families",
            needs![Root, Netns, Peer("dig")],
            answers::dig,
        )
        .test(
            "every queue answers",
            needs![Root, Netns],
            answers::every_queue,
        )
        .test(
            "nobody asks, next to nothing is used",
            needs![Root, Netns],
            idle::idle,
        )
        .test(
            "misses come back by AF_XDP",
            needs![Root, Netns],
            answers::misses,
        )
        .test(
            "replies leave from the address that was asked",
            needs![Root, Netns],
            answers::own_address,
        )
        .test(
            "generic mode answers",
            needs![Root, Netns],
            answers::generic,
        )
        .test(
            "generic mode after its self-test",
            needs![Root, Netns],
            self_test::passes,
        )
        .test(
            "a self-test that can't be made leaves the kernel's path",
            needs![Root, Netns],
            self_test::blocked,
        )
        .test(
            "one dead queue of two is noticed",
            needs![Root, Netns],
            dead_queue::is_noticed,
        )
        .test(
            "a tagged query is answered with its tags",
            needs![Root, Netns],
            answers::tagged,
        )
        .test(
            "addresses of VLAN interfaces are taken below",
            needs![Root, Netns, LinkKind("vlan")],
            answers::vlans,
        )
        .test(
            "deleted and made anew",
            needs![Root, Netns],
            come_and_go::made_anew,
        )
        .test("down and up", needs![Root, Netns], come_and_go::down_and_up)
        .test(
            "moved to another namespace and back",
            needs![Root, Netns],
            come_and_go::moved,
        )
        .test(
            "more queues",
            needs![Root, Netns, Tool("ethtool")],
            come_and_go::more_queues,
        )
        .test(
            "another MAC address",
            needs![Root, Netns],
            come_and_go::another_mac,
        )
        .test(
            "another name",
            needs![Root, Netns],
            come_and_go::another_name,
        )
        .test(
            "an address more and an address less",
            needs![Root, Netns],
            come_and_go::addresses,
        )
        .test(
            "frames larger than the UMEM's",
            needs![Root, Netns],
            jumbo::served,
        )
        .test("an MTU that changes", needs![Root, Netns], jumbo::changed)
        .test(
            "somebody else's program by pinned maps",
            needs![Root, Netns, Tool("nsenter")],
            pinned::comes_and_goes,
        )
        .test(
            "pinned maps when the server is gone",
            needs![Root, Netns, Tool("nsenter")],
            pinned::left_behind,
        )
        .test(
            "a program that doesn't use the pinned maps",
            needs![Root, Netns, Tool("nsenter")],
            pinned::a_stranger,
        )
        .test(
            "maps that can't be pinned",
            needs![Root, Netns],
            pinned::cannot_be_pinned,
        )
        .test(
            "a foreign program is left alone",
            needs![Root, Netns],
            impossible::foreign,
        )
        .test(
            "a missing capability",
            needs![Root, Netns],
            impossible::capability,
        )
        .test(
            "the option --no-xdp",
            needs![Root, Netns],
            impossible::switched_off,
        )
        .test(
            "a bridge's packets are taken at its port",
            needs![Root, Netns, LinkKind("bridge")],
            places::bridge,
        )
        .test(
            "a second port of the bridge comes and goes",
            needs![Root, Netns, LinkKind("bridge")],
            places::bridge_ports,
        )
        .test(
            "an interface becomes a port, and leaves",
            needs![Root, Netns, LinkKind("bridge")],
            places::master,
        )
        .test(
            "a macvlan beside the interface below it",
            needs![Root, Netns, LinkKind("macvlan")],
            places::macvlan,
        )
        .test(
            "an address moves to another interface of its subnet",
            needs![Root, Netns],
            places::moved_address,
        )
        .test(
            "enable: yes refuses to start",
            needs![Root, Netns],
            impossible::required,
        )
        .test(
            "enable: yes beside a bridge",
            needs![Root, Netns],
            impossible::required_beside_a_bridge,
        )
        .test(
            "kill -9 leaves nothing behind",
            needs![Root, Netns],
            impossible::killed,
        )
        .test(
            "a stop answers who waits, and detaches",
            needs![Root, Netns],
            impossible::stopped,
        )
        .test(
            "a reload of the xdp clause loses no query",
            needs![Root, Netns],
            impossible::reloaded,
        )
        .test(
            "recovery as another user",
            needs![Root, Netns],
            impossible::other_user,
        )
        .test(
            "what XDP does not take is answered by the kernel",
            needs![Root, Netns],
            kernel_path::odd_packets,
        )
        .test(
            "a reply that is routed elsewhere",
            needs![Root, Netns],
            routes::asymmetric,
        )
        .test(
            "a reply to another neighbour",
            needs![Root, Netns],
            routes::another_next_hop,
        )
        .test(
            "routes that don't matter",
            needs![Root, Netns],
            routes::unchecked,
        )
        .test(
            "another server's port is left to it",
            needs![Root, Netns],
            kernel_path::held_port,
        )
        .test(
            "a VLAN interface with a MAC of its own",
            needs![Root, Netns, LinkKind("vlan")],
            kernel_path::vlan_interface,
        )
        .run()
}
