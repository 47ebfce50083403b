use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};

use super::authority::Authority;
use super::signer::Signer;
use super::zone::{Zone, apex, delegation};
use crate::netns::{Netns, veth_pair};
use crate::private_dir::PrivateDir;

/// The world, running. It ends with the value.
pub struct World {
    // Fields are dropped in this order: the servers before their namespace and files.
    _authorities: Vec<Authority>,
    netns: Netns,
    dir: PrivateDir,
    places: Vec<Place>,
    trust_anchor: PathBuf,
    joined: AtomicU8,
}

/// A zone and where it is.
struct Place {
    zone: Zone,
    /// How many zones stand above it.
    level: u8,
    address: Ipv4Addr,
}

impl World {
    /// Signs the zones, which begin with the root, and starts their servers.
    ///
    /// # Errors
    /// If a tool is missing or fails, with what it said.
    pub fn start(zones: Vec<Zone>) -> Result<Self> {
        let places = settle(zones)?;
        let dir = PrivateDir::new()?;
        let trust_anchor = generate(&dir.path, &places)?;
        let netns = Netns::new()?;
        // All addresses of the world are here, without adding each.
        netns.ip("route add local 10.53.0.0/16 dev lo")?;
        let mut authorities = Vec::new();
        for (level, inhabitants) in by_level(&places) {
            let names: Vec<_> = inhabitants
                .iter()
                .map(|place| place.zone.name.as_str())
                .collect();
            let addresses: Vec<_> = inhabitants.iter().map(|place| place.address).collect();
            let name = format!("level{level}");
            authorities.push(Authority::start(
                &netns, &dir.path, &name, &names, &addresses,
            )?);
        }
        Ok(Self {
            _authorities: authorities,
            netns,
            dir,
            places,
            trust_anchor,
            joined: AtomicU8::new(0),
        })
    }

    /// The host that the world is on.
    pub fn netns(&self) -> &Netns {
        &self.netns
    }

    /// Joins a host to the world by an interface with that name, which becomes its default route. At most 250 hosts.
    pub fn join(&self, host: &Netns, interface: &str) -> Result<()> {
        let number = self.joined.fetch_add(1, Ordering::Relaxed) + 1;
        ensure!(number <= 250, "too many hosts in the world");
        let (near, far) = veth_pair(host, interface, &self.netns, &format!("host{number}"), 1)?;
        near.add_address(&format!("10.52.{number}.2/24"))?;
        far.add_address(&format!("10.52.{number}.1/24"))?;
        host.ip(&format!("route add default via 10.52.{number}.1"))?;
        Ok(())
    }

    /// The lines of an `unbound.conf` that make a resolver live in this world; they begin a `server:` clause.
    pub fn resolver_conf(&self) -> String {
        format!(
            "server:\n  root-hints: \"{}\"\n  trust-anchor-file: \"{}\"\n  module-config: \"validator iterator\"\n",
            self.root_hints().display(),
            self.trust_anchor.display()
        )
    }

    /// The file with the root's name servers.
    pub fn root_hints(&self) -> PathBuf {
        self.dir.path.join("root.hints")
    }

    /// The file with the root's key.
    pub fn trust_anchor(&self) -> &Path {
        &self.trust_anchor
    }

    /// The address of the server of a zone.
    pub fn address(&self, zone: &str) -> Option<Ipv4Addr> {
        let place = self.places.iter().find(|place| place.zone.name == zone)?;
        Some(place.address)
    }
}

/// Gives each zone its level and its address, 10.53.LEVEL.N.
fn settle(zones: Vec<Zone>) -> Result<Vec<Place>> {
    let root = zones.first().context("a world has zones")?;
    ensure!(root.name == ".", "the first zone is {}", root.name);
    let mut places: Vec<Place> = Vec::with_capacity(zones.len());
    let names: Vec<Zone> = zones.clone();
    for (number, zone) in zones.into_iter().enumerate() {
        let above = names
            .iter()
            .filter(|other| other.name != zone.name && other.holds(&zone.name));
        let level = u8::try_from(above.count()).context("too many levels")?;
        let number = u8::try_from(number + 1).context("at most 254 zones")?;
        places.push(Place {
            zone,
            level,
            address: Ipv4Addr::new(10, 53, level, number),
        });
    }
    Ok(places)
}

fn by_level(places: &[Place]) -> BTreeMap<u8, Vec<&Place>> {
    let mut levels: BTreeMap<u8, Vec<&Place>> = BTreeMap::new();
    for place in places {
        levels.entry(place.level).or_default().push(place);
    }
    levels
}

/// Writes all zone files, children before parents, since a parent holds its children's DS; returns the root's key file.
fn generate(dir: &Path, places: &[Place]) -> Result<PathBuf> {
    let signer = Signer::new(dir);
    let mut root_key = None;
    for level in by_level(places).into_values().rev() {
        for key in in_parallel(&level, |place| write_zone(&signer, place, places)) {
            // Only the root's is kept: it comes last.
            root_key = key?;
        }
    }
    fs::write(
        dir.join("root.hints"),
        format!(". 3600 NS ns.\nns. 3600 A {}\n", places[0].address),
    )?;
    root_key.context("the root is signed")
}

fn write_zone(signer: &Signer<'_>, place: &Place, places: &[Place]) -> Result<Option<PathBuf>> {
    let mut text = apex(&place.zone, place.address);
    let children = places
        .iter()
        .filter(|child| child.level == place.level + 1 && place.zone.holds(&child.zone.name));
    for child in children {
        let ds = match child.zone.signing {
            Some(_) => signer.ds(&child.zone)?,
            None => String::new(),
        };
        text.push_str(&delegation(&child.zone, child.address, &ds));
    }
    signer
        .write(&place.zone, &text)
        .with_context(|| format!("making the zone {}", place.zone.name))
}

/// Does `work` for all, on all processors.
fn in_parallel<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(workers).max(1);
    let work = &work;
    thread::scope(|scope| {
        let threads: Vec<_> = items
            .chunks(share)
            .map(|chunk| scope.spawn(move || chunk.iter().map(work).collect::<Vec<_>>()))
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| match thread.join() {
                Ok(results) => results,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    })
}
