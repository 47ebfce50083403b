use std::fs;

use super::ethtool::{self, Channels, RingSizes};
use super::features::{self, XdpFeatures};
use super::link::{Link, link_by_index, link_by_name};
use super::query::NicError;

/// A network interface and what it can do, as it was when asked.
#[derive(Clone, Debug)]
pub struct Nic {
    link: Link,
    caps: NicCaps,
}

/// What an interface can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NicCaps {
    /// XDP features; `None` if this kernel doesn't tell (before 6.3).
    pub features: Option<XdpFeatures>,
    /// Queues; `None` if the driver doesn't tell.
    pub channels: Option<Channels>,
    /// The device's rings; `None` if the driver doesn't tell.
    pub rings: Option<RingSizes>,
    /// The largest packet without Ethernet header, in bytes.
    pub mtu_bytes: u32,
    /// The driver's name.
    pub driver: Option<String>,
    /// The NUMA node that the device hangs on, where there are several.
    pub numa_node: Option<u32>,
    /// RX queues that the interface was made with.
    rx_queues_made: u32,
}

impl NicCaps {
    /// The number of queues that receive now; at least 1.
    pub fn rx_queues(&self) -> u32 {
        let told = self.channels.map_or(0, |channels| channels.rx_queues());
        if told > 0 {
            told
        } else {
            self.rx_queues_made.max(1)
        }
    }
}

impl Nic {
    /// The interface of a name, or alternative name, in this network namespace.
    ///
    /// # Errors
    /// [`NicError`].
    pub fn by_name(name: &str) -> Result<Self, NicError> {
        link_by_name(name).map(Self::from_link)
    }

    /// The interface of a number, in this network namespace.
    ///
    /// # Errors
    /// [`NicError`].
    pub fn by_index(index: u32) -> Result<Self, NicError> {
        link_by_index(index).map(Self::from_link)
    }

    /// Asks the same interface again, whatever its name is now.
    ///
    /// # Errors
    /// [`NicError::NotFound`] if it is gone.
    pub fn refresh(&self) -> Result<Self, NicError> {
        Self::by_index(self.link.index)
    }

    /// The rest about an interface of [`links`](super::links).
    pub fn from_link(link: Link) -> Self {
        let caps = NicCaps {
            features: features::features(link.index),
            channels: ethtool::channels(&link.name),
            rings: ethtool::rings(&link.name),
            mtu_bytes: link.mtu_bytes,
            driver: ethtool::driver(&link.name),
            numa_node: numa_node(&link),
            // A tap is made with room for 256 queues, of which a process holds one or a few.
            rx_queues_made: link.tap.map_or(link.rx_queues_made, |tap| tap.queues),
        };
        Self { link, caps }
    }

    /// Its number.
    pub const fn index(&self) -> u32 {
        self.link.index
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.link.name
    }

    /// What rtnetlink says of it.
    pub const fn link(&self) -> &Link {
        &self.link
    }

    /// What it can do.
    pub const fn caps(&self) -> &NicCaps {
        &self.caps
    }
}

/// The NUMA node in sysfs. The sysfs that is mounted may be another network namespace's, where the name can mean another
/// interface: the number must agree too.
fn numa_node(link: &Link) -> Option<u32> {
    let read = |file: &str| {
        let text = fs::read_to_string(format!("/sys/class/net/{}/{file}", link.name)).ok()?;
        text.trim().parse::<i32>().ok()
    };
    let same = u32::try_from(read("ifindex")?) == Ok(link.index);
    // -1 means that there is only one.
    read("device/numa_node")
        .and_then(|node| u32::try_from(node).ok())
        .filter(|_| same)
}
