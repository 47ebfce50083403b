use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::thread;

use proptest::prelude::*;

use sluicegate_conf::RateLimitConfig;

use super::set::MAX_LIMIT;
use super::*;
use crate::Now;

fn limit(queries_per_sec: u32, factor: u32, backoff: bool, size_bytes: u64) -> RateLimit {
    let config = RateLimitConfig {
        queries_per_sec,
        size_bytes,
        factor,
        backoff,
    };
    RateLimit::new(config).unwrap()
}

fn client(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

/// How many of so many queries in one second are admitted.
fn admitted(limit: &RateLimit, client: IpAddr, secs: u32, queries: u32) -> u32 {
    (0..queries)
        .filter(|_| limit.admits(client, Now { secs }))
        .count() as u32
}

#[test]
fn each_client_may_ask_up_to_the_limit_in_each_second() {
    let limit = limit(50, 0, false, 64 << 10);
    for secs in [0, 1, 2, 9, (1 << 20) + 20, u32::MAX, 0] {
        assert_eq!(admitted(&limit, client(1), secs, 400), 50, "second {secs}");
        assert_eq!(admitted(&limit, client(2), secs, 50), 50);
    }
}

#[test]
fn none_is_no_limit_and_a_large_one_is_the_largest() {
    let config = RateLimitConfig {
        queries_per_sec: 0,
        size_bytes: 4 << 20,
        factor: 10,
        backoff: false,
    };
    assert!(RateLimit::new(config).is_none());
    let large = limit(u32::MAX, 0, false, 0);
    assert_eq!(large.queries_per_sec(), MAX_LIMIT);
    assert_eq!(admitted(&large, client(1), 7, MAX_LIMIT + 9), MAX_LIMIT);
    assert!(large.admits(client(1), Now { secs: 8 }));
}

#[test]
fn an_ipv4_client_is_the_same_over_a_socket_of_both_families() {
    let limit = limit(10, 0, false, 64 << 10);
    let mapped = Ipv4Addr::new(192, 0, 2, 1).to_ipv6_mapped().into();
    assert_eq!(admitted(&limit, mapped, 1, 7), 7);
    let plain = Ipv4Addr::new(192, 0, 2, 1).into();
    assert_eq!(admitted(&limit, plain, 1, 7), 3);
}

#[test]
fn one_in_factor_is_let_through() {
    const QUERIES: u32 = 100_000;
    for factor in [0, 1, 2, 10, 100] {
        let limit = limit(1, factor, false, 64 << 10);
        let passed = f64::from(admitted(&limit, client(1), 1, QUERIES + 1) - 1);
        let expected = match factor {
            0 => 0.0,
            _ => f64::from(QUERIES) / f64::from(factor),
        };
        // Ten times the deviation that chance has.
        let margin = match factor {
            0 | 1 => 0.0,
            _ => 10.0 * expected.sqrt(),
        };
        assert!(
            (passed - expected).abs() <= margin,
            "1 in {factor}: {passed}"
        );
    }
}

#[test]
fn who_asks_by_turns_gets_some_of_both() {
    let limit = limit(1, 2, false, 64 << 10);
    let mut passed = [0, 0];
    for turn in 0..1000 {
        passed[turn % 2] += u32::from(limit.admits(client(1), Now { secs: 1 }));
    }
    assert!(passed[0] > 100 && passed[1] > 100, "{passed:?}");
}

#[test]
fn with_backoff_a_client_waits_until_it_has_asked_less() {
    let limit = limit(50, 0, true, 64 << 10);
    let seconds = [
        (0, 400, 50),
        (1, 10, 0),
        (2, 10, 10),
        (3, 400, 50),
        (4, 400, 0),
        (5, 51, 0),
        (6, 50, 0),
        (7, 50, 50),
        // Nothing asked in between.
        (8, 51, 50),
        (10, 50, 50),
    ];
    for (secs, asked, expected) in seconds {
        assert_eq!(
            admitted(&limit, client(1), secs, asked),
            expected,
            "second {secs}"
        );
    }
}

#[test]
fn a_clock_a_little_behind_counts_in_the_same_second() {
    let limit = limit(50, 0, false, 64 << 10);
    assert_eq!(admitted(&limit, client(1), 100, 30), 30);
    assert_eq!(admitted(&limit, client(1), 99, 30), 20);
    assert_eq!(admitted(&limit, client(1), 101, 60), 50);
}

#[test]
fn a_full_table_neither_forgets_who_asks_much_nor_turns_away_who_is_new() {
    // One set, and beside the client who asks too much a flood of others in each second.
    let limit = limit(50, 0, false, 0);
    for secs in 0..4 {
        let mut passed = 0;
        for number in 0..1000 {
            passed += admitted(&limit, client(1), secs, 2);
            assert!(limit.admits(client(1000 * (secs + 1) + number), Now { secs }));
        }
        assert_eq!(passed, 50, "second {secs}");
    }
    // Four who exceed it take all places; a fifth has one all the same.
    for number in 0..8 {
        assert_eq!(admitted(&limit, client(number), 9, 100), 50);
    }
}

#[test]
fn a_million_sources_lift_nobodys_limit() {
    let limit = limit(50, 0, false, 64 << 10);
    let mut passed = 0;
    for number in 0..1_000_000 {
        passed += admitted(&limit, client(0), 1, 2);
        assert!(limit.admits(client(1 + number), Now { secs: 1 }));
    }
    assert_eq!(passed, 50);
}

#[test]
fn threads_share_one_limit() {
    const LIMIT: u32 = 10_000;
    const THREADS: u32 = 4;
    // A new table each time: the first second begins with all of them looking for a place.
    for start in 0..5 {
        let limit = limit(LIMIT, 0, false, 64 << 10);
        for secs in start..start + 4 {
            let ask = || admitted(&limit, client(1), secs, LIMIT);
            let passed: u32 = thread::scope(|scope| {
                let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(ask)).collect();
                threads
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .sum()
            });
            // While two give a new client its place at once, a few queries may be counted where nobody looks again.
            assert!(
                (LIMIT..=LIMIT + LIMIT / 100).contains(&passed),
                "second {secs}: {passed}"
            );
        }
    }
}

