//! Every keyword: where it may stand, what it takes, and what becomes of it.
//!
//! One row feeds the parser, `checkconf`, and later the manual page and the shell completion. The names
//! are those of Unbound 1.26 and our own clause `xdp:`; what each takes is what its parser accepts.

mod clauses;
mod keyword;
mod resolver;
mod service;
#[cfg(test)]
mod tests;

pub use keyword::{Arg, Clause, Clauses, Keyword, Status, Version, VersionError};

/// Every keyword, by theme.
pub fn keywords() -> impl Iterator<Item = &'static Keyword> {
    [service::ROWS, resolver::ROWS, clauses::ROWS]
        .into_iter()
        .flatten()
}

/// The row of a name, which is written without its colon.
///
/// `enable` and `mode` stand in one clause only, as all others do: a name means the same everywhere.
pub fn keyword(name: &str) -> Option<&'static Keyword> {
    lookup::BY_NAME.get(name).copied()
}

mod lookup {
    use std::collections::HashMap;
    use std::sync::LazyLock;

    use super::{Keyword, keywords};

    pub(super) static BY_NAME: LazyLock<HashMap<&'static str, &'static Keyword>> =
        LazyLock::new(|| keywords().map(|row| (row.name, row)).collect());
}
