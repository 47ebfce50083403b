use std::collections::HashSet;

use sluicegate_dns::{Name, Stored};

use crate::Brain;
use crate::cache::Held;
use crate::pipeline::VIEW;

/// Which answers may be others by a new configuration of the resolver than by the one before it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outdated {
    /// None.
    Nothing,
    /// Those that tell of names in or below these zones, under whatever name they were asked for.
    Below(HashSet<Name>),
    /// Any.
    All,
}

impl Brain {
    /// Forgets the answers that are outdated, and whatever failed; how many they were. From then on nobody is told one:
    /// neither fresh nor expired, nor as a remembered reply ([`Packets`](crate::Packets)).
    ///
    /// To be called when no answer that was found by the old configuration can be stored any more.
    pub fn forget(&self, outdated: &Outdated) -> u64 {
        match outdated {
            Outdated::Nothing => 0,
            Outdated::All => self.cache.flush_held(|_| true),
            Outdated::Below(zones) => self.cache.flush_held(|held| is_outdated(held, zones)),
        }
    }
}

fn is_outdated(held: &Held<'_>, zones: &HashSet<Name>) -> bool {
    let is_below = |name: &Name| {
        let mut suffix = Some(*name);
        std::iter::from_fn(|| {
            let this = suffix?;
            suffix = this.parent();
            Some(this)
        })
        .any(|suffix| zones.contains(&suffix))
    };
    // Beside good answers stands what failed, or was bogus, a short while ago: why can't be told here.
    if held.view() != VIEW {
        return true;
    }
    let Ok(name) = Name::from_wire(held.name()) else {
        return true;
    };
    let tells_of_any = || Stored::new(&held.stored())?.tells_of(&name, is_below);
    is_below(&name) || tells_of_any().unwrap_or(true)
}
