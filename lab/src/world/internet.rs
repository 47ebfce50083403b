use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;

use anyhow::{Context, Result, ensure};

use super::Zone;
use super::authority::Authority;
use super::front::Front;
use super::place::{Place, ROUTES, by_level, settle};
use super::signer::Signer;
use crate::netns::{Netns, veth_pair};
use crate::private_dir::PrivateDir;

/// The world, running. It ends with the value.
pub struct World {
    // Fields are dropped in this order: the servers before their namespace and files.
    fronts: Vec<(String, Front)>,
    _authorities: Vec<Authority>,
    netns: Netns,
    dir: PrivateDir,
    places: Vec<Place>,
    /// The key files of signed zones.
    keys: BTreeMap<String, PathBuf>,
    joined: AtomicU8,
}

impl World {
    /// Signs the zones, which begin with the root, and starts their servers.
    ///
    /// # Errors
    /// If a tool is missing or fails, with what it said.
    pub fn start(zones: Vec<Zone>) -> Result<Self> {
        let places = settle(zones)?;
        let dir = PrivateDir::new()?;
        let keys = generate(&dir.path, &places)?;
        ensure!(keys.contains_key("."), "the root is not signed");
        let netns = land()?;
        let mut authorities = Vec::new();
        for (level, inhabitants) in by_level(&places) {
            let name = format!("level{level}");
            authorities.push(Authority::start(&netns, &dir.path, &name, &inhabitants)?);
        }
        let fronts = fronts(&netns, &places)?;
        for authority in &authorities {
            authority.wait_until_ready()?;
        }
        Ok(Self {
            fronts,
            _authorities: authorities,
            netns,
            dir,
            places,
            keys,
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
        near.add_address(&format!("fd52:{number}::2/64"))?;
        far.add_address(&format!("fd52:{number}::1/64"))?;
        host.ip(&format!("route add default via 10.52.{number}.1"))?;
        host.ip(&format!("-6 route add default via fd52:{number}::1"))?;
        Ok(())
    }

    /// The lines of an `unbound.conf` that make a resolver live in this world; they begin a `server:` clause.
    ///
    /// The world has a reverse zone for the documentation's IPv6 prefix, which resolvers keep empty by default.
    pub fn resolver_conf(&self) -> String {
        format!(
            "server:\n  root-hints: \"{}\"\n  trust-anchor-file: \"{}\"\n  module-config: \"validator iterator\"\n  \
             local-zone: \"8.b.d.0.1.0.0.2.ip6.arpa.\" nodefault\n",
            self.root_hints().display(),
            self.keys["."].display()
        )
    }

    /// A folder for files that end with the world.
    pub fn dir(&self) -> &Path {
        &self.dir.path
    }

    /// How many zones there are.
    pub fn zones(&self) -> usize {
        self.places.len()
    }

    /// The file with the root's name servers.
    pub fn root_hints(&self) -> PathBuf {
        self.dir.path.join("root.hints")
    }

    /// The file with the key of a signed zone, a trust anchor for it; `.` is in [`Self::resolver_conf`] already.
    pub fn key(&self, zone: &str) -> Option<&Path> {
        self.keys.get(zone).map(PathBuf::as_path)
    }

    /// The address of the first server of a zone.
    pub fn address(&self, zone: &str) -> Option<Ipv4Addr> {
        let place = self.places.iter().find(|place| place.zone.name == zone)?;
        Some(place.address())
    }

    /// How many queries have come to those servers of a zone that don't just behave ([`super::Manners::Watched`] is
    /// enough).
    pub fn queries(&self, zone: &str) -> u64 {
        self.fronts
            .iter()
            .filter(|(name, _)| name == zone)
            .map(|(_, front)| front.queries())
            .sum()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // All at once, so that not each waits for its own end.
        for (_, front) in &self.fronts {
            front.stop();
        }
    }
}

/// A host that has all addresses of the world, without adding each.
fn land() -> Result<Netns> {
    let netns = Netns::new()?;
    for route in ROUTES {
        let family = if route.contains(':') { "-6 " } else { "" };
        netns.ip(&format!("{family}route add local {route} dev lo"))?;
    }
    netns.sysctl("net/ipv6/ip_nonlocal_bind", "1")?;
    Ok(netns)
}

fn fronts(netns: &Netns, places: &[Place]) -> Result<Vec<(String, Front)>> {
    let mut fronts = Vec::new();
    for place in places {
        for server in place.name_servers() {
            let pairs = server.addresses.iter().zip(&server.behind);
            for (address, behind) in pairs.filter(|_| server.manners.needs_front()) {
                let front = Front::start(netns, *address, *behind, server.manners)?;
                fronts.push((place.zone.name.clone(), front));
            }
        }
    }
    Ok(fronts)
}

/// Writes all zone files, children before parents, since a parent holds its children's DS; returns the key files.
fn generate(dir: &Path, places: &[Place]) -> Result<BTreeMap<String, PathBuf>> {
    let signer = Signer::new(dir);
    let mut keys = BTreeMap::new();
    for level in by_level(places).into_values().rev() {
        let written = in_parallel(&level, |place| write_zone(&signer, place, places));
        for (place, key) in level.iter().zip(written) {
            keys.extend(key?.map(|key| (place.zone.name.clone(), key)));
        }
    }
    fs::write(dir.join("root.hints"), places[0].referral())?;
    Ok(keys)
}

fn write_zone(signer: &Signer<'_>, place: &Place, places: &[Place]) -> Result<Option<PathBuf>> {
    let mut text = place.apex();
    let children = places
        .iter()
        .filter(|child| child.level == place.level + 1 && place.zone.holds(&child.zone.name));
    for child in children {
        text.push_str(&child.referral());
        text.push_str(&signer.ds(&child.zone)?);
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
