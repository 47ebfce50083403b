//! What the kernel asks for before it runs the program.

use anyhow::{Context, Result, ensure};
use aya::programs::XdpMode;
use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use sluicegate_lab::netns::{Netns, veth_pair};

use crate::steer::{load, program};

/// Without `CAP_PERFMON` the verifier forbids packet pointers to be subtracted or compared to numbers.
pub(crate) fn loads_with_two() -> Result<()> {
    let two = CapabilitySet::BPF | CapabilitySet::NET_ADMIN;
    let sets = CapabilitySets {
        effective: two,
        permitted: two,
        inheritable: CapabilitySet::empty(),
    };
    // Capabilities belong to the thread; this one ends with the test.
    let thread = std::thread::spawn(move || -> Result<()> {
        set_capabilities(None, sets).context("capset")?;
        load().map(drop)
    });
    thread.join().expect("the thread does not panic")
}

/// As a `bpf_link` in both modes, on an ordinary MTU.
pub(crate) fn both_modes() -> Result<()> {
    let (here, there) = (Netns::new()?, Netns::new()?);
    let (end, _peer) = veth_pair(&here, "veth0", &there, "veth1", 2)?;
    for mode in [XdpMode::Driver, XdpMode::Skb] {
        here.enter(|| -> Result<()> {
            let mut ebpf = load()?;
            program(&mut ebpf)?
                .attach("veth0", mode)
                .with_context(|| format!("{mode:?}"))?;
            ensure!(
                end.xdp_program()?.is_some(),
                "no program on the interface in mode {mode:?}"
            );
            Ok(())
        })?;
        ensure!(
            end.xdp_program()?.is_none(),
            "the program outlived its link in mode {mode:?}"
        );
    }
    Ok(())
}
