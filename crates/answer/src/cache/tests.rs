use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::{Cache, Entry, Inserted, Key, Sought, Variant, Variants};

pub(super) const PLAIN: Variant = Variant {
    dnssec_ok: false,
    checking_disabled: false,
};
const DNSSEC: Variant = Variant {
    dnssec_ok: true,
    checking_disabled: false,
};
const UNCHECKED: Variant = Variant {
    dnssec_ok: true,
    checking_disabled: true,
};

fn name(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.') {
        wire.push(label.len() as u8);
        wire.extend_from_slice(label.as_bytes());
    }
    wire.push(0);
    wire
}

pub(super) fn key(name: &[u8]) -> Key<'_> {
    Key::new(name, 1, 1, 0).unwrap()
}

fn get(cache: &Cache, key: &Key<'_>, variant: Variant, now: u32) -> Option<Vec<u8>> {
    let mut scratch = vec![0; Cache::SCRATCH_BYTES];
    cache
        .lookup(&sought(cache, key, variant), now, &mut scratch)
        .map(|hit| hit.stored.to_vec())
}

#[expect(clippy::too_many_arguments, reason = "a shorthand of the tests")]
pub(super) fn put(
    cache: &Cache,
    key: &Key<'_>,
    variants: Variants,
    stored: &[u8],
    ttl_secs: u32,
    now: u32,
) -> Inserted {
    cache.store(
        key,
        &Entry {
            variants,
            stored,
            ttl_secs,
            keep_secs: 0,
        },
        now,
    )
}

pub(super) fn sought<'a>(cache: &Cache, key: &Key<'a>, variant: Variant) -> Sought<'a> {
    Sought {
        key: *key,
        place: cache.place(key),
        variant,
    }
}

#[test]
fn what_was_stored_comes_back_with_its_age() {
    let cache = Cache::new(1 << 20);
    let (name, other) = (name("www.example.com"), name("www.example.net"));
    let key_a = key(&name);
    assert_eq!(
        put(&cache, &key_a, Variants::ALL, b"the answer", 300, 1000),
        Inserted::Stored { evicted: 0 }
    );
    let mut scratch = vec![0; Cache::SCRATCH_BYTES];
    for variant in [PLAIN, DNSSEC, UNCHECKED] {
        let hit = cache
            .lookup(&sought(&cache, &key_a, variant), 1007, &mut scratch)
            .unwrap();
        assert_eq!(
            (hit.stored, hit.age_secs, hit.left_secs),
            (&b"the answer"[..], 7, 293)
        );
    }
    for different in [
        Key::new(&other, 1, 1, 0).unwrap(),
        Key::new(&name, 28, 1, 0).unwrap(),
        Key::new(&name, 1, 3, 0).unwrap(),
        Key::new(&name, 1, 1, 1).unwrap(),
    ] {
        assert_eq!(get(&cache, &different, PLAIN, 1000), None);
    }
    assert_eq!(
        get(&cache, &key_a, PLAIN, 1299),
        Some(b"the answer".to_vec())
    );
    assert_eq!(get(&cache, &key_a, PLAIN, 1300), None);
}

#[test]
fn every_length_of_name_and_answer_survives() {
    let cache = Cache::new(8 << 20);
    for name_len in [1usize, 2, 7, 8, 9, 15, 16, 17, 254, 255] {
        for stored_len in [
            0usize, 1, 7, 8, 9, 100, 1500, 1983, 1984, 4096, 40_000, 65_000,
        ] {
            let name: Vec<u8> = (0..name_len).map(|i| (i * 7 + stored_len) as u8).collect();
            let stored: Vec<u8> = (0..stored_len).map(|i| (i * 13 + name_len) as u8).collect();
            let key = key(&name);
            assert!(matches!(
                put(&cache, &key, Variants::ALL, &stored, 60, 1),
                Inserted::Stored { .. }
            ));
            assert_eq!(
                get(&cache, &key, PLAIN, 2).as_ref(),
                Some(&stored),
                "{name_len} {stored_len}"
            );
        }
    }
}

