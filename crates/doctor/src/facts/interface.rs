use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use sluicegate_xsk::nic::{
    Address, AttachedMode, Channels, Link, Nic, Offloads, RingSizes, UdpHash, XdpFeatures,
    interface_towards, steering_rules, udp_hash,
};
use sluicegate_xsk::prog::{self, program_name};

use super::host::Conf;
use super::{Root, Wanted, gateway};

/// An interface that queries come in by, or one that hangs together with such a one.
#[derive(Clone, Debug, Default)]
pub struct Interface {
    /// What rtnetlink says.
    pub link: Link,
    /// Why it matters.
    pub role: Role,
    /// Its addresses that are listened on.
    pub addresses: Vec<Address>,
    /// What it belongs to.
    pub master: Option<Master>,
    /// Whether an interface of this network namespace stands on it: its master, a VLAN, a macvlan.
    pub carries: bool,
    /// The driver's name.
    pub driver: Option<String>,
    /// XDP features; `None` if this kernel doesn't tell (before 6.3).
    pub features: Option<XdpFeatures>,
    /// Queues.
    pub channels: Option<Channels>,
    /// The device's rings.
    pub rings: Option<RingSizes>,
    /// RX queues in use.
    pub rx_queues: u32,
    /// Offloads.
    pub offloads: Option<Offloads>,
    /// What of UDP packets over IPv4 is hashed.
    pub udp4_hash: Option<UdpHash>,
    /// The same over IPv6.
    pub udp6_hash: Option<UdpHash>,
    /// Steering rules.
    pub steering_rules: Option<u32>,
    /// The XDP program on it.
    pub program: Option<Program>,
    /// Its interrupts.
    pub interrupts: Vec<Interrupt>,
    /// IPv4 settings.
    pub conf: Conf,
    /// Where replies of its addresses to far clients go.
    pub routes: Vec<Route>,
}

/// The bridge, bond or VRF that an interface belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Master {
    /// Its name.
    pub name: String,
    /// Its kind: `bridge`, `bond`, `vrf`...
    pub kind: String,
    /// Whether it is a bridge that sorts packets by VLAN: its ports have settings for that.
    pub vlan_filtering: bool,
}

/// An interrupt, and lists of processors as `0-3,8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interrupt {
    /// Its number.
    pub number: u32,
    /// Those that handle it, a part of those allowed.
    pub effective: String,
    /// Those that may (`smp_affinity_list`): the setting.
    pub allowed: String,
}

/// Where packets from an address to a far client leave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// An address that is listened on.
    pub from: IpAddr,
    /// The interface; `None`: there is no route.
    pub out: Option<String>,
    /// The router beyond the interface that has the address, if a route of the main table names it.
    pub gateway: Option<IpAddr>,
}

/// An address and the interface that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The interface.
    pub interface: String,
    /// The address.
    pub ip: IpAddr,
    /// The length of its prefix in bits.
    pub prefix_len: u8,
    /// Whether the interface has a MAC address, and so answers ARP.
    pub resolves: bool,
}

/// Why an interface matters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// It carries an address that is listened on.
    #[default]
    Listens,
    /// Packets for such a one come in by it: it is below a VLAN, or a port or member of a bridge or bond.
    Below,
}

/// An XDP program on an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Program {
    /// Its number.
    pub id: u32,
    /// Its name, if this process may know it.
    pub name: Option<String>,
    /// Where it runs.
    pub mode: AttachedMode,
    /// Whether it uses the map of sockets that is pinned for it; `None` if there is none, or this process may not know.
    pub uses_pinned_map: Option<bool>,
}

