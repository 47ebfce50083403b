//! The checks: each takes facts and says what they mean. None of them looks at the machine.

mod configuration;
mod driver;
mod fast_path;
mod host;
mod interface;
mod network;
mod privileges;
mod queues;
mod serving;
#[cfg(test)]
mod testing;
mod trial;

use crate::{Facts, Finding};

/// The names of all checks, whether or not a machine has anything for them to look at.
pub const CHECKS: &[&str] = &[
    "configuration",
    "trial",
    "kernel",
    "bpf-jit",
    "lockdown",
    "bpffs",
    "governor",
    "container",
    "receive-buffer",
    "capabilities",
    "af-xdp",
    "program",
    "memlock",
    "seccomp",
    "confinement",
    "driver",
    "mtu",
    "xdp-program",
    "queues",
    "rss",
    "steering",
    "rings",
    "interrupts",
    "vlan-offload",
    "lro",
    "interfaces",
    "same-subnet",
    "route-look-up",
    "return-route",
    "rp-filter",
    "link",
    "port",
    "xdp-enabled",
    "server",
    "fast-path",
    "balance",
    "service",
];

/// Every check.
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut all = examine_without_interfaces(facts);
    for one in &facts.interfaces {
        let mut findings = vec![driver::driver(facts, one)];
        findings.extend(interface::examine(facts, one));
        findings.extend(queues::examine(facts, one));
        let named = findings
            .into_iter()
            .map(|finding| finding.on(&one.link.name));
        all.extend(named);
    }
    all.extend(network::examine(facts));
    all.extend(serving::examine(facts));
    all
}

/// The checks that need no interface: the kernel, and what the process may do.
pub fn examine_without_interfaces(facts: &Facts) -> Vec<Finding> {
    let mut all = host::examine(facts);
    all.extend(privileges::examine(facts));
    all
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::{Master, Serving};

    #[test]
    fn all_checks_are_listed() {
        let mut facts = testing::good();
        facts.interfaces[0].master = Some(Master::default());
        let busy = [(0, 9000), (1, 9000)].into();
        facts.server = Some(Serving {
            queues: [("eth0".to_owned(), busy)].into(),
            ..Serving::default()
        });
        let mut all = examine(&facts);
        all.push(Finding::no_configuration(Path::new("conf")));
        all.push(Finding::trial_skipped("no root"));
        let found: BTreeSet<&str> = all.iter().map(|finding| finding.check).collect();
        let listed: BTreeSet<&str> = CHECKS.iter().copied().collect();
        assert_eq!(found, listed);
    }
}