#[test]
fn variants_are_stored_apart_and_replaced_by_what_covers_them() {
    let cache = Cache::new(1 << 20);
    let name = name("example");
    let key = key(&name);
    put(&cache, &key, Variants::WITHOUT_DNSSEC, b"plain", 60, 1);
    assert_eq!(get(&cache, &key, DNSSEC, 2), None);
    put(
        &cache,
        &key,
        Variants::WITH_DNSSEC.and(Variants::CHECKED),
        b"signed",
        60,
        1,
    );
    assert_eq!(get(&cache, &key, PLAIN, 2).unwrap(), b"plain");
    assert_eq!(get(&cache, &key, DNSSEC, 2).unwrap(), b"signed");
    assert_eq!(get(&cache, &key, UNCHECKED, 2), None);
    put(&cache, &key, Variants::ALL, b"unsigned now", 60, 1);
    for variant in [PLAIN, DNSSEC, UNCHECKED] {
        assert_eq!(get(&cache, &key, variant, 2).unwrap(), b"unsigned now");
    }
    assert_eq!(cache.stats().entries, 1);
}

#[test]
fn a_large_answer_replaces_a_small_one_and_the_other_way_round() {
    let cache = Cache::new(8 << 20);
    let name = name("big.example");
    let key = key(&name);
    let large = vec![7; 30_000];
    put(&cache, &key, Variants::ALL, b"small", 60, 1);
    put(&cache, &key, Variants::ALL, &large, 60, 1);
    assert_eq!(get(&cache, &key, PLAIN, 2).unwrap(), large);
    assert_eq!(cache.stats().entries, 1);
    put(&cache, &key, Variants::ALL, b"small", 60, 1);
    assert_eq!(get(&cache, &key, PLAIN, 2).unwrap(), b"small");
    assert_eq!(cache.stats().entries, 1);
}

#[test]
fn what_cannot_be_stored_is_declined() {
    let cache = Cache::new(8 << 20);
    let name = name("example");
    assert_eq!(
        put(&cache, &key(&name), Variants::ALL, &vec![0; 65_400], 60, 1),
        Inserted::Declined
    );
    assert_eq!(
        put(&cache, &key(&name), Variants::ALL, b"no life", 0, 1),
        Inserted::Declined
    );
    assert!(Key::new(&name, 1, 256, 0).is_none());
    let none = Cache::new(4095);
    assert_eq!(
        put(&none, &key(&name), Variants::ALL, b"x", 60, 1),
        Inserted::Declined
    );
    assert_eq!(get(&none, &key(&name), PLAIN, 1), None);
    assert_eq!(none.stats().bound_bytes, 0);
}

#[test]
fn memory_stays_within_the_bound_and_a_full_cache_admits() {
    let size = 1 << 20;
    let cache = Cache::new(size);
    assert!(cache.stats().bound_bytes <= size);
    assert!(cache.stats().bound_bytes > size - 4096);
    for i in 0..30_000u32 {
        let name = name(&format!("host-{i}.example.com"));
        let stored = vec![i as u8; 20 + i as usize % 300];
        assert!(matches!(
            put(&cache, &key(&name), Variants::ALL, &stored, 600, 1),
            Inserted::Stored { .. }
        ));
        assert_eq!(
            get(&cache, &key(&name), PLAIN, 1).unwrap(),
            stored,
            "the newest entry is always there"
        );
        if i % 1000 == 0 {
            let stats = cache.stats();
            assert!(stats.entry_bytes <= stats.bound_bytes);
        }
    }
    let stats = cache.stats();
    assert_eq!(stats.inserted, 30_000);
    assert_eq!(stats.entries + stats.evicted, 30_000);
}

