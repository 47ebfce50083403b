use std::net::{IpAddr, SocketAddr};

use sluicegate_conf::{Config, Listen, XdpConfig};
use sluicegate_xsk::nic::Address;

/// What the configuration asks for.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What is listened on; empty: there is no configuration, and every address counts.
    pub listen: Vec<WantedListen>,
    /// The clause `xdp:`.
    pub xdp: XdpConfig,
    /// Whether the server goes on as another user, without any capability (`username:`).
    pub drops_privileges: bool,
    /// That user.
    pub username: Option<String>,
}

/// One address or interface that is listened on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WantedListen {
    /// An address, perhaps a wildcard.
    Address(SocketAddr),
    /// All addresses of an interface.
    Interface(String),
}

impl Default for Wanted {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            xdp: Config::default().xdp,
            drops_privileges: false,
            username: None,
        }
    }
}

impl Wanted {
    /// What a configuration asks for.
    pub fn from_config(config: &Config) -> Self {
        let listen = config.listen.iter().map(|at| match &at.value {
            Listen::Address(address) => WantedListen::Address(*address),
            Listen::Interface { name, .. } => WantedListen::Interface(name.clone()),
        });
        let username = config.username.as_ref();
        let username = username
            .filter(|user| !user.value.is_empty())
            .map(|user| user.value.clone());
        Self {
            listen: listen.collect(),
            xdp: config.xdp.clone(),
            drops_privileges: username.is_some(),
            username,
        }
    }

    /// Whether an address as `192.0.2.1@53`, or the interface that has it, is named; a wildcard takes in many that nobody
    /// had in mind.
    pub(crate) fn names(&self, address: &str, interface: &str) -> bool {
        let ip = address.rsplit_once('@').map_or(address, |(ip, _)| ip);
        let ip = ip.parse::<IpAddr>().ok();
        self.listen.iter().any(|listen| match listen {
            WantedListen::Interface(name) => name == interface,
            WantedListen::Address(wanted) => Some(wanted.ip()) == ip,
        })
    }

    /// Whether a port is listened on that takes a capability: without a configuration port 53 is.
    pub(crate) fn has_low_port(&self) -> bool {
        let low = |listen: &WantedListen| match listen {
            WantedListen::Address(address) => address.port() < 1024,
            WantedListen::Interface { .. } => true,
        };
        self.listen.is_empty() || self.listen.iter().any(low)
    }

    /// Whether an address of an interface is listened on.
    pub(crate) fn hears(&self, address: &Address, interface: &str) -> bool {
        let one = |listen: &WantedListen| match listen {
            WantedListen::Interface(name) => name == interface,
            WantedListen::Address(wanted) if wanted.ip().is_unspecified() => {
                wanted.is_ipv4() == address.ip.is_ipv4()
            }
            WantedListen::Address(wanted) => wanted.ip() == address.ip,
        };
        self.listen.is_empty() || self.listen.iter().any(one)
    }
}
