use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use sluicegate_conf::Config;
use sluicegate_xsk::nic;

use crate::listen::{LocalAddresses, wanted};

/// What a configuration listens on, on this machine as it is now.
pub(crate) fn listen_addresses(config: &Config) -> BTreeSet<SocketAddr> {
    wanted(config, &Machine::now()).addresses
}

/// The machine's interfaces and addresses at one moment.
#[derive(Debug, Default)]
pub(crate) struct Machine {
    addresses: Vec<nic::Address>,
}

impl Machine {
    /// Asks the kernel. Should it not answer, there is nothing: only listen addresses given as interface
    /// names need it.
    pub(crate) fn now() -> Self {
        let addresses = nic::addresses().unwrap_or_else(|error| {
            tracing::warn!("cannot list this machine's addresses: {error}");
            Vec::new()
        });
        Self { addresses }
    }
}

impl LocalAddresses for Machine {
    fn of_interface(&self, name: &str) -> Option<Vec<(IpAddr, u32)>> {
        let index = nic::Nic::by_name(name).ok()?.index();
        let own = self
            .addresses
            .iter()
            .filter(|address| address.ifindex == index);
        Some(own.map(|address| (address.ip, index)).collect())
    }
}
