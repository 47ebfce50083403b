//! What the demo measures: the same question asked three ways.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Result, ensure};

use super::asker::{A, AAAA, Answer, Question, Transport, ask};
use super::host::Host;

/// Some questions' times, in the order of asking.
#[derive(Clone, Debug, Default)]
pub(super) struct Times(Vec<Duration>);

/// The three ways that are set side by side.
#[derive(Clone, Debug)]
pub(super) struct Comparison {
    pub(super) family: &'static str,
    pub(super) direct: Times,
    pub(super) first_hit: Times,
    pub(super) cache_hit: Times,
}

/// Where the questions of a comparison go.
#[derive(Clone, Copy, Debug)]
pub(super) struct Targets {
    pub(super) family: &'static str,
    pub(super) server: SocketAddr,
    pub(super) upstream: SocketAddr,
}

/// How many names are asked for in a comparison.
const NAMES: u16 = 20;
/// How many times each is asked for again once it is cached.
const REPEATS: u16 = 5;

/// Asks for the same names directly, through the server for the first time, and through the server again.
pub(super) fn compare(client: &Host, targets: Targets) -> Result<Comparison> {
    client.inside(move || {
        let mut direct = Times::default();
        let mut first_hit = Times::default();
        let mut cache_hit = Times::default();
        for number in 0..NAMES {
            let question = question(targets.family, number);
            let straight = ask_well(targets.upstream, &question, number)?;
            let first = ask_well(targets.server, &question, number)?;
            ensure!(
                straight.addresses == first.addresses,
                "the server and its upstream disagree on {question:?}"
            );
            direct.0.push(straight.took);
            first_hit.0.push(first.took);
            for _ in 0..REPEATS {
                let again = ask_well(targets.server, &question, number)?;
                ensure!(
                    again.addresses == first.addresses,
                    "the cache and the upstream disagree on {question:?}"
                );
                cache_hit.0.push(again.took);
            }
        }
        Ok(Comparison {
            family: targets.family,
            direct,
            first_hit,
            cache_hit,
        })
    })?
}

/// The name `number` of the family's comparison; it is in the cache once [`compare`] is done.
pub(super) fn question(family: &str, number: u16) -> Question {
    Question {
        name: format!(
            "www{}.{}.example.org",
            number % NAMES,
            family.to_ascii_lowercase()
        ),
        qtype: if family == "IPv6" { AAAA } else { A },
    }
}

/// Asks for cached names over `transport` on the given host.
pub(super) fn ask_cached(
    host: &Host,
    server: SocketAddr,
    transport: Transport,
    count: u16,
) -> Result<Times> {
    host.inside(move || {
        let mut times = Times::default();
        for number in 0..count {
            times
                .0
                .push(ask(server, transport, &question("IPv4", number), number)?.took);
        }
        Ok(times)
    })?
}

fn ask_well(server: SocketAddr, question: &Question, id: u16) -> Result<Answer> {
    let answer = ask(server, Transport::Udp, question, id)?;
    ensure!(
        answer.rcode == 0 && !answer.addresses.is_empty(),
        "{server} has no address for {}",
        question.name
    );
    Ok(answer)
}

impl Times {
    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The time in the middle.
    pub(super) fn median(&self) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort();
        sorted.get(sorted.len() / 2).copied().unwrap_or_default()
    }

    /// The mean time.
    pub(super) fn mean(&self) -> Duration {
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX).max(1);
        self.0.iter().sum::<Duration>() / count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn median_and_mean() {
        let times = Times([1, 9, 2].map(Duration::from_millis).to_vec());
        assert_eq!(times.median(), Duration::from_millis(2));
        assert_eq!(times.mean(), Duration::from_millis(4));
        assert_eq!(Times::default().median(), Duration::ZERO);
        assert_eq!(Times::default().mean(), Duration::ZERO);
    }
}
