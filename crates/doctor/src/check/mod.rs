//! The checks: each takes facts and says what they mean. None of them looks at the machine.

mod configuration;
mod driver;
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
