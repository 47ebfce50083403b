use super::name::{ancestry, labels};

/// What can be seen of a name at a glance: whether a local zone may stand at or above it.
///
/// A Bloom filter of the last two labels of each apex, or of its one label. So the zones `home.lab.` and `test.` let
/// `www.lab.` and `example.` pass, and make a closer look of what ends in `home.lab.` or `test.`.
#[derive(Debug)]
pub(super) struct Glance {
    /// A power of two of them. All are set where the root itself is a zone.
    bits: Box<[u64]>,
    shift: u32,
}

impl Glance {
    /// The filter of these zones, by their apexes in wire form.
    pub(super) fn of<'n>(apexes: impl ExactSizeIterator<Item = &'n [u8]>) -> Self {
        let count = (apexes.len() * BITS_EACH)
            .next_power_of_two()
            .max(LEAST_BITS);
        let mut glance = Self {
            bits: vec![0; count / 64].into_boxed_slice(),
            shift: 64 - count.ilog2(),
        };
        for apex in apexes {
            glance.enter(apex);
        }
        glance
    }

    fn enter(&mut self, apex: &[u8]) {
        let depth = labels(apex).count();
        let above = ancestry(apex).nth(depth.saturating_sub(2));
        match (depth, above) {
            (1, Some(apex)) => self.set(mix_last(apex)),
            (2.., Some(suffix)) => self.set(mix(&suffix[..suffix.len() - 1])),
            _ => self.bits.fill(u64::MAX),
        }
    }

    fn set(&mut self, hash: u64) {
        let (word, bit) = self.place(hash);
        self.bits[word] |= bit;
    }

    /// Whether no zone is at or above the name, whose last label and last two labels begin at these places; for
    /// names of one label both are the same.
    #[expect(
        clippy::inline_always,
        reason = "what it looks at is in registers where it is called"
    )]
    #[inline(always)]
    pub(super) fn is_elsewhere(&self, name: &[u8], [last, last_two]: [u8; 2]) -> bool {
        let end = name.len() - 1;
        let (Some(one), Some(two)) = (
            name.get(usize::from(last)..),
            name.get(usize::from(last_two)..end),
        ) else {
            return false;
        };
        self.is_absent(mix_last(one)) && self.is_absent(mix(two))
    }

    #[inline]
    fn is_absent(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.bits.get(word).is_some_and(|bits| bits & bit == 0)
    }

    #[inline]
    fn place(&self, hash: u64) -> (usize, u64) {
        let place = hash >> self.shift;
        ((place >> 6) as usize, 1 << (place & 63))
    }
}

/// A hash of a name of one label, or of the root, by its first octets: who differs only behind them is looked at closely
/// without need.
#[inline]
fn mix_last(name: &[u8]) -> u64 {
    let few = || {
        name.iter()
            .fold(0, |word, octet| word << 8 | u64::from(*octet))
    };
    let first = name.first_chunk::<4>();
    first
        .map_or_else(few, |first| u32::from_le_bytes(*first).into())
        .wrapping_mul(SPREAD)
}

/// A hash of the first and the last octets and of the length: who differs only in between is looked at closely
/// without need.
#[expect(clippy::inline_always, reason = "a few instructions")]
#[inline(always)]
fn mix(labels: &[u8]) -> u64 {
    let word = match labels {
        [_, _, _, _, _, _, _, _, ..] => ends::<8>(labels).map_or(0, |[a, b]| {
            u64::from_le_bytes(a) ^ u64::from_le_bytes(b).rotate_left(23)
        }),
        [_, _, _, _, ..] => ends::<4>(labels).map_or(0, |[a, b]| {
            u64::from(u32::from_le_bytes(a)) ^ u64::from(u32::from_le_bytes(b)) << 32
        }),
        few => few
            .iter()
            .fold(0, |word, octet| word << 8 | u64::from(*octet)),
    };
    (word ^ labels.len() as u64).wrapping_mul(SPREAD)
}

/// The first octets and the last, which may overlap.
#[inline]
fn ends<const N: usize>(octets: &[u8]) -> Option<[[u8; N]; 2]> {
    Some([*octets.first_chunk()?, *octets.last_chunk()?])
}

/// Bits for each zone: one in sixteen names is looked at closely without need, at most.
const BITS_EACH: usize = 16;
/// A page: zones are few with most operators.
const LEAST_BITS: usize = 4096 * 8;
/// An odd number with irregular bits (2^64 over the golden ratio), for multiplicative hashing.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use sluicegate_dns::Name;

    use super::*;

    fn wire(text: &str) -> Vec<u8> {
        Name::from_text(text).unwrap().as_bytes().to_vec()
    }

    fn elsewhere(glance: &Glance, text: &str) -> bool {
        let name = wire(text);
        let starts: Vec<u8> = ancestry(&name)
            .map(|suffix| (name.len() - suffix.len()) as u8)
            .collect();
        let last = starts.len().saturating_sub(2);
        glance.is_elsewhere(&name, [starts[last], starts[last.saturating_sub(1)]])
    }

    fn of(apexes: &[&str]) -> Glance {
        let apexes: Vec<_> = apexes.iter().map(|apex| wire(apex)).collect();
        Glance::of(apexes.iter().map(Vec::as_slice))
    }

    #[test]
    fn what_a_zone_may_hold_is_never_passed_over() {
        let apexes = [
            "test.",
            "home.lab.",
            "a.b.c.example.org.",
            "168.192.in-addr.arpa.",
        ];
        let glance = of(&apexes);
        for apex in apexes {
            assert!(!elsewhere(&glance, apex));
            assert!(!elsewhere(&glance, &format!("www.{apex}")));
            assert!(!elsewhere(&glance, &format!("x.y.z.www.{apex}")));
        }
        for other in [
            ".",
            "lab.",
            "www.lab.",
            "example.com.",
            "org.",
            "arpa.",
            "a.homes.lab.",
        ] {
            assert!(elsewhere(&glance, other), "{other}");
        }
    }

    #[test]
    fn below_a_local_root_everything_is_looked_at() {
        let glance = of(&["."]);
        assert!(!elsewhere(&glance, ".") && !elsewhere(&glance, "www.example."));
    }

    #[test]
    fn many_zones_let_most_names_pass() {
        let apexes: Vec<_> = (0..20_000)
            .map(|n| wire(&format!("bad{n}.example{}.", n % 7)))
            .collect();
        let glance = Glance::of(apexes.iter().map(Vec::as_slice));
        assert!((0..20_000).all(|n| !elsewhere(&glance, &format!("www.bad{n}.example{}.", n % 7))));
        let passed = (0..10_000).filter(|n| elsewhere(&glance, &format!("www.good{n}.net.")));
        assert!(passed.count() > 8_500);
    }
}
