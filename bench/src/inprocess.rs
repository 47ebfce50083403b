//! What an answer costs without a network: nanoseconds, bytes, instructions.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::net::IpAddr;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

use sluicegate_inprocess::{
    BUFFER_BYTES, Fixture, MAX_BATCH, Now, Operation, Prepared, RateLimit, RateLimitConfig,
    access_list, frame, known, local, renumber,
};

use crate::data::{Random, Zipf};
use crate::measure::pin_thread;
use crate::plan::Effort;
use crate::report::say;
use crate::site::{CLIENT_CORE, SERVER_CORE};

/// How often each operation is repeated in one round, and how many rounds there are; the least counts, since nothing
/// but disturbance makes a round longer.
const REPEATS: u32 = 200_000;
const ROUNDS: usize = 9;
/// How many queries an operation is tried with in turn: so few that they stay in the processor's first cache.
const QUERIES: usize = 64;
/// Queries of a round over many names.
const DRAWS: usize = 1_000_000;
/// Cache bytes for each name, so that none is evicted.
const BYTES_PER_NAME: u64 = 256;
/// Cache for the measurement of memory.
const FULL_CACHE_BYTES: u64 = 64 << 20;
/// More names than fit into that.
const TOO_MANY_NAMES: u32 = 1_500_000;

/// Measures all; the numbers by name.
pub(crate) fn measure(effort: Effort) -> Result<BTreeMap<String, f64>> {
    pin_thread(&[SERVER_CORE])?;
    let mut results = BTreeMap::new();
    let mut put = |name: String, value: f64| {
        say(&format!("  {name}: {value:.1}"));
        results.insert(name, value);
    };
    let copy = each(&mut *Operation::ALL[0].prepare(QUERIES)?);
    for operation in Operation::ALL.into_iter().skip(1) {
        let mut step = operation.prepare(QUERIES)?;
        put(format!("ns {}", operation.name()), each(&mut *step) - copy);
    }
    for (name, cost) in access_lists().into_iter().chain(rate_limits()?) {
        put(name, cost);
    }
    let largest = if effort == Effort::Smoke {
        100_000
    } else {
        10_000_000
    };
    let sizes = [
        (1_000, "1k"),
        (10_000, "10k"),
        (100_000, "100k"),
        (1_000_000, "1m"),
        (10_000_000, "10m"),
    ];
    for (names, label) in sizes.into_iter().filter(|(names, _)| *names <= largest) {
        let fixture = Fixture::new(u64::from(names) * BYTES_PER_NAME, names)?;
        let mut random = Random::new(9);
        let zipf = Zipf::new(names);
        let draws: [(&str, Vec<u32>); 2] = [
            ("uniform", (0..DRAWS).map(|_| random.below(names)).collect()),
            // Popular names are not neighbours in the cache, whatever their numbers.
            ("zipf", (0..DRAWS).map(|_| zipf.draw(&mut random)).collect()),
        ];
        for (draw, numbers) in &draws {
            put(
                format!("ns whole {label} {draw}"),
                over((&fixture, &known(0)), numbers, 1)?,
            );
            put(
                format!("ns whole {label} {draw}, in batches"),
                over((&fixture, &known(0)), numbers, MAX_BATCH)?,
            );
        }
    }
    for (names, label) in [(1_000, "1k"), (1_000_000, "1m")] {
        let fixture = Fixture::with_local(names)?;
        let mut random = Random::new(9);
        let numbers: Vec<u32> = (0..DRAWS).map(|_| random.below(names)).collect();
        for (batch, note) in [(1, ""), (MAX_BATCH, ", in batches")] {
            put(
                format!("ns local {label} uniform{note}"),
                over((&fixture, &local(0)), &numbers, batch)?,
            );
        }
    }
    let full = Fixture::new(FULL_CACHE_BYTES, TOO_MANY_NAMES)?;
    put("bytes per answer".to_owned(), full.bytes_per_entry());
    pin_thread(&[SERVER_CORE, CLIENT_CORE])?;
    Ok(results)
}

/// Nanoseconds of one call.
fn each(step: &mut dyn FnMut()) -> f64 {
    least(|| {
        for _ in 0..REPEATS {
            step();
        }
        f64::from(REPEATS)
    })
}