#[test]
fn what_was_counted_stays_unless_the_size_changes() {
    let former = limit(50, 0, false, 64 << 10);
    assert_eq!(admitted(&former, client(1), 1, 400), 50);
    for (size_bytes, passed) in [(64 << 10, 0), (128 << 10, 50)] {
        let mut new = limit(50, 0, false, size_bytes);
        new.succeed(&former);
        assert_eq!(admitted(&new, client(1), 1, 400), passed);
    }
}

#[test]
fn who_exceeds_the_limit_is_told_once() {
    let limit = limit(5, 0, false, 64 << 10);
    assert_eq!(limit.take_exceeded(), Exceeded::default());
    for secs in 0..3 {
        for number in 0..3 {
            admitted(&limit, client(number), secs, 5 + number);
        }
    }
    let exceeded = limit.take_exceeded();
    assert_eq!(exceeded.clients, [client(1), client(2)]);
    assert_eq!(exceeded.times, 6);
    assert_eq!(limit.take_exceeded(), Exceeded::default());
    for number in 0..1000 {
        admitted(&limit, client(number), 9, 6);
    }
    let exceeded = limit.take_exceeded();
    assert_eq!((exceeded.clients.len(), exceeded.times), (16, 1000));
}

#[test]
fn with_backoff_it_is_told_when_it_begins() {
    let limit = limit(5, 0, true, 64 << 10);
    for secs in 0..5 {
        admitted(&limit, client(1), secs, 10);
    }
    assert_eq!(limit.take_exceeded().times, 1);
}

proptest! {
    /// Where there is room for all: what is admitted is what the definition says, whatever the order.
    #[test]
    fn as_defined(
        queries_per_sec in 1..6u32,
        backoff: bool,
        steps in prop::collection::vec((0..6u32, 0..12u32), 0..400),
    ) {
        let limit = limit(queries_per_sec, 0, backoff, 1 << 20);
        let mut asked: HashMap<(u32, u32), u32> = HashMap::new();
        let mut secs = 1000;
        for (number, step) in steps {
            // Mostly the same second.
            secs += step.saturating_sub(9);
            let before = asked.get(&(number, secs - 1)).copied().unwrap_or_default();
            let count = asked.entry((number, secs)).or_default();
            *count += 1;
            let may = *count <= queries_per_sec && !(backoff && before > queries_per_sec);
            prop_assert_eq!(limit.admits(client(number), Now { secs }), may);
        }
    }

    /// In a table that is far too small: nobody who asks no more than the limit in a second is dropped.
    #[test]
    fn below_the_limit_nobody_is_dropped(
        backoff: bool,
        steps in prop::collection::vec((0..40u32, 0..12u32), 0..400),
    ) {
        let limit = limit(5, 0, backoff, 128);
        let mut asked: HashMap<(u32, u32), u32> = HashMap::new();
        let mut secs = 1000;
        for (number, step) in steps {
            secs += step.saturating_sub(9);
            let before = asked.get(&(number, secs - 1)).copied().unwrap_or_default();
            let count = asked.entry((number, secs)).or_default();
            *count += 1;
            let admitted = limit.admits(client(number), Now { secs });
            if *count <= 5 && !(backoff && before > 5) {
                prop_assert!(admitted);
            }
        }
    }
}
