//! `sluicegate doctor` on machines with a fault: the fault is made for real, doctor names it, and the very command that it
//! prints mends it.
//!
//! The traps that others' troubleshooting tables tell of, and where each is made:
//!
//! | what an operator meets | check | test |
//! |---|---|---|
//! | EPERM at the start; the verifier refuses the program | `capabilities`, `af-xdp`, `program` | `process::capabilities`, `program::trial` |
//! | root of a user namespace or container only | `capabilities`, `container` | `pretence::places` |
//! | the service may not use `AF_XDP`, has no capabilities, or may lock little | `service`, `af-xdp`, `seccomp` | `process::service`, `process::families` |
//! | locked memory is limited | `memlock` | `process::memlock` (in a shell); under systemd: `lab/tests/packaging` |
//! | a driver without XDP, or with LRO | `driver`, `lro` | unit tests; `lab/tests/nics` has such drivers |
//! | the address is on a port of a bridge, which takes the packets | `port` | `network::port` |
//! | two interfaces in one subnet | `same-subnet` | `network::same_subnet` |
//! | replies leave by another interface | `return-route`, `rp-filter`, `route-look-up` | `network::{return_route, unseen_route, reverse_path, route_look_up}` |
//! | frames larger than a buffer | `mtu` | `network::mtu` |
//! | another program is attached | `xdp-program`, `fast-path` | `program::{foreign, refused}` |
//! | the server runs, and the kernel answers | `fast-path` | `program::refused` |
//! | VLAN tags are taken off; a hash without ports; small rings | `vlan-offload`, `rss`, `rings` | `lab/tests/nics` (igb) |
//! | few queues, steering rules, uneven queues | `queues`, `steering`, `balance` | unit tests: no driver here has them |
//! | interrupts on one processor, a governor, an interpreter, small receive buffers | `interrupts`, `governor`, `bpf-jit`, `receive-buffer` | `pretence` |
//! | an old or faulty kernel, a lockdown | `kernel`, `lockdown` | `pretence::places` |
//! | no BPF file system | `bpffs` | `process::bpffs` |
//! | AppArmor or `SELinux` | `confinement` | unit tests: neither is here |

use std::process::ExitCode;

use sluicegate_lab::harness::suite;
use sluicegate_lab::needs;

mod network;
mod patient;
mod pretence;
mod process;
mod program;

#[expect(clippy::too_many_lines, reason = "a flat list of tests")]
fn main() -> ExitCode {
    suite("doctor")
        .test(
            "a server on a good interface is well",
            needs![Root, Netns],
            program::well,
        )
        .test(
            "a trial of its own takes the fast path",
            needs![Root, Netns],
            program::trial,
        )
        .test(
            "another program is named and taken off",
            needs![Root, Netns],
            program::foreign,
        )
        .test(
            "an address that the server leaves to the kernel",
            needs![Root, Netns],
            program::refused,
        )
        .test(
            "a bridge's port that is listened on",
            needs![Root, Netns],
            network::port,
        )
        .test(
            "two interfaces in one subnet",
            needs![Root, Netns],
            network::same_subnet,
        )
        .test(
            "a strict reverse path filter",
            needs![Root, Netns],
            network::reverse_path,
        )
        .test(
            "replies sent back the way queries came",
            needs![Root, Netns],
            network::return_route,
        )
        .test(
            "a return route that nobody looks up",
            needs![Root, Netns],
            network::unseen_route,
        )
        .test(
            "what somebody else has changed is left",
            needs![Root, Netns],
            network::changed_meanwhile,
        )
        .test(
            "an interface that is down",
            needs![Root, Netns],
            network::down,
        )
        .test(
            "frames that fit no buffer",
            needs![Root, Netns],
            network::mtu,
        )
        .test(
            "routes that a program can't look up",
            needs![Root, Netns],
            network::route_look_up,
        )
        .test(
            "a configuration without the fast path",
            needs![Root, Netns],
            network::configuration,
        )
        .test(
            "processors that save power",
            needs![Root, Netns, Tool("unshare")],
            pretence::governor,
        )
        .test(
            "an interpreter and small buffers",
            needs![Root, Netns, Tool("unshare"), Tool("setpriv")],
            pretence::sysctls,
        )
        .test(
            "interrupts on one processor",
            needs![Root, Netns, Tool("unshare")],
            pretence::interrupts,
        )
        .test(
            "another kernel, a lockdown, a container",
            needs![Root, Netns, Tool("unshare")],
            pretence::places,
        )
        .test(
            "missing capabilities",
            needs![Root, Netns, Tool("setcap")],
            process::capabilities,
        )
        .test(
            "too little locked memory",
            needs![Root, Netns, Tool("prlimit")],
            process::memlock,
        )
        .test(
            "no BPF file system",
            needs![Root, Netns, Tool("unshare")],
            process::bpffs,
        )
        .test(
            "address families that are forbidden",
            needs![Root, Netns],
            process::families,
        )
        .test(
            "a service that may not use AF_XDP",
            needs![Root, Netns],
            process::service,
        )
        .run()
}
