use std::fmt::Write;

use anyhow::Result;
use sluicegate_lab::world::{Algorithm, Denial, World, Zone};

use super::{Kind, Name};
use crate::measure::pin_thread;
use crate::site::{CLIENT_CORE, SERVER_CORE};

/// How many names each of the two zones has.
pub(crate) const WORLD_NAMES: u32 = 75_000;

/// An Internet of a signed root, a signed top level, and below it a zone that is signed and one that is not, all on the
/// generator's processor.
pub(crate) fn start_world() -> Result<World> {
    let parent = |name| Zone::new(name, "").signed(Algorithm::EcdsaP256, Denial::Nsec);
    pin_thread(&[CLIENT_CORE])?;
    let world = World::start(vec![
        parent("."),
        parent("lab."),
        Zone::new("plain.lab.", &records(Kind::Plain)),
        Zone::new("signed.lab.", &records(Kind::Signed)).signed(Algorithm::EcdsaP256, Denial::Nsec),
    ]);
    pin_thread(&[SERVER_CORE, CLIENT_CORE])?;
    world
}

fn records(kind: Kind) -> String {
    let mut text = String::new();
    for number in 0..WORLD_NAMES {
        let name = Name { kind, number };
        let _ = writeln!(text, "{name}. {} A {}", name.ttl_secs(), name.address());
    }
    text
}