/// The interfaces that matter, in the order of their numbers.
pub(super) fn gather(
    root: &Root,
    wanted: &Wanted,
    links: &[Link],
    addresses: &[Address],
) -> Vec<Interface> {
    let roles = roles(wanted, links, addresses);
    let by_index: BTreeMap<u32, &Link> = links.iter().map(|link| (link.index, link)).collect();
    roles
        .into_iter()
        .filter_map(|(index, role)| Some((by_index.get(&index)?, role)))
        .map(|(link, role)| {
            let heard = addresses
                .iter()
                .filter(|own| own.ifindex == link.index && wanted.hears(own, &link.name));
            let master = link.master.and_then(|index| by_index.get(&index));
            let heard: Vec<Address> = heard.copied().collect();
            Interface {
                role,
                routes: routes(root, link, &heard, &by_index),
                addresses: heard,
                master: master.map(|master| Master {
                    name: master.name.clone(),
                    kind: master.kind.clone().unwrap_or_default(),
                    vlan_filtering: master.vlan_filtering,
                }),
                carries: link.master.is_some()
                    || links.iter().any(|upper| upper.lower == Some(link.index)),
                ..look(root, wanted, link)
            }
        })
        .collect()
}

/// Who stands for a far client: a.root-servers.net. Nothing is sent there; the kernel's tables are asked.
const FAR4: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 41, 0, 4));
const FAR6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0x503, 0xba3e, 0, 0, 0, 2, 0x30));

/// Where replies to far clients leave. A link-local address has none.
fn routes(
    root: &Root,
    link: &Link,
    addresses: &[Address],
    by_index: &BTreeMap<u32, &Link>,
) -> Vec<Route> {
    addresses
        .iter()
        .filter(|own| !matches!(own.ip, IpAddr::V6(ip) if ip.is_unicast_link_local()))
        .map(|own| {
            let far = if own.ip.is_ipv4() { FAR4 } else { FAR6 };
            let out = interface_towards(far, own.ip).and_then(|index| by_index.get(&index));
            Route {
                from: own.ip,
                out: out.map(|link| link.name.clone()),
                gateway: gateway::beyond(root, &link.name, own.ip.is_ipv4()),
            }
        })
        .collect()
}

/// All addresses of all interfaces that are up.
pub(super) fn places(links: &[Link], addresses: &[Address]) -> Vec<Place> {
    let named = |own: &Address| {
        let link = links
            .iter()
            .find(|link| link.index == own.ifindex && link.up)?;
        Some(Place {
            interface: link.name.clone(),
            ip: own.ip,
            prefix_len: own.prefix_len,
            resolves: link.mac.is_some(),
        })
    };
    addresses.iter().filter_map(named).collect()
}

/// Those with addresses that are listened on, and all below them.
fn roles(wanted: &Wanted, links: &[Link], addresses: &[Address]) -> BTreeMap<u32, Role> {
    let usable = |link: &&Link| !link.loopback;
    let mut roles: BTreeMap<u32, Role> = links
        .iter()
        .filter(usable)
        .filter(|link| {
            addresses
                .iter()
                .any(|own| own.ifindex == link.index && wanted.hears(own, &link.name))
        })
        .map(|link| (link.index, Role::Listens))
        .collect();
    // Each round goes one storey down; there are no more storeys than interfaces.
    for _ in links {
        let below: Vec<u32> = links
            .iter()
            .filter(usable)
            .filter(|link| !roles.contains_key(&link.index))
            .filter(|link| {
                let above = |upper: &Link| {
                    upper.lower == Some(link.index) || link.master == Some(upper.index)
                };
                links
                    .iter()
                    .any(|upper| roles.contains_key(&upper.index) && above(upper))
            })
            .map(|link| link.index)
            .collect();
        if below.is_empty() {
            break;
        }
        roles.extend(below.into_iter().map(|index| (index, Role::Below)));
    }
    roles
}

/// Asks the interface itself.
fn look(root: &Root, wanted: &Wanted, link: &Link) -> Interface {
    let nic = Nic::from_link(link.clone());
    let caps = nic.caps();
    let (udp4_hash, udp6_hash) = udp_hash(&link.name);
    Interface {
        driver: caps.driver.clone(),
        features: caps.features,
        channels: caps.channels,
        rings: caps.rings,
        rx_queues: caps.rx_queues(),
        offloads: Offloads::of(link.index).ok().flatten(),
        udp4_hash,
        udp6_hash,
        steering_rules: steering_rules(&link.name),
        program: link.xdp.map(|attached| Program {
            id: attached.program_id,
            name: program_name(attached.program_id).ok(),
            mode: attached.mode,
            uses_pinned_map: uses_pinned_map(wanted, link, attached.program_id),
        }),
        interrupts: interrupts(root, link),
        conf: Conf::gather(root, &link.name),
        link: link.clone(),
        ..Interface::default()
    }
}

