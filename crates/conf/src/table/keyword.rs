use super::{Arg, Clause, Clauses, Version};

/// One row of the table.
#[derive(Debug)]
pub struct Keyword {
    /// The name, without its colon.
    pub name: &'static str,
    /// The name whose meaning this one shares; its own name but for aliases.
    pub canonical: &'static str,
    /// The clauses it may stand in; none for the names that open a clause.
    pub clauses: Clauses,
    /// What follows it, one for each value. Empty for the names that open a clause.
    pub args: &'static [Arg],
    /// The clause it opens.
    pub opens: Option<Clause>,
    /// What becomes of it.
    pub status: Status,
    /// What holds when it is not written, as `-o` prints it; empty when nothing does.
    pub default: &'static str,
    /// The first Unbound that knows it. [`Version::ANY`] for those older than any that is still in use.
    pub since: Version,
}

/// What becomes of an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Done here.
    Honoured,
    /// Done here, and handed to libunbound too, since it concerns both sides.
    Shared,
    /// Handed to libunbound unchanged.
    Engine,
    /// Accepted without effect.
    Inert {
        /// Why none is needed.
        why: &'static str,
    },
    /// Handed to libunbound, which does only a part of it without the server around it.
    Partly {
        /// The value with which nothing is missed; it raises no warning.
        acts_as: &'static str,
        /// What is missing.
        missing: &'static str,
    },
    /// Known, but not built.
    NotBuilt {
        /// The value with which nothing is missed; it raises no warning.
        acts_as: &'static str,
        /// What happens instead.
        instead: &'static str,
    },
}

impl Status {
    /// Whether libunbound gets it.
    pub fn reaches_engine(self) -> bool {
        matches!(self, Self::Shared | Self::Engine | Self::Partly { .. })
    }
}

// The constructors below keep a row on a line.

/// A row of the server clause.
const fn row(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
    status: Status,
) -> Keyword {
    let clauses = Clauses::of(&[Clause::Server]);
    Keyword {
        name,
        canonical: name,
        clauses,
        args,
        opens: None,
        status,
        default,
        since: Version::ANY,
    }
}

pub(super) const fn honoured(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
) -> Keyword {
    row(name, args, default, Status::Honoured)
}

pub(super) const fn shared(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
) -> Keyword {
    row(name, args, default, Status::Shared)
}

pub(super) const fn engine(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
) -> Keyword {
    row(name, args, default, Status::Engine)
}

pub(super) const fn inert(
    name: &'static str,
    args: &'static [Arg],
    default: &'static str,
    why: &'static str,
) -> Keyword {
    row(name, args, default, Status::Inert { why })
}

pub(super) const fn later(
    name: &'static str,
    args: &'static [Arg],
    (default, acts_as): (&'static str, &'static str),
    instead: &'static str,
) -> Keyword {
    row(name, args, default, Status::NotBuilt { acts_as, instead })
}

pub(super) const fn partly(
    name: &'static str,
    args: &'static [Arg],
    (default, acts_as): (&'static str, &'static str),
    missing: &'static str,
) -> Keyword {
    row(name, args, default, Status::Partly { acts_as, missing })
}

pub(super) const fn clause(opens: Clause, name: &'static str, status: Status) -> Keyword {
    let row = row(name, &[], "", status);
    Keyword {
        clauses: Clauses::of(&[]),
        opens: Some(opens),
        ..row
    }
}

impl Keyword {
    /// The name with its colon.
    pub(crate) fn written(&self) -> String {
        format!("`{}:`", self.name)
    }

    pub(super) const fn within(self, clauses: &[Clause]) -> Self {
        Self {
            clauses: Clauses::of(clauses),
            ..self
        }
    }

    pub(super) const fn means(self, canonical: &'static str) -> Self {
        Self { canonical, ..self }
    }

    pub(super) const fn since(self, minor: u8, patch: u8) -> Self {
        Self {
            since: Version::new(1, minor, patch),
            ..self
        }
    }
}

impl Keyword {
    /// Whether each line adds to those before it; else the last one wins.
    pub fn accumulates(&self) -> bool {
        self.args.len() > 1 || LISTS.contains(&self.canonical)
    }
}

/// Options of one value that may be given again, each time for another thing.
const LISTS: &[&str] = &[
    "allow-notify",
    "auto-trust-anchor-file",
    "caps-exempt",
    "client-subnet-zone",
    "control-interface",
    "define-tag",
    "dns64-ignore-aaaa",
    "do-not-query-address",
    "domain-insecure",
    "dynlib-file",
    "forward-addr",
    "forward-host",
    "interface",
    "ipsecmod-allow",
    "local-data",
    "local-data-ptr",
    "name",
    "outgoing-interface",
    "outgoing-port-avoid",
    "outgoing-port-permit",
    "primary",
    "private-address",
    "private-domain",
    "proxy-protocol-port",
    "python-script",
    "root-hints",
    "send-client-subnet",
    "stub-addr",
    "stub-host",
    "tls-additional-port",
    "tls-session-ticket-keys",
    "trust-anchor",
    "trust-anchor-file",
    "trusted-keys-file",
    "url",
];
