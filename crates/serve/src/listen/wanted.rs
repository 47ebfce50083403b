use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};

use sluicegate_conf::{Config, Listen};

use super::Transport;

/// The machine's addresses, as far as listening needs them.
pub(crate) trait LocalAddresses {
    /// The addresses of an interface (kernel name or altname) with their scope; `None`: there is no such
    /// interface.
    fn of_interface(&self, name: &str) -> Option<Vec<(IpAddr, u32)>>;
}

/// What the configuration asks for, on this machine as it is now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Every address, once.
    pub(crate) addresses: BTreeSet<SocketAddr>,
    /// Those of them that are wanted only because an interface has them.
    pub(crate) by_interface: BTreeSet<SocketAddr>,
    /// Interfaces asked for that do not exist, or have no usable address.
    pub(crate) missing_interfaces: Vec<String>,
}

/// Resolves the `interface` lines.
pub(crate) fn wanted(config: &Config, machine: &dyn LocalAddresses) -> Wanted {
    let mut wanted = Wanted::default();
    let allowed = |ip: IpAddr| {
        if ip.is_ipv4() {
            config.do_ip4
        } else {
            config.do_ip6
        }
    };
    for listen in &config.listen {
        match &listen.value {
            Listen::Address(address) => {
                if allowed(address.ip()) {
                    wanted.addresses.insert(*address);
                }
            }
            Listen::Interface { name, port } => {
                let found = machine.of_interface(name).unwrap_or_default();
                if found.is_empty() {
                    wanted.missing_interfaces.push(name.clone());
                }
                let usable = found.into_iter().filter(|(ip, _)| allowed(*ip));
                wanted
                    .by_interface
                    .extend(usable.map(|(ip, ifindex)| with_scope(ip, *port, ifindex)));
            }
        }
    }
    wanted
        .by_interface
        .retain(|address| !wanted.addresses.contains(address));
    wanted.addresses.extend(&wanted.by_interface);
    wanted
}

/// The transports that are served. `incoming-num-tcp: 0` leaves no place for a TCP client, so none is let in.
pub(crate) fn transports(config: &Config) -> Vec<Transport> {
    let udp = config.do_udp.then_some(Transport::Udp);
    let tcp = config.do_tcp && config.tcp.connections_per_thread > 0;
    udp.into_iter()
        .chain(tcp.then_some(Transport::Tcp))
        .collect()
}

/// Link-local addresses mean nothing without their interface.
fn with_scope(ip: IpAddr, port: u16, ifindex: u32) -> SocketAddr {
    match ip {
        IpAddr::V6(ip) if ip.is_unicast_link_local() => {
            SocketAddrV6::new(ip, port, 0, ifindex).into()
        }
        _ => SocketAddr::new(ip, port),
    }
}

#[cfg(test)]
mod tests {
    use sluicegate_conf::{At, Span};

    use super::*;

    struct Machine;

    impl LocalAddresses for Machine {
        fn of_interface(&self, name: &str) -> Option<Vec<(IpAddr, u32)>> {
            (name == "eth0").then(|| {
                vec![
                    ("10.0.0.1".parse().unwrap(), 2),
                    ("fe80::1".parse().unwrap(), 2),
                    ("2001:db8::1".parse().unwrap(), 2),
                ]
            })
        }
    }

    fn config(listen: Vec<Listen>) -> Config {
        let listen = listen
            .into_iter()
            .map(|value| At {
                value,
                at: Span::NONE,
            })
            .collect();
        Config {
            listen,
            ..Config::default()
        }
    }

    #[test]
    fn an_interface_stands_for_its_addresses() {
        let name = Listen::Interface {
            name: "eth0".into(),
            port: 53,
        };
        let twice = Listen::Address("10.0.0.1:53".parse().unwrap());
        let wanted = wanted(&config(vec![name, twice]), &Machine);
        let text: Vec<_> = wanted.addresses.iter().map(ToString::to_string).collect();
        assert_eq!(text, ["10.0.0.1:53", "[2001:db8::1]:53", "[fe80::1%2]:53"]);
        assert_eq!(
            wanted.by_interface.len(),
            2,
            "10.0.0.1 is also wanted by itself"
        );
        assert!(wanted.missing_interfaces.is_empty());
    }

    #[test]
    fn a_missing_interface_is_named_and_do_ip6_honoured() {
        let lost = Listen::Interface {
            name: "eth7".into(),
            port: 53,
        };
        let six = Listen::Address("[::1]:53".parse().unwrap());
        let config = Config {
            do_ip6: false,
            ..config(vec![lost, six])
        };
        let wanted = wanted(&config, &Machine);
        assert_eq!(wanted.missing_interfaces, ["eth7"]);
        assert!(wanted.addresses.is_empty());
    }
}