/// The maps of an interface are in a directory of its name, in which a BPF file system takes no dots.
fn uses_pinned_map(wanted: &Wanted, link: &Link, program: u32) -> Option<bool> {
    let directory = wanted.xdp.pinned_maps.as_ref()?;
    let path = directory
        .join(link.name.replace('.', ":"))
        .join(sluicegate_bpf::MAP_XSKS);
    prog::uses_pinned_map(program, &path).ok()
}

/// The device's interrupts (MSI), and who handles them. The sysfs that is mounted may be another network namespace's,
/// where the name can mean another interface: the number must agree too.
fn interrupts(root: &Root, link: &Link) -> Vec<Interrupt> {
    let folder = format!("sys/class/net/{}", link.name);
    if root.number(&format!("{folder}/ifindex")) != Some(link.index.into()) {
        return Vec::new();
    }
    // virtio's are those of the device that carries it.
    let device = root.target(&format!("{folder}/device"));
    let is_virtio = device.is_some_and(|name| name.starts_with("virtio"));
    let up = if is_virtio { "/.." } else { "" };
    root.names(&format!("{folder}/device{up}/msi_irqs"))
        .iter()
        .filter_map(|name| {
            let number = name.parse().ok()?;
            let list = |file: &str| root.text(&format!("proc/irq/{number}/{file}"));
            Some(Interrupt {
                number,
                effective: list("effective_affinity_list")?,
                allowed: list("smp_affinity_list")?,
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, lower: Option<u32>, master: Option<u32>) -> Link {
        let mut link = Link::default();
        (link.index, link.lower, link.master) = (index, lower, master);
        link
    }

    #[test]
    fn interrupts_are_handled_by_some_of_the_allowed() {
        let folder =
            std::env::temp_dir().join(format!("sluicegate-interrupts-{}", std::process::id()));
        let write = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("sys/class/net/eth0/ifindex", "2\n");
        write("sys/class/net/eth0/device/msi_irqs/33", "msix\n");
        write("proc/irq/33/effective_affinity_list", "0\n");
        write("proc/irq/33/smp_affinity_list", "0-3\n");
        let mut eth0 = link(2, None, None);
        eth0.name = "eth0".into();
        let root = Root::new(&folder);
        let expected = Interrupt {
            number: 33,
            effective: "0".into(),
            allowed: "0-3".into(),
        };
        let found = interrupts(&root, &eth0);
        // As sysfs has a virtio device on PCI.
        write("sys/devices/pci0/virtio3/features", "");
        write("sys/devices/pci0/msi_irqs/33", "msix\n");
        std::fs::remove_dir_all(folder.join("sys/class/net/eth0/device")).unwrap();
        let device = folder.join("sys/class/net/eth0/device");
        std::os::unix::fs::symlink("../../../devices/pci0/virtio3", device).unwrap();
        let on_virtio = interrupts(&root, &eth0);
        // Another interface's, of the same name elsewhere.
        eth0.index = 3;
        let elsewhere = interrupts(&root, &eth0);
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(found, on_virtio);
        assert_eq!(on_virtio, [expected]);
        assert!(elsewhere.is_empty(), "{elsewhere:?}");
    }

    /// NICs 2 and 3 in bond 4, VLAN 5 on it, bridge 6 over the VLAN, with the address; NIC 7 has nothing to do with it.
    #[test]
    fn all_storeys_below_an_address_count() {
        let links = [
            link(2, None, Some(4)),
            link(3, None, Some(4)),
            link(4, None, None),
            link(5, Some(4), Some(6)),
            link(6, None, None),
            link(7, None, None),
        ];
        let own = Address {
            ifindex: 6,
            ip: [192, 0, 2, 1].into(),
            prefix_len: 24,
        };
        let roles = roles(&Wanted::default(), &links, &[own]);
        assert_eq!(roles.keys().copied().collect::<Vec<_>>(), [2, 3, 4, 5, 6]);
        assert_eq!((roles[&6], roles[&2]), (Role::Listens, Role::Below));
    }
}
