//! Which thread of the engine a question goes to.

use std::hash::{BuildHasher, Hasher, RandomState};

use crate::Question;

/// Which thread of the engine a question goes to; seeded, so that nobody outside can aim at one thread.
#[derive(Debug, Default)]
pub(crate) struct Spread(RandomState);

/// The zone a question is about, as far as its name tells: equal for all names below one registrable name. Two
/// zones may share a number; they then share a thread and its bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ZoneId(u64);

impl Spread {
    /// The zone of a question.
    pub(crate) fn zone(&self, question: &Question) -> ZoneId {
        let mut hasher = self.0.build_hasher();
        hasher.write(registrable_part(question.name()));
        ZoneId(hasher.finish())
    }
}

impl ZoneId {
    /// The thread for its questions, below `threads`.
    pub(crate) fn thread(self, threads: usize) -> usize {
        // The remainder is below `threads`, a usize.
        (self.0 % threads.max(1) as u64) as usize
    }

    /// The thread for a refresh, below [`contexts`]: with an odd `generation` the one after the zone's own.
    pub(crate) fn refreshing_thread(self, threads: usize, generation: u8) -> usize {
        (self.thread(threads) + usize::from(generation % 2)) % contexts(threads)
    }
}

/// How many contexts an engine of so many threads has: two at least, so that there is one to ask that did not
/// give the last answer.
pub(crate) fn contexts(threads: usize) -> usize {
    threads.max(2)
}

/// The part of a name below which delegations, keys and servers are mostly the same: the last two labels; three
/// where the second to last is a registry's category below a country (`co.uk`); in the reverse trees what a
/// registry hands to one holder, a /16 (`in-addr.arpa`) or a /32 (`ip6.arpa`).
///
/// This is a guess on purpose: the public suffix list is large, has to be kept up to date, and a wrong guess
/// costs little. Too short a part puts neighbours on one thread, where they share bounds; too long a one lets
/// two threads learn the same servers.
fn registrable_part(name: &[u8]) -> &[u8] {
    let mut starts = [0_usize; MAX_LABELS];
    let mut count = 0;
    let mut at = 0;
    while let Some(&length) = name.get(at)
        && length != 0
        && count < MAX_LABELS
    {
        starts[count] = at;
        count += 1;
        at += 1 + usize::from(length);
    }
    let starts = &starts[..count];
    // The label so many from the end, from 0 for the last.
    let label = |from_end: usize| {
        let start = *starts.get(count.checked_sub(from_end + 1)?)?;
        name.get(start + 1..start + 1 + usize::from(name[start]))
    };
    let wanted = match (label(1), label(0)) {
        (Some(b"ip6"), Some(b"arpa")) => 2 + IP6_NIBBLES,
        (Some(_), Some(b"arpa")) => 2 + IN_ADDR_OCTETS,
        (Some(second), Some([_, _])) if CATEGORIES.contains(&second) => 3,
        _ => 2,
    };
    match count.checked_sub(wanted) {
        Some(skip) => &name[starts[skip]..],
        None => name,
    }
}

/// 254 bytes of one-byte labels.
const MAX_LABELS: usize = 127;
/// A /16.
const IN_ADDR_OCTETS: usize = 2;
/// A /32, what a regional registry gives a provider.
const IP6_NIBBLES: usize = 8;
/// Below top-level domains of two letters: labels under which registries register names.
const CATEGORIES: &[&[u8]] = &[
    b"ac", b"asn", b"biz", b"co", b"com", b"edu", b"gob", b"go", b"gov", b"gouv", b"gv", b"id",
    b"ind", b"info", b"ltd", b"me", b"mil", b"ne", b"net", b"nhs", b"nic", b"nom", b"or", b"org",
    b"plc", b"police", b"sch", b"school", b"web",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Vec<u8> {
        let labels = text.split('.').filter(|label| !label.is_empty());
        let mut wire: Vec<u8> = labels
            .flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat())
            .collect();
        wire.push(0);
        wire
    }

    fn zone(spread: &Spread, text: &str) -> ZoneId {
        spread.zone(&Question::new(&name(text), 1, 1).unwrap())
    }

    #[test]
    fn names_are_cut_to_what_is_registered() {
        for (asked, part) in [
            ("", ""),
            ("org", "org"),
            ("ex.org", "ex.org"),
            ("a.b.ex.org", "ex.org"),
            ("www.bbc.co.uk", "bbc.co.uk"),
            ("co.uk", "co.uk"),
            ("a.b.c.com.br", "c.com.br"),
            ("www.co.com", "co.com"),
            ("www.x.de", "x.de"),
            ("1.2.3.10.in-addr.arpa", "3.10.in-addr.arpa"),
            ("home.arpa", "home.arpa"),
            (
                "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.2.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa",
                "8.b.d.0.1.0.0.2.ip6.arpa",
            ),
            ("8.b.d.ip6.arpa", "8.b.d.ip6.arpa"),
        ] {
            assert_eq!(registrable_part(&name(asked)), name(part), "{asked}");
        }
        let longest = name(&["a"; 127].join("."));
        assert_eq!(registrable_part(&longest), name("a.a"));
    }

    #[test]
    fn neighbours_share_a_thread_and_zones_spread() {
        let spread = Spread::default();
        let mut used = [false; 4];
        for number in 0..40 {
            let parent = zone(&spread, &format!("z{number}.org"));
            assert_eq!(parent, zone(&spread, &format!("a.b.z{number}.org")));
            used[parent.thread(4)] = true;
        }
        // Chance leaves one of four threads without any of 40 zones in one run of 25,000.
        assert_eq!(used, [true; 4]);
    }

    #[test]
    fn refreshes_alternate_between_home_and_another() {
        let zone = zone(&Spread::default(), "a.org");
        for threads in [1, 2, 5] {
            let home = zone.thread(threads);
            let at = |generation| zone.refreshing_thread(threads, generation);
            assert!(at(1) != home && at(1) < contexts(threads), "{threads}");
            assert_eq!((at(0), at(2), at(3), at(255)), (home, home, at(1), at(1)));
        }
    }
}
