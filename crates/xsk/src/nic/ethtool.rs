use crate::sys::{ETHTOOL_WORDS, EthtoolGet, ethtool_get};

/// How many queues an interface has (`ethtool -l`), and could have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Channels {
    /// Queues that only receive.
    pub rx: u32,
    /// Queues that only transmit.
    pub tx: u32,
    /// Queues that do both.
    pub combined: u32,
    /// The most of each.
    pub max_rx: u32,
    /// The most of each.
    pub max_tx: u32,
    /// The most of each.
    pub max_combined: u32,
}

impl Channels {
    /// Queues that receive.
    pub const fn rx_queues(&self) -> u32 {
        self.rx.saturating_add(self.combined)
    }
}

/// Entries of the device's own rings (`ethtool -g`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingSizes {
    /// Of each receiving ring; some drivers say 0.
    pub rx: u32,
    /// Of each transmitting ring; some drivers say 0.
    pub tx: u32,
    /// The most.
    pub max_rx: u32,
    /// The most.
    pub max_tx: u32,
}

/// `struct ethtool_channels`: command, max rx, tx, other, combined, and the same in use.
pub(super) fn channels(name: &str) -> Option<Channels> {
    let words = ethtool_get(name, EthtoolGet::Channels).ok()?;
    Some(Channels {
        max_rx: words[1],
        max_tx: words[2],
        max_combined: words[4],
        rx: words[5],
        tx: words[6],
        combined: words[8],
    })
}

/// `struct ethtool_ringparam`: command, max rx, mini, jumbo, tx, and the same in use.
pub(super) fn rings(name: &str) -> Option<RingSizes> {
    let words = ethtool_get(name, EthtoolGet::Rings).ok()?;
    Some(RingSizes {
        max_rx: words[1],
        max_tx: words[4],
        rx: words[5],
        tx: words[8],
    })
}

/// `struct ethtool_drvinfo`: command, then the driver's name in 32 bytes.
pub(super) fn driver(name: &str) -> Option<String> {
    let words: [u32; ETHTOOL_WORDS] = ethtool_get(name, EthtoolGet::Driver).ok()?;
    let bytes: Vec<u8> = words[1..9]
        .iter()
        .flat_map(|word| word.to_ne_bytes())
        .collect();
    Some(super::message::read_text(&bytes)).filter(|driver| !driver.is_empty())
}
