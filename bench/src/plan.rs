//! The cases, and who runs in which.

use crate::contender::Contender;
use crate::data::{Draw, Kind, Queries, WORLD_NAMES};
use crate::load::MAX_ROUNDS;
use crate::measure::Load;

/// What is measured of which servers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) content: Content,
    pub(crate) queries: Queries,
    pub(crate) v6: bool,
    pub(crate) queues: u32,
    pub(crate) loads: &'static [Load],
    pub(crate) contenders: &'static [Contender],
    pub(crate) weight: Weight,
    pub(crate) when: When,
}

/// How much hangs on a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Weight {
    Main,
    Side,
}

/// Where the answers come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Content {
    /// The upstream, once; then the cache. Servers without a cache have a zone.
    Cached,
    /// Local data, or a zone.
    Local,
    /// A world of zones, asked from its root on.
    World,
    /// Nobody may ask; servers without access control are asked about what they do not serve.
    Refused,
}

/// Which runs have a case that was not asked for by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    /// Those of `BENCH=full`.
    Full,
    /// None: filling the cache takes many minutes.
    Named,
}

/// How long a run takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Effort {
    /// Some minutes.
    Quick,
    /// All cases, more and longer rounds.
    Full,
    /// Only to see that everything runs.
    Smoke,
}

impl Effort {
    /// How often everything of a case is measured.
    pub(crate) fn rounds(self, case: &Case) -> u32 {
        let rounds = match (self, case.weight) {
            (Self::Smoke, _) | (Self::Quick, Weight::Side) => 1,
            (Self::Quick, Weight::Main) => 3,
            (Self::Full, Weight::Main) => 7,
            (Self::Full, Weight::Side) => 5,
        };
        match (case.content, self) {
            // Memory is looked at after the second round.
            (Content::World, Self::Quick | Self::Full) => rounds.clamp(2, MAX_ROUNDS),
            _ => rounds,
        }
    }

    /// How long one load lasts in seconds.
    pub(crate) fn secs(self) -> u64 {
        match self {
            Self::Smoke | Self::Quick => 1,
            Self::Full => 3,
        }
    }

    /// How many single queries a round has.
    pub(crate) fn singles(self) -> usize {
        match self {
            Self::Smoke => 2_000,
            Self::Quick => 10_000,
            Self::Full => 50_000,
        }
    }
}

/// The rate of [`Load::Paced`], in queries per second.
pub(crate) const PACED_PER_SEC: u32 = 150_000;

const FLAT: &[Load] = &[Load::Flat];
const PACED: &[Load] = &[Load::Paced];
const BOTH: &[Load] = &[Load::Flat, Load::Paced];
const LATENCY: &[Load] = &[Load::Single, Load::Polled, Load::Half, Load::Idle];
const MISSES: &[Load] = &[Load::Misses, Load::Mixed, Load::LoneMiss];

use Contender::{
    Dnsdist, Echo, KnotUdp, KnotXdp, Recursor, Reflector, SluicegateBusyPoll, SluicegateKernel,
    SluicegateXdp, Unbound,
};

const EVERYONE: &[Contender] = &[
    Reflector,
    Echo,
    SluicegateXdp,
    SluicegateKernel,
    KnotXdp,
    KnotUdp,
    Unbound,
    Dnsdist,
    Recursor,
];
const SERVERS: &[Contender] = &[
    SluicegateXdp,
    SluicegateKernel,
    KnotXdp,
    KnotUdp,
    Unbound,
    Dnsdist,
    Recursor,
];
const LOCALS: &[Contender] = &[SluicegateXdp, SluicegateKernel, KnotXdp, KnotUdp, Unbound];
/// Those that tell a signature without looking at it.
const SEALED: &[Contender] = &[
    SluicegateXdp,
    SluicegateKernel,
    KnotXdp,
    KnotUdp,
    Unbound,
    Dnsdist,
];
const CACHES: &[Contender] = &[SluicegateXdp, SluicegateKernel, Unbound, Dnsdist, Recursor];
const LATENT: &[Contender] = &[
    SluicegateXdp,
    SluicegateBusyPoll,
    SluicegateKernel,
    KnotXdp,
    KnotUdp,
    Unbound,
    Dnsdist,
    Recursor,
];
const RESOLVERS: &[Contender] = &[SluicegateXdp, SluicegateKernel, Unbound, Recursor];
const SIZES: &[Contender] = &[SluicegateXdp, KnotXdp, Unbound];

const HITS: Case = Case {
    name: "hits",
    title: "Hits of 10,000 names",
    content: Content::Cached,
    queries: Queries {
        names: 10_000,
        draw: Draw::Uniform,
        kind: Kind::Known,
        fresh_percent: 0,
        dnssec_percent: 0,
    },
    v6: false,
    queues: 1,
    loads: BOTH,
    contenders: EVERYONE,
    weight: Weight::Side,
    when: When::Always,
};