#[test]
fn the_count_of_a_large_cache_is_close() {
    let cache = Cache::new(64 << 20); // more sets than are counted
    for i in 0..50_000 {
        let name = name(&format!("n{i}"));
        put(&cache, &key(&name), Variants::ALL, &[1; 40], 600, 1);
    }
    let stats = cache.stats();
    assert!(
        stats.entries.abs_diff(50_000 - stats.evicted) < 2_500,
        "{stats:?}"
    );
    let each = stats.entry_bytes / stats.entries;
    assert!((64..=128).contains(&each), "{stats:?}");
}

#[test]
fn expired_entries_go_before_live_ones() {
    let cache = Cache::new(4224);
    for i in 0..30 {
        let name = name(&format!("short{i:02}"));
        put(
            &cache,
            &key(&name),
            Variants::ALL,
            &[1; 40],
            if i % 2 == 0 { 10 } else { 1000 },
            1,
        );
    }
    for i in 0..15 {
        let name = name(&format!("later{i:02}"));
        put(&cache, &key(&name), Variants::ALL, &[2; 40], 1000, 20);
    }
    assert_eq!(cache.stats().evicted, 0);
    for i in (1..30).step_by(2) {
        assert!(
            get(&cache, &key(&name(&format!("short{i:02}"))), PLAIN, 20).is_some(),
            "{i}"
        );
    }
}

#[test]
fn flush_removes_what_is_chosen() {
    let cache = Cache::new(1 << 20);
    for i in 0..100 {
        for zone in ["a", "b"] {
            put(
                &cache,
                &key(&name(&format!("host{i}.{zone}"))),
                Variants::ALL,
                b"x",
                60,
                1,
            );
        }
    }
    assert_eq!(cache.flush(|name| name.ends_with(b"\x01a\x00")), 100);
    assert_eq!(cache.stats().entries, 100);
    assert_eq!(get(&cache, &key(&name("host3.a")), PLAIN, 2), None);
    assert!(get(&cache, &key(&name("host3.b")), PLAIN, 2).is_some());
}

#[test]
fn an_a_record_takes_at_most_160_bytes_all_told() {
    // As stored for one A record: a header of about 24 bytes, the record of 16, one TTL offset.
    let cache = Cache::new(4 << 20);
    let stored = [7u8; 48];
    for i in 0..80_000u32 {
        let name = name(&format!("host{i:06}.example"));
        assert_eq!(name.len(), 20);
        put(&cache, &key(&name), Variants::ALL, &stored, 600, 1);
    }
    let stats = cache.stats();
    let each = stats.bound_bytes / stats.entries;
    assert!(
        each <= 160,
        "{each} bytes for each of {} entries",
        stats.entries
    );
}

/// A small generator, so that the traces are the same in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, limit: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((u128::from(self.0 >> 1) * u128::from(limit)) >> 63) as u64
    }

    fn unit(&mut self) -> f64 {
        f64::from(self.below(1 << 32) as u32) / 2f64.powi(32)
    }
}

/// Zipf with exponent 1 over `count` names, by the inverse of the continuous approximation.
#[expect(clippy::cast_sign_loss, reason = "powers are positive")]
fn zipf(random: &mut Random, count: u32) -> u32 {
    (f64::from(count).powf(random.unit()) as u32).min(count - 1)
}

/// Share of hits on a Zipf trace that is interrupted by scans over names asked once.
fn hit_ratio(scan: bool) -> f64 {
    let cache = Cache::new(256 << 10);
    let mut random = Random(7);
    let (mut hits, mut asked, mut fresh) = (0u32, 0u32, 1_000_000u32);
    for round in 0..100_000u32 {
        let scanning = scan && round % 2 == 0;
        let number = if scanning {
            fresh
        } else {
            zipf(&mut random, 25_000)
        };
        fresh += u32::from(scanning);
        let name = name(&format!("host{number:07}.example"));
        let hit = get_len(&cache, &name);
        if !hit {
            put(&cache, &key(&name), Variants::ALL, &[1; 48], 600, 1);
        }
        if !scanning && round > 25_000 {
            asked += 1;
            hits += u32::from(hit);
        }
    }
    f64::from(hits) / f64::from(asked)
}

