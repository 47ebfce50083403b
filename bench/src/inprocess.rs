//! What an answer costs without a network: nanoseconds, bytes, instructions.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use anyhow::{Result, ensure};

use sluicegate_inprocess::{
    BUFFER_BYTES, Fixture, MAX_BATCH, Operation, Prepared, frame, known, renumber,
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
                over(&fixture, numbers, 1)?,
            );
            put(
                format!("ns whole {label} {draw}, in batches"),
                over(&fixture, numbers, MAX_BATCH)?,
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

/// Nanoseconds of a whole hit, the names as drawn, so many in a batch; the cost of making the queries taken off.
fn over(fixture: &Fixture, draws: &[u32], batch: usize) -> Result<f64> {
    let template = frame(&known(0));
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
