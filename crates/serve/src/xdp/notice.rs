use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use sluicegate_places::{Placed, Plan, Spot};

use super::report::Standing;
use crate::Registry;

/// Tells for each address that is listened on how it is served, where, and why not faster: in the log when that
/// changes, and in `stats` as `place.ADDRESS@PORT`.
#[derive(Debug, Default)]
pub(super) struct Notices {
    said: BTreeSet<String>,
    /// What was told of last: mostly nothing has changed.
    last: (Plan, BTreeMap<u32, Standing>),
}

/// Addresses named in one line of the log; of more, only the number is told.
const NAMED: usize = 8;

impl Notices {
    /// Says what is new. `standings` tells how the interfaces are served.
    pub(super) fn tell(
        &mut self,
        registry: &Registry,
        plan: &Plan,
        standings: BTreeMap<u32, Standing>,
    ) {
        if self.last.0 == *plan && self.last.1 == standings {
            return;
        }
        let mut texts = BTreeMap::new();
        let mut lines: BTreeMap<(String, String), Vec<SocketAddr>> = BTreeMap::new();
        for placed in &plan.addresses {
            let at = format!("{} ({})", placed.interface, placed.kind);
            let outcome = placed.outcome(|spot| taken(spot, standings.get(&spot.ifindex)));
            texts.insert(key(placed), format!("{at}: {outcome}"));
            lines.entry((at, outcome)).or_default().push(placed.local);
        }
        let lines = lines
            .into_iter()
            .map(|((at, outcome), addresses)| format!("{at}: {}: {outcome}", list(&addresses)));
        let lines: BTreeSet<String> = lines.collect();
        for line in lines.difference(&self.said) {
            tracing::info!("addresses on {line}");
        }
        self.said = lines;
        registry.set_texts(texts);
        self.last = (plan.clone(), standings);
    }

    /// No address is served by this gate.
    pub(super) fn clear(&mut self, registry: &Registry) {
        *self = Self::default();
        registry.set_texts(BTreeMap::new());
    }
}

fn key(placed: &Placed) -> String {
    format!("place.{}", written(placed.local))
}

/// The address as `unbound.conf` writes it.
pub(super) fn written(local: SocketAddr) -> String {
    format!("{}@{}", local.ip(), local.port())
}

fn list(addresses: &[SocketAddr]) -> String {
    let named: Vec<String> = addresses.iter().copied().take(NAMED).map(written).collect();
    let more = addresses.len().saturating_sub(NAMED);
    let list = named.join(", ");
    if more > 0 {
        format!("{list} and {more} more")
    } else {
        list
    }
}

fn taken(spot: &Spot, standing: Option<&Standing>) -> String {
    match standing {
        Some(Standing::Active { rung, queues }) => {
            let plural = if *queues == 1 { "queue" } else { "queues" };
            format!(
                "XDP at {}",
                spot.with(&format!("{rung}, {queues} {plural}"))
            )
        }
        Some(Standing::Kernel(reason)) => format!("kernel at {}: {reason}", spot.interface),
        None => format!("kernel at {}", spot.interface),
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_places::Topology;
    use sluicegate_xsk::nic::{Address, Link};

    use super::*;
    use crate::xdp::Rung;

    fn plan(addresses: u8) -> Plan {
        let mut link = Link::default();
        (link.index, link.name, link.up) = (2, "eth0".to_owned(), true);
        link.mac = Some([2, 0, 0, 0, 0, 1]);
        let addresses = (1..=addresses).map(|last| Address {
            ifindex: 2,
            ip: [192, 0, 2, last].into(),
            prefix_len: 24,
        });
        let topology = Topology::new(vec![link], addresses.collect());
        Plan::of(&topology, &["0.0.0.0:53".parse().unwrap()])
    }

    fn texts(registry: &Registry) -> Vec<String> {
        let mut all = Vec::new();
        registry.visit_texts(&mut |name, text| all.push(format!("{name}={text}")));
        all
    }

    #[test]
    fn each_address_is_shown_with_its_place() {
        let (registry, mut notices) = (Registry::new(), Notices::default());
        let (rung, queues) = (Rung::Copy, 2);
        let standings = || [(2, Standing::Active { rung, queues })].into();
        notices.tell(&registry, &plan(1), standings());
        notices.tell(&registry, &plan(1), standings());
        assert_eq!(
            texts(&registry),
            ["place.192.0.2.1@53=eth0 (physical): XDP at eth0 (copy, 2 queues)"]
        );
        assert_eq!(notices.said.len(), 1);
        notices.clear(&registry);
        assert!(texts(&registry).is_empty());
    }

    #[test]
    fn one_line_tells_of_many_addresses() {
        let (registry, mut notices) = (Registry::new(), Notices::default());
        notices.tell(&registry, &plan(200), BTreeMap::new());
        assert_eq!(texts(&registry).len(), 200);
        let line = notices.said.first().unwrap();
        assert!(
            line.contains("192.0.2.8@53 and 192 more: kernel at eth0"),
            "{line}"
        );
    }
}
