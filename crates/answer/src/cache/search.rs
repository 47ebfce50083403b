use super::entry::Prefix;
use super::set::{Found, Wanted};
use super::table::{Cache, Place};

impl Cache {
    /// As [`Cache::lookup`], where it is seldom: in the set beside its own, in one that it is to be moved from or has
    /// just been moved to, and among the large ones.
    #[inline(never)]
    pub(super) fn lookup_elsewhere(
        &self,
        wanted: &Wanted<'_>,
        place: Place,
        scratch: &mut [u8],
    ) -> Option<Prefix> {
        (0..SEARCHES)
            .map(|_| self.search(wanted, place, scratch))
            .find(|found| !matches!(found, Err(Absence::Unsure)))?
            .ok()
    }

    /// Looks at all the sets in which an answer can stand.
    pub(super) fn search(
        &self,
        wanted: &Wanted<'_>,
        place: Place,
        scratch: &mut [u8],
    ) -> Result<Prefix, Absence> {
        let moves = || (self.small.moves(), self.large.moves());
        let before = moves();
        let small = self.small.homes(place.hash);
        let small = small.map(|(_, set)| set.read(wanted, scratch));
        let (found, small_busy) = first_found(small);
        if let Some(prefix) = found {
            return Ok(prefix);
        }
        let large = self.large.homes(place.hash);
        let large = large.map(|(_, set)| set.read(wanted, scratch));
        let (found, large_busy) = first_found(large);
        let is_sure = !small_busy && !large_busy && moves() == before;
        found.ok_or(if is_sure {
            Absence::Sure
        } else {
            Absence::Unsure
        })
    }
}

/// That an answer was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absence {
    /// It was in no set.
    Sure,
    /// Writers were at work: it may have been moved from a set not yet seen into one seen before.
    Unsure,
}

/// The first of these that is an answer, or whether any was busy.
fn first_found(all: impl Iterator<Item = Found>) -> (Option<Prefix>, bool) {
    let mut is_busy = false;
    for found in all {
        if let Some(prefix) = found.prefix() {
            return (Some(prefix), is_busy);
        }
        is_busy |= found.is_busy();
    }
    (None, is_busy)
}

/// How often a reader searches before it takes an answer that is being moved for missing.
const SEARCHES: usize = 8;
