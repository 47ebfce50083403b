use std::fmt;

use crate::sys::{EthtoolGet, ethtool_ask, ethtool_get};

/// Which parts of a UDP packet the device hashes to choose a queue (`ethtool -n IF rx-flow-hash udp4`).
///
/// Shown in ethtool's letters: `s` and `d` for the addresses, `f` and `n` for the ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpHash(u64);

/// `RXH_*` of `linux/ethtool.h` and ethtool's letters for them.
const HASHED: [(u64, char); 8] = [
    (1 << 1, 'm'),
    (1 << 2, 'v'),
    (1 << 3, 't'),
    (1 << 4, 's'),
    (1 << 5, 'd'),
    (1 << 6, 'f'),
    (1 << 7, 'n'),
    (1 << 31, 'r'),
];
const PORTS: u64 = (1 << 6) | (1 << 7);

impl UdpHash {
    /// What ethtool's letters stand for; `None` if there is another one among them.
    pub fn from_letters(letters: &str) -> Option<Self> {
        letters
            .chars()
            .try_fold(0, |bits, letter| {
                let (bit, _) = HASHED.iter().find(|(_, known)| *known == letter)?;
                Some(bits | bit)
            })
            .map(Self)
    }

    /// Whether both ports count.
    pub const fn has_ports(self) -> bool {
        self.0 & PORTS == PORTS
    }
}

impl fmt::Display for UdpHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        HASHED
            .iter()
            .filter(|(bit, _)| self.0 & bit != 0)
            .try_for_each(|(_, letter)| write!(f, "{letter}"))
    }
}

/// Flow types of `linux/ethtool.h`.
const UDP_V4_FLOW: u32 = 2;
const UDP_V6_FLOW: u32 = 6;

/// What the interface `name` hashes of UDP packets over IPv4 and over IPv6; `None` where it doesn't tell.
pub fn udp_hash(name: &str) -> (Option<UdpHash>, Option<UdpHash>) {
    let ask = |flow| {
        let words = ethtool_ask(name, EthtoolGet::FlowHash, flow).ok()?;
        // `struct ethtool_rxnfc`: command, flow type, then 64 bits of data.
        let bytes = [words[2].to_ne_bytes(), words[3].to_ne_bytes()].concat();
        Some(UdpHash(u64::from_ne_bytes(bytes.try_into().ok()?)))
    };
    (ask(UDP_V4_FLOW), ask(UDP_V6_FLOW))
}

/// How many rules steer packets of the interface `name` to queues; `None` if it has none to tell.
pub fn steering_rules(name: &str) -> Option<u32> {
    // `struct ethtool_rxnfc`: command, flow type, data, a flow of 168 bytes, the count.
    const COUNT: usize = (4 + 4 + 8 + 168) / 4;
    ethtool_get(name, EthtoolGet::RuleCount)
        .ok()
        .map(|words| words[COUNT])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_those_of_ethtool() {
        let hash = UdpHash::from_letters("sdfn").expect("known letters");
        assert!(hash.has_ports());
        assert_eq!((hash.0, hash.to_string().as_str()), (0xf0, "sdfn"));
        let addresses = UdpHash::from_letters("ds").expect("known letters");
        assert!(!addresses.has_ports());
        assert_eq!(addresses.to_string(), "sd");
        assert_eq!(UdpHash::from_letters("sdx"), None);
    }
}
