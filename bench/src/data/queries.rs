use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Result;

use super::{Kind, Name, Random, Zipf};

/// How names are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Draw {
    Uniform,
    /// With exponent 1.
    Zipf,
}

/// What is asked in a case.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Queries {
    /// How many names there are.
    pub(crate) names: u32,
    pub(crate) draw: Draw,
    /// What the names have.
    pub(crate) kind: Kind,
    /// Of 100 queries so many are for names that no cache may remember.
    pub(crate) fresh_percent: u32,
    /// Of 100 queries so many have EDNS with DO.
    pub(crate) dnssec_percent: u32,
}

/// A sequence of queries on disk, in the formats of both generators.
pub(crate) struct QueryFile {
    /// For kxdpgun: `name type flags`.
    pub(crate) kxdpgun: PathBuf,
    /// For dnsperf: `name type`.
    pub(crate) dnsperf: PathBuf,
}

/// How many queries are written at least and at most; the generators start over at the end.
const MIN_QUERIES: u32 = 100_000;
const MAX_QUERIES: u32 = 2_000_000;
const SEED: u64 = 0x51_0ce6_a7e5;

impl Queries {
    /// All names that a cache can know, in order.
    pub(crate) fn all(self) -> impl Iterator<Item = Name> {
        let kind = self.kind;
        (0..self.names).map(move |number| Name { kind, number })
    }

    /// Writes the queries below `dir` as `name`.
    pub(crate) fn write(self, dir: &Path, name: &str) -> Result<QueryFile> {
        let file = QueryFile {
            kxdpgun: dir.join(format!("{name}.kxdpgun")),
            dnsperf: dir.join(format!("{name}.dnsperf")),
        };
        let mut kxdpgun = BufWriter::new(fs::File::create(&file.kxdpgun)?);
        let mut dnsperf = BufWriter::new(fs::File::create(&file.dnsperf)?);
        for (name, dnssec_ok) in self.sequence() {
            let flags = match (dnssec_ok, name.kind) {
                (true, _) => " D",
                (false, Kind::Large) => " E",
                (false, _) => "",
            };
            writeln!(kxdpgun, "{name}. {}{flags}", name.type_text())?;
            writeln!(dnsperf, "{name}. {}", name.type_text())?;
        }
        kxdpgun.flush()?;
        dnsperf.flush()?;
        Ok(file)
    }

    /// The queries in the order they are asked, and whether each has DO.
    pub(crate) fn sequence(self) -> impl Iterator<Item = (Name, bool)> {
        let mut random = Random::new(SEED);
        let zipf = (self.draw == Draw::Zipf).then(|| Zipf::new(self.names));
        let length = self.names.saturating_mul(2).clamp(MIN_QUERIES, MAX_QUERIES);
        (0..length).map(move |at| {
            let number = match &zipf {
                Some(zipf) => zipf.draw(&mut random),
                None => random.below(self.names),
            };
            let known = Name {
                kind: self.kind,
                number,
            };
            let fresh = Name {
                kind: Kind::Fresh,
                number: at,
            };
            let name = if random.below(100) < self.fresh_percent {
                fresh
            } else {
                known
            };
            (name, random.below(100) < self.dnssec_percent)
        })
    }
}
