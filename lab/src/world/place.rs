use std::collections::BTreeMap;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Context, Result, ensure};

use super::zone::Family;
use super::{Manners, Zone};

/// A zone and where it is.
pub(super) struct Place {
    pub(super) zone: Zone,
    /// How many zones stand above it.
    pub(super) level: u8,
    number: u8,
}

/// A name server of a zone.
pub(super) struct NameServer {
    pub(super) manners: Manners,
    /// Where resolvers find it.
    pub(super) addresses: Vec<IpAddr>,
    /// Where Knot answers for it: the same, or behind our own front.
    pub(super) behind: Vec<IpAddr>,
    name: String,
    has_glue: bool,
}

/// The networks of the world, all on one host: 10.53 to 10.55 for the first to third servers of zones, 10.153 to 10.155
/// for what is behind fronts, and the same in IPv6.
pub(super) const ROUTES: [&str; 7] = [
    "10.53.0.0/16",
    "10.54.0.0/16",
    "10.55.0.0/16",
    "10.153.0.0/16",
    "10.154.0.0/16",
    "10.155.0.0/16",
    "fd53::/16",
];
const MAX_SERVERS: usize = 3;
const FIRST_NETWORK: u8 = 53;
const BEHIND: u8 = 100;

/// TTL of everything the generator writes, in seconds.
const TTL_SECS: u32 = 3600;
/// TTL of negative answers, in seconds.
const NEGATIVE_TTL_SECS: u32 = 900;

/// Gives each zone its level and its addresses, 10.53.LEVEL.N; each `<ZONE>` in the records becomes one of those.
pub(super) fn settle(zones: Vec<Zone>) -> Result<Vec<Place>> {
    let root = zones.first().context("a world has zones")?;
    ensure!(root.name == ".", "the first zone is {}", root.name);
    let levels: Vec<usize> = zones
        .iter()
        .map(|zone| {
            let above = |other: &&Zone| other.name != zone.name && other.holds(&zone.name);
            zones.iter().filter(above).count()
        })
        .collect();
    let mut places = Vec::with_capacity(zones.len());
    for (index, (zone, level)) in zones.into_iter().zip(levels).enumerate() {
        ensure!(
            zone.servers.len() <= MAX_SERVERS,
            "{} has too many servers",
            zone.name
        );
        places.push(Place {
            zone,
            level: u8::try_from(level).context("too many levels")?,
            number: u8::try_from(index + 1).context("at most 255 zones")?,
        });
    }
    let addresses: Vec<_> = places
        .iter()
        .map(|place| (format!("<{}>", place.zone.name), place.v4(0).to_string()))
        .collect();
    for place in &mut places {
        for (name, address) in addresses
            .iter()
            .filter(|(name, _)| place.zone.records.contains(name))
            .collect::<Vec<_>>()
        {
            place.zone.records = place.zone.records.replace(name, address);
        }
    }
    Ok(places)
}

pub(super) fn by_level(places: &[Place]) -> BTreeMap<u8, Vec<&Place>> {
    let mut levels: BTreeMap<u8, Vec<&Place>> = BTreeMap::new();
    for place in places {
        levels.entry(place.level).or_default().push(place);
    }
    levels
}

impl Place {
    /// The address of its first server, whether or not that can be reached over IPv4.
    pub(super) fn address(&self) -> Ipv4Addr {
        self.v4(0)
    }

    pub(super) fn name_servers(&self) -> Vec<NameServer> {
        let mut all = Vec::new();
        for (index, manners) in (0_u8..).zip(&self.zone.servers) {
            let addresses = self.addresses(index);
            let behind = if manners.needs_front() {
                self.addresses(index + BEHIND)
            } else {
                addresses.clone()
            };
            let label = match index {
                0 => "ns".to_owned(),
                _ => format!("ns{}", index + 1),
            };
            let elsewhere = self.zone.name_server.clone();
            all.push(NameServer {
                manners: *manners,
                addresses,
                behind,
                has_glue: elsewhere.is_none(),
                name: elsewhere.unwrap_or_else(|| self.zone.below(&label)),
            });
        }
        all
    }

    /// The zone's file without the delegations.
    pub(super) fn apex(&self) -> String {
        let name_server = self.zone.below("ns");
        let mut text = format!(
            "$ORIGIN {}\n$TTL {TTL_SECS}\n@ SOA {name_server} hostmaster.{name_server} 1 7200 3600 86400 \
             {NEGATIVE_TTL_SECS}\n{}\n",
            self.zone.name, self.zone.records
        );
        text.push_str(&self.referral());
        text
    }

    /// Its name servers and their addresses, as it says itself and as its parent does.
    pub(super) fn referral(&self) -> String {
        let mut text = String::new();
        for server in self.name_servers() {
            let _ = writeln!(text, "{} {TTL_SECS} NS {}", self.zone.name, server.name);
            for address in server.addresses.iter().filter(|_| server.has_glue) {
                let rtype = if address.is_ipv4() { "A" } else { "AAAA" };
                let _ = writeln!(text, "{} {TTL_SECS} {rtype} {address}", server.name);
            }
        }
        text
    }

    fn addresses(&self, index: u8) -> Vec<IpAddr> {
        let (v4, v6) = (self.v4(index).into(), self.v6(index).into());
        match self.zone.family {
            Family::V4 => vec![v4],
            Family::V6 => vec![v6],
            Family::Both => vec![v4, v6],
        }
    }

    fn v4(&self, index: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, FIRST_NETWORK + index, self.level, self.number)
    }

    fn v6(&self, index: u8) -> Ipv6Addr {
        let [index, level, number] = [index, self.level, self.number].map(u16::from);
        Ipv6Addr::new(0xfd53, 0, 0, 0, 0, index, level, number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zones_have_levels_and_addresses() {
        let zones = vec![
            Zone::new(".", ""),
            Zone::new("alpha.", "there A <good.alpha.>"),
            Zone::new("good.alpha.", "").served(&[Manners::Silent, Manners::Good]),
        ];
        let places = settle(zones).unwrap();
        assert_eq!(
            places.iter().map(|place| place.level).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert_eq!(places[1].zone.records, "there A 10.53.2.3");
        assert_eq!(
            places[2].referral(),
            "good.alpha. 3600 NS ns.good.alpha.\nns.good.alpha. 3600 A 10.53.2.3\n\
             good.alpha. 3600 NS ns2.good.alpha.\nns2.good.alpha. 3600 A 10.54.2.3\n"
        );
        let servers = places[2].name_servers();
        assert_eq!(servers[0].behind, ["10.153.2.3".parse::<IpAddr>().unwrap()]);
        assert_eq!(servers[1].behind, servers[1].addresses);
    }

    #[test]
    fn the_root_comes_first() {
        assert!(settle(vec![Zone::new("alpha.", "")]).is_err());
    }
}
