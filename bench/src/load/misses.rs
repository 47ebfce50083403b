use std::fs;
use std::io::{BufWriter, Write};

use anyhow::{Result, ensure};

use super::dnsperf::each_once;
use super::single::round_trips;
use super::{Target, Wait};
use crate::data::{Name, Random};
use crate::measure::{Figure, Load, Processors, Round, resident_bytes};
use crate::site::Folder;

/// How many names each round of a load asks for, and from which number on: no name is asked for in two rounds or loads.
const MISSES: u32 = 20_000;
const MIXED: u32 = 3000;
const MIXED_FROM: u32 = MAX_ROUNDS * MISSES;
const LONE: u32 = 2000;
const LONE_FROM: u32 = MIXED_FROM + MAX_ROUNDS * MIXED;
/// The names are enough for so many rounds.
pub(crate) const MAX_ROUNDS: u32 = 3;
/// Of so many queries of a mixed load one is a miss.
const MIXED_ONE_IN: u32 = 10;
/// After this round, the second, the server knows 40,000 names, and its memory is looked at.
const MEMORY_ROUND: u32 = 1;

/// Asks for names that the server has to find out.
pub(crate) fn misses(target: &Target<'_>, load: Load, round: u32) -> Result<Round> {
    let numbers = numbers(load, round);
    let kind = target.case.queries.kind;
    let names = numbers.into_iter().map(|number| Name { kind, number });
    if load == Load::LoneMiss {
        return round_trips(target, load, Wait::Blocking, names);
    }
    let folder = Folder::new()?;
    let file = folder.path().join(target.case.name);
    let mut out = BufWriter::new(fs::File::create(&file)?);
    for name in names {
        writeln!(out, "{name}. {}", name.type_text())?;
    }
    out.flush()?;
    let before = Processors::look(target.server.pid())?;
    let (said, command) = each_once(target, &file)?;
    let spent = Processors::look(target.server.pid())?.since(&before);
    ensure!(
        said.completed >= said.sent * 0.99,
        "only {} of {} queries were answered",
        said.completed,
        said.sent
    );
    let mut figures = [
        (Figure::Rate, said.per_sec),
        (Figure::MeanUs, said.mean_us),
        (
            Figure::ServerUs,
            spent.server.as_secs_f64() * 1e6 / said.completed,
        ),
    ]
    .to_vec();
    let now_forty_thousand = load == Load::Misses && round == MEMORY_ROUND;
    if let Some(pid) = target.server.pid().filter(|_| now_forty_thousand) {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        let memory = resident_bytes(pid) as f64 / f64::from(1 << 20);
        figures.push((Figure::MemoryMib, memory));
    }
    Ok(Round {
        load,
        figures: figures.into_iter().collect(),
        command,
    })
}

/// The numbers of the names, in the order that they are asked for.
fn numbers(load: Load, round: u32) -> Vec<u32> {
    match load {
        Load::Mixed => mixed(MIXED_FROM + round * MIXED),
        Load::LoneMiss => (0..LONE).map(|at| LONE_FROM + round * LONE + at).collect(),
        _ => (0..MISSES).map(|at| round * MISSES + at).collect(),
    }
}

/// Each name, and between it and the next others that came before.
fn mixed(first: u32) -> Vec<u32> {
    let mut random = Random::new(5);
    let mut numbers = Vec::new();
    for at in 0..MIXED {
        numbers.push(first + at);
        // The last hundred may still be on their way.
        let known = at.saturating_sub(100);
        numbers.extend((1..MIXED_ONE_IN).map(|_| first + random.below(known.max(1))));
    }
    numbers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::WORLD_NAMES;

    #[test]
    fn no_name_is_asked_for_in_two_rounds() {
        let mut all: Vec<u32> = Vec::new();
        for load in [Load::Misses, Load::Mixed, Load::LoneMiss] {
            for round in 0..MAX_ROUNDS {
                let mut numbers = numbers(load, round);
                numbers.sort_unstable();
                numbers.dedup();
                all.extend(numbers);
            }
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
        assert_eq!(all.last().copied(), Some(WORLD_NAMES - 1));
    }

    #[test]
    fn of_ten_queries_one_is_new() {
        assert_eq!(mixed(0).len(), (MIXED * MIXED_ONE_IN) as usize);
    }
}
