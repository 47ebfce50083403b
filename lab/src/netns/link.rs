use std::net::IpAddr;

use anyhow::{Context, Result};

use super::Netns;

/// One end of a veth pair: an interface inside a namespace.
pub struct VethEnd<'n> {
    /// The namespace that it is in.
    pub netns: &'n Netns,
    /// Its name there.
    pub name: String,
}

/// Joins two namespaces (or one with itself) by a veth pair with `queues` RX and TX queues on each end, both ends up.
///
/// Duplicate address detection and router solicitation are off on both, so that addresses work at once.
pub fn veth_pair<'a, 'b>(
    a: &'a Netns,
    a_name: &str,
    b: &'b Netns,
    b_name: &str,
    queues: u32,
) -> Result<(VethEnd<'a>, VethEnd<'b>)> {
    let many = format!("numtxqueues {queues} numrxqueues {queues}");
    a.ip(&format!(
        "link add {a_name} {many} type veth peer name {b_name} {many} netns {}",
        b.path().display()
    ))?;
    let ends = (
        VethEnd {
            netns: a,
            name: a_name.to_owned(),
        },
        VethEnd {
            netns: b,
            name: b_name.to_owned(),
        },
    );
    ends.0.settle()?;
    ends.1.settle()?;
    Ok(ends)
}

impl<'n> VethEnd<'n> {
    /// An interface that came into the namespace from elsewhere, such as a NIC; takes it up.
    pub fn adopt(netns: &'n Netns, name: &str) -> Result<Self> {
        let end = Self {
            netns,
            name: name.to_owned(),
        };
        end.settle()?;
        Ok(end)
    }
}

impl VethEnd<'_> {
    /// Adds an address, written with its prefix length: `10.11.1.1/24`.
    pub fn add_address(&self, address: &str) -> Result<()> {
        let nodad = if address.contains(':') { " nodad" } else { "" };
        self.netns
            .ip(&format!("addr add {address} dev {}{nodad}", self.name))
            .map(drop)
    }

    /// Takes the interface up or down.
    pub fn set_up(&self, up: bool) -> Result<()> {
        let state = if up { "up" } else { "down" };
        self.netns
            .ip(&format!("link set {} {state}", self.name))
            .map(drop)
    }

    /// Sets the MTU in bytes.
    pub fn set_mtu(&self, mtu_bytes: u32) -> Result<()> {
        self.netns
            .ip(&format!("link set {} mtu {mtu_bytes}", self.name))
            .map(drop)
    }

    /// Sets the MAC address, written `02:00:00:00:00:01`.
    pub fn set_mac(&self, mac: &str) -> Result<()> {
        self.netns
            .ip(&format!("link set {} address {mac}", self.name))
            .map(drop)
    }

    /// The MAC address.
    pub fn mac(&self) -> Result<[u8; 6]> {
        let text = self.netns.ip(&format!("-o link show dev {}", self.name))?;
        let mac = text
            .split_whitespace()
            .skip_while(|word| *word != "link/ether")
            .nth(1)
            .with_context(|| format!("no MAC address in {text:?}"))?;
        parse_mac(mac).with_context(|| format!("MAC address {mac:?}"))
    }

    /// Pins a neighbour's MAC address, so that no ARP or neighbour discovery goes over the wire.
    pub fn add_neighbour(&self, address: IpAddr, mac: [u8; 6]) -> Result<()> {
        let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
        self.netns
            .ip(&format!(
                "neigh replace {address} lladdr {mac} nud permanent dev {}",
                self.name
            ))
            .map(drop)
    }

    /// The number of the XDP program on the interface, if there is one, as `ip` shows it.
    pub fn xdp_program(&self) -> Result<Option<u32>> {
        let text = self
            .netns
            .ip(&format!("-d -o link show dev {}", self.name))?;
        let after = text
            .split_whitespace()
            .skip_while(|word| !word.starts_with("prog/xdp"));
        let id = after.skip_while(|word| *word != "id").nth(1);
        id.map(|id| id.parse().with_context(|| format!("program number {id:?}")))
            .transpose()
    }

    fn settle(&self) -> Result<()> {
        for (knob, value) in [
            ("accept_dad", "0"),
            ("accept_ra", "0"),
            ("router_solicitations", "0"),
        ] {
            self.netns
                .sysctl(&format!("net/ipv6/conf/{}/{knob}", self.name), value)?;
        }
        self.set_up(true)
    }
}

fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let mut mac = [0; 6];
    let mut parts = text.split(':');
    for byte in &mut mac {
        *byte = u8::from_str_radix(parts.next()?, 16).ok()?;
    }
    parts.next().is_none().then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mac_addresses_are_six_hexadecimal_bytes() {
        assert_eq!(parse_mac("02:00:00:0a:ff:01"), Some([2, 0, 0, 10, 255, 1]));
        assert_eq!(parse_mac("02:00:00:0a:ff"), None);
        assert_eq!(parse_mac("02:00:00:0a:ff:01:02"), None);
        assert_eq!(parse_mac("02:00:00:0a:ff:xx"), None);
    }
}