fn get_len(cache: &Cache, name: &[u8]) -> bool {
    let mut scratch = [0; 64];
    let key = key(name);
    cache
        .lookup(&sought(cache, &key, PLAIN), 1, &mut scratch)
        .is_some()
}

#[test]
fn scans_do_not_push_out_what_is_asked_again() {
    // About 2,300 of 25,000 names fit. The best that any policy can do on this trace is the share of the
    // most popular 2,300: ln(2300)/ln(25000) = 0.76.
    let (alone, scanned) = (hit_ratio(false), hit_ratio(true));
    assert!(alone > 0.70, "{alone}");
    assert!(scanned > 0.62, "{scanned}");
}

/// The bytes of an answer are all made from its name and version, so that any torn read shows.
fn content(number: u64, version: u64, out: &mut [u8]) {
    let mut random = Random(number << 32 | version);
    out[..8].copy_from_slice(&version.to_le_bytes());
    for byte in &mut out[8..] {
        *byte = random.below(256) as u8;
    }
}

#[test]
fn readers_and_writers_never_see_a_torn_answer() {
    const NAMES: u64 = 200;
    const WRITES: u64 = 20_000;
    // Three sets, so that writers meet, entries move and are evicted all the time.
    let cache = Cache::new(3 * 4224);
    let done = AtomicBool::new(false);
    let checked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..2u64)
            .map(|writer| {
                let cache = &cache;
                scope.spawn(move || {
                    let mut random = Random(writer + 1);
                    let mut bytes = [0; 600];
                    for version in 0..WRITES {
                        let number = random.below(NAMES);
                        let len = 8 + (version % 7) as usize * 50;
                        content(number, version, &mut bytes[..len]);
                        let name = name(&format!("n{number}"));
                        put(cache, &key(&name), Variants::ALL, &bytes[..len], 1000, 1);
                    }
                })
            })
            .collect();
        for reader in 0..2u64 {
            let (cache, done, checked) = (&cache, &done, &checked);
            scope.spawn(move || {
                let mut random = Random(100 + reader);
                let mut scratch = [0; 4096];
                let mut expected = [0; 600];
                while !done.load(Relaxed) {
                    let number = random.below(NAMES);
                    let name = name(&format!("n{number}"));
                    let key = key(&name);
                    let Some(hit) = cache.lookup(&sought(cache, &key, PLAIN), 1, &mut scratch)
                    else {
                        continue;
                    };
                    let version = u64::from_le_bytes(hit.stored[..8].try_into().unwrap());
                    assert_eq!(hit.stored.len(), 8 + (version % 7) as usize * 50);
                    let expected = &mut expected[..hit.stored.len()];
                    content(number, version, expected);
                    assert_eq!(hit.stored, expected, "name {number} version {version}");
                    checked.fetch_add(1, Relaxed);
                }
            });
        }
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Relaxed);
    });
    assert!(checked.load(Relaxed) > 1000, "{checked:?}");
}

pub(super) fn numbered(i: u32) -> Vec<u8> {
    name(&format!("host{i:07}.example"))
}

#[test]
fn a_cache_takes_no_more_memory_than_its_entries_need() {
    let cache = Cache::new(64 << 20);
    let start = cache.stats().used_bytes;
    assert!(start < 8 << 20, "{start}");
    for i in 0..30_000 {
        put(&cache, &key(&numbered(i)), Variants::ALL, &[1; 48], 600, 1);
    }
    let stats = cache.stats();
    assert!(stats.used_bytes <= 4 * stats.entry_bytes, "{stats:?}");
    assert!(stats.used_bytes > start, "{stats:?}");
    assert!(stats.bound_bytes > 63 << 20, "{stats:?}");
}

/// How long what is found is.
pub(super) fn found_len(cache: &Cache, name: &[u8]) -> Option<usize> {
    let mut scratch = [0; 4096];
    let key = key(name);
    let hit = cache.lookup(&sought(cache, &key, PLAIN), 1, &mut scratch);
    hit.map(|hit| hit.stored.len())
}

