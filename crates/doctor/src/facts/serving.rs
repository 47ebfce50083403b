use std::collections::BTreeMap;

/// What a running server tells of itself, out of what its `stats` prints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Serving {
    /// Packets that each AF_XDP queue has had, by interface and queue.
    pub queues: BTreeMap<String, BTreeMap<u32, u64>>,
    /// Packets that the kernel's UDP sockets have had.
    pub kernel: u64,
    /// Packets that were lost on the way into the queues, by interface.
    pub lost: BTreeMap<String, u64>,
    /// How each address is served; empty if the server doesn't tell.
    pub placed: Vec<Served>,
}

/// How an address is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// The address and port, as `192.0.2.1@53`.
    pub address: String,
    /// The interface that has the address.
    pub interface: String,
    /// What became of it, as `XDP at eth0 (copy, 2 queues); kernel at eth1: it is gone`.
    pub outcome: String,
}

impl Serving {
    /// Reads lines as `xdp.eth0.3.rx.packets=17` and `place.192.0.2.1@53=eth0 (physical): kernel at eth0: it is down`. The name of an interface may have dots too.
    pub fn from_stats(stats: &str) -> Self {
        let mut all = Self::default();
        for (name, value) in stats.lines().filter_map(|line| line.split_once('=')) {
            all.placed.extend(Served::read(name, value));
            let Ok(value) = value.trim().parse::<u64>() else {
                continue;
            };
            if name.starts_with("udp.") && name.ends_with(".received") {
                all.kernel += value;
            }
            let Some((interface, queue, count)) = name.strip_prefix("xdp.").and_then(of_queue)
            else {
                continue;
            };
            match count {
                "rx.packets" => {
                    let queues = all.queues.entry(interface.to_owned()).or_default();
                    queues.insert(queue, value);
                }
                "rx.drop.fill-empty" | "rx.drop.ring-full" | "rx.drop.other" => {
                    *all.lost.entry(interface.to_owned()).or_default() += value;
                }
                _ => {}
            }
        }
        all
    }

    /// Packets that all AF_XDP queues have had.
    pub fn fast(&self) -> u64 {
        self.queues.values().flat_map(BTreeMap::values).sum()
    }
}

impl Served {
    fn read(name: &str, value: &str) -> Option<Self> {
        let address = name.strip_prefix("place.")?;
        let (interface, rest) = value.trim().split_once(" (")?;
        let (_, outcome) = rest.split_once("): ")?;
        Some(Self {
            address: address.to_owned(),
            interface: interface.to_owned(),
            outcome: outcome.to_owned(),
        })
    }

    /// Where and why the kernel serves it, or a part of its packets; `None` if AF_XDP has them all.
    pub fn by_kernel(&self) -> Option<&str> {
        const PART: &str = "; kernel at ";
        if self.outcome.starts_with("kernel") {
            return Some(&self.outcome);
        }
        let at = self.outcome.find(PART)?;
        self.outcome.get(at + 2..)
    }

    /// The mode in which AF_XDP serves it at an interface, if it does.
    pub fn mode_at(&self, interface: &str) -> Option<&str> {
        let mut parts = self.outcome.split("; ");
        parts.find_map(|part| {
            let (name, rest) = part.strip_prefix("XDP at ")?.split_once(" (")?;
            let (words, _) = rest.split_once(')').filter(|_| name == interface)?;
            let known = |word: &&str| matches!(*word, "zero-copy" | "copy" | "generic");
            words.split(", ").find(known)
        })
    }

    /// Whether it lies in what the interface is, not in what happened at one.
    pub fn by_nature(&self) -> bool {
        self.outcome.starts_with("kernel: ")
    }

    /// The command that the server names to change it.
    pub fn command(&self) -> Option<&str> {
        let (_, command) = self.outcome.split_once("to change that: ")?;
        command.split(';').next()
    }
}

/// Interface, queue and count of a name as `eth0.3.rx.packets`.
fn of_queue(name: &str) -> Option<(&str, u32, &str)> {
    let at = name.find(".rx.")?;
    let (interface, queue) = name[..at].rsplit_once('.')?;
    Some((interface, queue.parse().ok()?, &name[at + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found() {
        let stats = "time.up=3.5\nudp.0.received=7\nudp.1.received=2\nxdp.eth0.10.3.rx.packets=17\n\
                     xdp.eth0.10.3.rx.drop.ring-full=4\nxdp.eth0.10.3.rx.drop.other=1\nxdp.eth0.10.redirected=9\n";
        let serving = Serving::from_stats(stats);
        assert_eq!((serving.kernel, serving.fast()), (9, 17));
        assert_eq!(serving.queues["eth0.10"], [(3, 17)].into());
        assert_eq!(serving.lost["eth0.10"], 5);
    }

    #[test]
    fn addresses_tell_who_serves_them() {
        let told = |outcome: &str| {
            let stats = format!("place.fc00::1@53=bond0.10 (VLAN 10): {outcome}\n");
            Serving::from_stats(&stats).placed.remove(0)
        };
        let fast =
            told("XDP at eno1 (zero-copy, 4 queues); eno2 stands by: it is a backup of bond0");
        assert_eq!(
            (fast.address.as_str(), fast.interface.as_str()),
            ("fc00::1@53", "bond0.10")
        );
        assert_eq!(fast.by_kernel(), None);
        assert_eq!(fast.mode_at("eno1"), Some("zero-copy"));
        assert_eq!(fast.mode_at("eno2"), None);
        let part = told("XDP at eno1 (copy, 1 queue); kernel at eno2: zero-copy: a; copy: b");
        assert_eq!(
            part.by_kernel(),
            Some("kernel at eno2: zero-copy: a; copy: b")
        );
        let stripped = told(
            "kernel at eno1: tags go; to change that: ethtool -K eno1 rxvlan off; kernel at eno2: more",
        );
        assert_eq!(stripped.command(), Some("ethtool -K eno1 rxvlan off"));
        assert!(!stripped.by_nature() && told("kernel: it is a port of br0").by_nature());
    }
}
