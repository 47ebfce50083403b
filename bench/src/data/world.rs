use std::fmt::Write;

use anyhow::Result;
use sluicegate_lab::world::{Algorithm, Denial, World, Zone};

use super::names::WORLD_ZONES;
use super::{Kind, Name};
use crate::measure::{pin_children, pin_thread};
use crate::site::{CLIENT_CORE, SERVER_CORE};

/// How many names the zones of one kind have together.
pub(crate) const WORLD_NAMES: u32 = 75_000;

/// An Internet of a signed root, a signed top level, and below it zones that are signed and others that are not, all on
/// the generator's processor.
pub(crate) fn start_world() -> Result<World> {
    let parent = |name| Zone::new(name, "").signed(Algorithm::EcdsaP256, Denial::Nsec);
    pin_thread(&[CLIENT_CORE])?;
    let mut zones = vec![parent("."), parent("lab.")];
    for number in 0..WORLD_ZONES {
        let zone =
            |kind: Kind| Zone::new(&format!("{}.", kind.origin(number)), &records(kind, number));
        zones.push(zone(Kind::Plain));
        zones.push(zone(Kind::Signed).signed(Algorithm::EcdsaP256, Denial::Nsec));
    }
    let world = World::start(zones);
    pin_thread(&[SERVER_CORE, CLIENT_CORE])?;
    let world = world?;
    pin_children(&[CLIENT_CORE])?;
    Ok(world)
}

/// The records of every name in the same zone as the one with number `first`, which is the least of them.
fn records(kind: Kind, first: u32) -> String {
    let mut text = String::new();
    for number in (first..WORLD_NAMES).step_by(WORLD_ZONES as usize) {
        let name = Name { kind, number };
        let _ = writeln!(text, "{name}. {} A {}", name.ttl_secs(), name.address());
    }
    text
}
