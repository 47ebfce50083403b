use std::collections::HashMap;
use std::sync::LazyLock;

use super::{Keyword, other_clauses, resolver, service};

/// Every keyword, by theme.
pub fn keywords() -> impl Iterator<Item = &'static Keyword> {
    [service::ROWS, resolver::ROWS, other_clauses::ROWS]
        .into_iter()
        .flatten()
}

/// The row of a name, which is written without its colon. A name means the same in every clause it may
/// stand in.
pub fn keyword(name: &str) -> Option<&'static Keyword> {
    BY_NAME.get(name).copied()
}

static BY_NAME: LazyLock<HashMap<&'static str, &'static Keyword>> =
    LazyLock::new(|| keywords().map(|row| (row.name, row)).collect());