#[test]
fn nothing_is_lost_while_a_cache_grows() {
    // Three times the table doubles.
    const COUNT: u32 = 100_000;
    let cache = Cache::new(64 << 20);
    let content = [7; 3000];
    let mut absent = 0;
    for i in 0..COUNT {
        let len = if i % 1000 == 0 { 3000 } else { 48 };
        let new = numbered(i);
        put(&cache, &key(&new), Variants::ALL, &content[..len], 600, 1);
        assert_eq!(found_len(&cache, &new), Some(len));
        // One that came a while ago, and may be on its way to another set.
        let earlier = numbered(i - i % 64 * 7 % (i / 2 + 1));
        absent += u64::from(found_len(&cache, &earlier).is_none());
        if i % 10 == 0 {
            // Replaced, wherever it stands.
            put(&cache, &key(&earlier), Variants::ALL, &[8; 40], 600, 1);
            assert_eq!(found_len(&cache, &earlier), Some(40), "{i}");
        }
    }
    let stats = cache.stats();
    assert!(stats.used_bytes > 8 << 20, "{stats:?}");
    assert_eq!((stats.evicted, absent), (0, 0), "{stats:?}");
    let there = (0..COUNT)
        .filter(|i| found_len(&cache, &numbered(*i)).is_some())
        .count();
    assert_eq!(there, COUNT as usize);
    // Nothing stands in two places.
    assert_eq!(cache.flush(|_| true), there as u64);
    assert_eq!(cache.stats().entries, 0);
}

#[test]
fn what_was_learnt_of_a_set_holds_no_longer_than_its_answer() {
    let cache = Cache::new(64 << 20);
    let mut refused = 0;
    for i in 0..60_000 {
        put(&cache, &key(&numbered(i)), Variants::ALL, &[1; 48], 600, 1);
        // One of those that a growing cache has to move.
        let earlier = numbered(i / 2);
        let place = cache.place(&key(&earlier));
        let Some(learnt) = cache.sequence_at_rest(place) else {
            refused += 1;
            continue;
        };
        if i % 3 == 0 && found_len(&cache, &earlier).is_some() {
            cache.remove(&key(&earlier));
            assert_ne!(cache.sequence(place), Some(learnt), "{i}");
        }
    }
    assert!(refused > 0, "it never was on its way");
}

#[test]
fn readers_of_a_growing_cache_find_whole_answers_only() {
    const NAMES: u64 = 60_000;
    let cache = Cache::new(32 << 20);
    let done = AtomicBool::new(false);
    let checked = AtomicU64::new(0);
    std::thread::scope(|scope| {
        let reader = || {
            let mut random = Random(5);
            let mut scratch = vec![0; Cache::SCRATCH_BYTES];
            let mut expected = [0; 60];
            while !done.load(Relaxed) {
                let number = random.below(NAMES);
                let name = numbered(number as u32);
                let key = key(&name);
                if let Some(hit) = cache.lookup(&sought(&cache, &key, PLAIN), 1, &mut scratch) {
                    content(number, 1, &mut expected);
                    assert_eq!(hit.stored, expected, "name {number}");
                    checked.fetch_add(1, Relaxed);
                }
            }
        };
        scope.spawn(reader);
        let writers = [0, 1].map(|writer| {
            let cache = &cache;
            scope.spawn(move || {
                let mut bytes = [0; 60];
                for number in (writer..NAMES).step_by(2) {
                    content(number, 1, &mut bytes);
                    let name = numbered(number as u32);
                    put(cache, &key(&name), Variants::ALL, &bytes, 1000, 1);
                }
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        done.store(true, Relaxed);
    });
    let stats = cache.stats();
    assert!(stats.used_bytes > 8 << 20, "{stats:?}");
    assert_eq!(stats.entries + stats.evicted, NAMES);
    assert!(checked.load(Relaxed) > 0);
}
