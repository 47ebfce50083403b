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
}

impl Serving {
    /// Reads lines as `xdp.eth0.3.rx.packets=17`. The name of an interface may have dots too.
    pub fn from_stats(stats: &str) -> Self {
        let mut all = Self::default();
        for (name, value) in stats.lines().filter_map(|line| line.split_once('=')) {
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
}
