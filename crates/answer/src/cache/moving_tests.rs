use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::entry::WordKey;
use super::memory::Sets;
use super::search::Absence;
use super::set::{Set, Wanted};
use super::tests::{PLAIN, Random, found_len, key, numbered, put, sought};
use super::write::NewEntry;
use super::{Cache, Entry, Inserted, Variants};

/// What [`Cache::search`] finds under a name: its length.
fn search(cache: &Cache, name: &[u8], scratch: &mut [u8]) -> Result<usize, Absence> {
    let key = key(name);
    let sought = sought(cache, &key, PLAIN);
    let len = name.len() as u8;
    let mut padded = name.to_vec();
    padded.resize(name.len().next_multiple_of(8), 0);
    let wanted = Wanted {
        key: WordKey::new(padded.as_chunks().0, len, [1, 1, 0]),
        tag: sought.place.tag(),
        variant: PLAIN.bit(),
        now_secs: 1,
    };
    let found = cache.search(&wanted, sought.place, scratch);
    found.map(super::entry::Prefix::stored_len)
}

#[test]
fn what_is_replaced_again_and_again_is_never_missing() {
    const ROUNDS: u32 = 20_000;
    /// The names that are replaced; others crowd the tables, so that they grow.
    const REPLACED: u64 = 16;
    const LENGTHS: [usize; 6] = [48, 900, 30, 1500, 3000, 400];
    let cache = Cache::new(256 << 20);
    let begun = cache.stats().used_bytes;
    let content = [7; 3000];
    for number in 0..REPLACED {
        put(
            &cache,
            &key(&numbered(number as u32)),
            Variants::ALL,
            &content,
            600,
            1,
        );
    }
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let readers = [1, 2].map(|seed| {
            let (cache, done) = (&cache, &done);
            scope.spawn(move || {
                let mut random = Random(seed);
                let mut scratch = vec![0; Cache::SCRATCH_BYTES];
                let mut found = 0;
                while !done.load(Relaxed) || found < 1000 {
                    let name = numbered(random.below(REPLACED) as u32);
                    match search(cache, &name, &mut scratch) {
                        Ok(len) => {
                            assert!(LENGTHS.contains(&len), "{len}");
                            found += 1;
                        }
                        Err(absence) => assert_eq!(absence, Absence::Unsure, "{name:?}"),
                    }
                }
            })
        });
        let mut random = Random(3);
        for round in 0..ROUNDS {
            let other = numbered(1000 + round);
            let len = 40 + random.below(500) as usize;
            put(&cache, &key(&other), Variants::ALL, &content[..len], 600, 1);
            let replaced = numbered(random.below(REPLACED) as u32);
            let len = LENGTHS[random.below(LENGTHS.len() as u64) as usize];
            put(
                &cache,
                &key(&replaced),
                Variants::ALL,
                &content[..len],
                600,
                1,
            );
        }
        done.store(true, Relaxed);
        for reader in readers {
            reader.join().unwrap();
        }
    });
    let stats = cache.stats();
    assert!(stats.used_bytes > begun, "it did not grow: {stats:?}");
    // Each stands in one place.
    assert_eq!(
        cache.flush(|_| true) + stats.evicted,
        u64::from(ROUNDS) + REPLACED
    );
}

#[test]
fn memory_follows_longer_answers_too() {
    for len in [600, 1200, 1900] {
        let cache = Cache::new(64 << 20);
        let begun = cache.stats().used_bytes;
        let content = vec![3; len];
        let count = (8 << 20) / len as u32;
        for i in 0..count {
            let new = numbered(i);
            put(&cache, &key(&new), Variants::ALL, &content, 600, 1);
            if i % 500 == 0 {
                let stats = cache.stats();
                assert!(
                    stats.used_bytes <= begun + 4 * stats.entry_bytes,
                    "{len}: {stats:?}"
                );
            }
        }
        assert_eq!(cache.stats().evicted, 0, "{len}");
        let is_there = |i: &u32| found_len(&cache, &numbered(*i)) == Some(len);
        assert_eq!((0..count).filter(is_there).count(), count as usize, "{len}");
        // Replaced by short ones, they stand nowhere else.
        for i in 0..count {
            put(&cache, &key(&numbered(i)), Variants::ALL, b"short", 600, 1);
        }
        assert_eq!(cache.flush(|_| true), u64::from(count), "{len}");
    }
}

#[test]
fn a_cache_that_can_not_grow_admits_longer_answers() {
    let cache = Cache::new(3 << 20);
    let content = [3; 1200];
    for i in 0..20_000 {
        let new = numbered(i);
        let stored = put(&cache, &key(&new), Variants::ALL, &content, 600, 1);
        assert!(matches!(stored, Inserted::Stored { .. }), "{i}");
        assert_eq!(found_len(&cache, &new), Some(1200), "{i}");
    }
    let stats = cache.stats();
    assert!(stats.entry_bytes * 2 > stats.used_bytes, "{stats:?}");
    assert_eq!(stats.entries + stats.evicted, 20_000, "{stats:?}");
}

fn new_entry<'a>(name: &'a [u8], tag: u16, stored: &'a [u8]) -> NewEntry<'a> {
    NewEntry {
        key: key(name),
        tag,
        variants: Variants::ALL,
        stored,
        stored_at: 100,
        expires: 700,
        dead_at: 100,
        used: false,
    }
}

/// Fills a set with entries of some 1,240 bytes; how many they are.
fn fill<const W: usize>(set: Set<'_, W>, content: &[u8]) -> u16 {
    let is_in = |tag: &u16| {
        let name = numbered(u32::from(*tag));
        set.insert_if_room(&new_entry(&name, *tag, content)) == Some(true)
    };
    (1..100).take_while(is_in).count() as u16
}

#[test]
fn a_full_set_is_only_read_by_what_does_not_fit() {
    let sets = Sets::<528>::new(1);
    let set = sets.get(0).unwrap();
    let content = [7; 1200];
    let count = fill(set, &content);
    assert_eq!(count, 3);
    let at_rest = set.sequence();
    let other = numbered(99);
    assert_eq!(
        set.insert_if_room(&new_entry(&other, 99, &content)),
        Some(false)
    );
    assert_eq!(set.sequence(), at_rest);
    // What would be replaced by a longer one, for which there is no room, stays until that has found its place.
    let (name, longer) = (numbered(1), [8; 1900]);
    assert_eq!(
        set.insert_if_room(&new_entry(&name, 1, &longer)),
        Some(false)
    );
    assert_eq!(set.census().0, usize::from(count));
    // One of its own length takes its place, and what is of no more use makes room.
    assert_eq!(
        set.insert_if_room(&new_entry(&name, 1, &content)),
        Some(true)
    );
    assert_eq!(set.census().0, usize::from(count));
    let later = NewEntry {
        dead_at: 700,
        ..new_entry(&other, 99, &content)
    };
    assert_eq!(set.insert_if_room(&later), Some(true));
    assert_eq!(set.census().0, 1);
}

#[test]
fn what_is_of_no_more_use_makes_room_before_a_cache_grows() {
    let cache = Cache::new(64 << 20);
    let begun = cache.stats().used_bytes;
    let entry = Entry {
        variants: Variants::ALL,
        stored: &[7; 48],
        ttl_secs: 10,
        keep_secs: 0,
    };
    for i in 0..60_000 {
        // In each second 100, so that 1,000 live.
        let stored = cache.store(&key(&numbered(i)), &entry, 1 + i / 100);
        assert_eq!(stored, Inserted::Stored { evicted: 0 });
    }
    assert_eq!(cache.stats().used_bytes, begun);
}
