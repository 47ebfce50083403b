use std::path::Path;

use sluicegate_xsk::nic::{Nic, Offloads, udp_hash};

use crate::facts::Root;
use crate::{Change, Flow, Offload};

impl Change {
    /// The setting as it is at this moment, in the words of [`values`](Self::values); `None` if the system doesn't tell,
    /// as when the interface is gone.
    pub fn present(&self) -> Option<String> {
        self.present_below(&Root::new(Path::new("/")))
    }

    fn present_below(&self, root: &Root) -> Option<String> {
        let nic = |name: &str| Nic::by_name(name).ok();
        match self {
            Self::Offload {
                interface, name, ..
            } => {
                let offloads = Offloads::of(nic(interface)?.index()).ok()??;
                let on = offloads.is_active(match name {
                    Offload::RxVlan => Offloads::RX_VLAN,
                    Offload::RxServiceVlan => Offloads::RX_SERVICE_VLAN,
                    Offload::Lro => Offloads::LRO,
                });
                Some(if on { "on" } else { "off" }.to_owned())
            }
            Self::UdpHash {
                interface, flow, ..
            } => {
                let (udp4, udp6) = udp_hash(interface);
                let hash = match flow {
                    Flow::Udp4 => udp4,
                    Flow::Udp6 => udp6,
                };
                hash.map(|hash| hash.to_string())
            }
            Self::RxRing { interface, .. } => Some(nic(interface)?.caps().rings?.rx.to_string()),
            Self::Channels { interface, .. } => {
                Some(nic(interface)?.caps().channels?.combined.to_string())
            }
            Self::Mtu { interface, .. } => Some(nic(interface)?.link().mtu_bytes.to_string()),
            Self::Master { interface, .. } => match nic(interface)?.link().master {
                Some(index) => Some(Nic::by_index(index).ok()?.name().to_owned()),
                None => Some("none".to_owned()),
            },
            Self::Sysctl { key, .. } => root.text(&format!("proc/sys/{key}")),
            Self::Irq { number, .. } => root.text(&format!("proc/irq/{number}/smp_affinity_list")),
            Self::Governor { .. } => governor(root),
        }
    }
}

/// How all processors choose their frequency, or `mixed`.
fn governor(root: &Root) -> Option<String> {
    let mut all = root.governors();
    let first = all.pop()?;
    Some(if all.iter().all(|other| *other == first) {
        first
    } else {
        "mixed".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("sluicegate-present-{name}-{}", std::process::id());
            Self(std::env::temp_dir().join(name))
        }

        fn write(&self, name: &str, text: &str) {
            let path = self.0.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn settings_in_files_are_read_again() {
        let folder = Folder::new("files");
        folder.write("proc/sys/net/ipv4/conf/all/arp_ignore", "1\n");
        folder.write("proc/irq/33/smp_affinity_list", "0-3\n");
        let root = Root::new(&folder.0);
        let (from, to) = (String::new(), String::new());
        let sysctl = |key: &str| Change::Sysctl {
            key: key.into(),
            from: "0".into(),
            to: "1".into(),
        };
        let of = |change: Change| change.present_below(&root);
        assert_eq!(
            of(sysctl("net/ipv4/conf/all/arp_ignore")),
            Some("1".to_owned())
        );
        assert_eq!(of(sysctl("net/ipv4/conf/gone/arp_ignore")), None);
        let number = 33;
        let irq = Change::Irq { number, from, to };
        assert_eq!(of(irq), Some("0-3".to_owned()));
    }

    #[test]
    fn processors_may_be_governed_differently() {
        let folder = Folder::new("governor");
        let root = Root::new(&folder.0);
        assert_eq!(governor(&root), None);
        let write = |cpu: u32, name: &str| {
            let file = format!("sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor");
            folder.write(&file, name);
        };
        write(0, "performance\n");
        write(1, "performance\n");
        assert_eq!(governor(&root).as_deref(), Some("performance"));
        write(1, "powersave\n");
        assert_eq!(governor(&root).as_deref(), Some("mixed"));
    }

    #[test]
    fn an_interface_that_is_gone_tells_nothing() {
        let interface = "no-such-nic".to_owned();
        let (from, to) = (1, 2);
        let change = Change::Mtu {
            interface,
            from,
            to,
        };
        assert_eq!(change.present(), None);
    }
}