/// Nanoseconds of a look at access lists of more and more prefixes, for clients of which about half are in one of them:
/// prefixes spread over all addresses, as those of an operator's customers are, and side by side within few, which is the
/// most that they can cost.
fn access_lists() -> Vec<(String, f64)> {
    let mut random = Random::new(9);
    let mut look = |prefixes: u32, spread: u32, label: &str| {
        let acl = access_list(prefixes, |n| n.wrapping_mul(spread * 256));
        let clients: Vec<IpAddr> = (0..DRAWS)
            .map(|_| {
                let block = random.below(prefixes) * spread + random.below(2);
                IpAddr::V4((block.wrapping_mul(256) | random.below(256)).into())
            })
            .collect();
        let cost = least(|| {
            for client in &clients {
                black_box(acl.action(black_box(*client)));
            }
            f64::from(DRAWS as u32)
        });
        (format!("ns acl {label}"), cost)
    };
    vec![
        look(1_000, 1 << 24 >> 10, "1k"),
        look(100_000, (1 << 24) / 100_000, "100k"),
        look(100_000, 2, "100k side by side"),
    ]
}

/// Nanoseconds to count a query of one of so many clients, each of which has its place, at the limit that counts most: one
/// that nobody exceeds. The last row is what a flood of forged addresses costs in a table of ordinary size: nearly each of
/// them is new, and takes another's place.
fn rate_limits() -> Result<Vec<(String, f64)>> {
    let mut random = Random::new(9);
    let mut count = |clients: u32, size_bytes: u64| {
        let limit = RateLimit::new(RateLimitConfig {
            queries_per_sec: u32::MAX,
            size_bytes,
            factor: 0,
            backoff: false,
        });
        let limit = limit.context("a limit")?;
        let draws: Vec<IpAddr> = (0..DRAWS)
            .map(|_| IpAddr::V4((10 << 24 | random.below(clients)).into()))
            .collect();
        let mut admitted = 0;
        let cost = least(|| {
            for client in &draws {
                admitted += usize::from(limit.admits(black_box(*client), Now { secs: 1000 }));
            }
            f64::from(DRAWS as u32)
        });
        ensure!(admitted == DRAWS * ROUNDS, "only {admitted} admitted");
        Ok(cost)
    };
    Ok(vec![
        ("ns ratelimit 1k clients".to_owned(), count(1_000, 4 << 20)?),
        (
            "ns ratelimit 1m clients".to_owned(),
            count(1_000_000, 64 << 20)?,
        ),
        (
            "ns ratelimit 1m clients in 4m".to_owned(),
            count(1_000_000, 4 << 20)?,
        ),
    ])
}

/// Nanoseconds of a whole hit, the names as drawn, so many in a batch; the cost of making the queries taken off. The first
/// name is that of number 0.
fn over((fixture, first): (&Fixture, &str), draws: &[u32], batch: usize) -> Result<f64> {
    let template = frame(first);
    let mut frames = vec![vec![0; BUFFER_BYTES]; batch];
    let mut prepared = vec![Prepared::empty(); batch];
    let mut answered = 0usize;
    let count = f64::from(u32::try_from(draws.len())?);
    let mut round = |asked: bool| {
        for numbers in draws.chunks_exact(batch) {
            for (frame, number) in frames.iter_mut().zip(numbers) {
                frame[..template.len()].copy_from_slice(&template);
                renumber(frame, *number);
            }
            let frames = black_box(&mut frames);
            match frames.as_mut_slice() {
                _ if !asked => {}
                [alone] => answered += usize::from(fixture.whole(alone, template.len()) > 0),
                all => answered += fixture.batch(all, template.len(), &mut prepared),
            }
        }
        count
    };
    let made = least(|| round(false));
    let whole = least(|| round(true));
    ensure!(
        answered >= draws.len() / 100 * 99 * ROUNDS,
        "only {answered} queries were hits"
    );
    Ok(whole - made)
}

fn least(mut round: impl FnMut() -> f64) -> f64 {
    let times = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        let count = round();
        start.elapsed().as_secs_f64() * 1e9 / count
    });
    times.fold(f64::INFINITY, f64::min)
}