const fn sized(name: &'static str, title: &'static str, names: u32, draw: Draw) -> Case {
    Case {
        name,
        title,
        queries: Queries {
            names,
            draw,
            ..HITS.queries
        },
        contenders: SIZES,
        loads: PACED,
        when: if names > 100_000 {
            When::Full
        } else {
            When::Always
        },
        ..HITS
    }
}

const fn missing(name: &'static str, title: &'static str, kind: Kind, threads: u32) -> Case {
    Case {
        name,
        title,
        content: Content::World,
        queries: Queries {
            names: WORLD_NAMES,
            kind,
            ..HITS.queries
        },
        queues: threads,
        loads: MISSES,
        contenders: RESOLVERS,
        ..HITS
    }
}

/// All cases, in the order they are run and shown.
pub(crate) const CASES: [Case; 22] = [
    Case {
        weight: Weight::Main,
        ..HITS
    },
    Case {
        name: "latency",
        title: "Round trips: one query at a time, and at half load",
        loads: LATENCY,
        contenders: LATENT,
        weight: Weight::Main,
        ..HITS
    },
    Case {
        name: "first-hit",
        title: "Round trips for names that only the upstream knows",
        queries: Queries {
            fresh_percent: 100,
            ..HITS.queries
        },
        loads: &[Load::Single],
        contenders: CACHES,
        ..HITS
    },
    Case {
        name: "local",
        title: "Local data, 10,000 names",
        content: Content::Local,
        contenders: LOCALS,
        loads: FLAT,
        ..HITS
    },
    Case {
        name: "refused",
        title: "REFUSED for all",
        content: Content::Refused,
        contenders: LOCALS,
        loads: FLAT,
        ..HITS
    },
    Case {
        name: "hits-90",
        title: "90 % hits, 10 % of the upstream",
        queries: Queries {
            fresh_percent: 10,
            ..HITS.queries
        },
        contenders: CACHES,
        loads: FLAT,
        ..HITS
    },
    Case {
        name: "dnssec-ok",
        title: "Hits of signed names, half of the queries with DO",
        queries: Queries {
            kind: Kind::Sealed,
            dnssec_percent: 50,
            ..HITS.queries
        },
        contenders: SEALED,
        loads: FLAT,
        ..HITS
    },
    Case {
        name: "ipv6",
        title: "Hits over IPv6",
        v6: true,
        contenders: SERVERS,
        loads: FLAT,
        ..HITS
    },
    Case {
        name: "large",
        title: "Hits of 1,200 bytes",
        queries: Queries {
            kind: Kind::Large,
            ..HITS.queries
        },
        contenders: SERVERS,
        loads: FLAT,
        ..HITS
    },
    Case {
        name: "two-queues",
        title: "Hits on a cable with two queues, server and dnsperf on both processors",
        queues: 2,
        contenders: SERVERS,
        loads: &[Load::Flows],
        ..HITS
    },
    missing(
        "misses-plain",
        "Misses: recursion in an unsigned zone",
        Kind::Plain,
        1,
    ),
    missing(
        "misses-signed",
        "Misses: recursion and validation in a signed zone",
        Kind::Signed,
        1,
    ),
    missing(
        "misses-plain-2",
        "Misses: recursion in an unsigned zone, two threads",
        Kind::Plain,
        2,
    ),
    missing(
        "misses-signed-2",
        "Misses: recursion and validation in a signed zone, two threads",
        Kind::Signed,
        2,
    ),
    sized("names-1k", "1,000 names, uniform", 1_000, Draw::Uniform),
    sized("names-1k-zipf", "1,000 names, Zipf", 1_000, Draw::Zipf),
    sized(
        "names-100k",
        "100,000 names, uniform",
        100_000,
        Draw::Uniform,
    ),
    sized(
        "names-100k-zipf",
        "100,000 names, Zipf",
        100_000,
        Draw::Zipf,
    ),
    sized(
        "names-1m",
        "1,000,000 names, uniform",
        1_000_000,
        Draw::Uniform,
    ),
    Case {
        when: When::Always,
        ..sized(
            "names-1m-zipf",
            "1,000,000 names, Zipf",
            1_000_000,
            Draw::Zipf,
        )
    },
    // Filling ten million names into a server takes minutes: ours alone, and only when asked for by name.
    Case {
        contenders: &[SluicegateXdp],
        when: When::Named,
        ..sized(
            "names-10m",
            "10,000,000 names, uniform",
            10_000_000,
            Draw::Uniform,
        )
    },
    Case {
        contenders: &[SluicegateXdp],
        when: When::Named,
        ..sized(
            "names-10m-zipf",
            "10,000,000 names, Zipf",
            10_000_000,
            Draw::Zipf,
        )
    },
];
