//! Every keyword: where it may stand, what it takes, and what becomes of it.
//!
//! One row feeds the parser, `checkconf`, and later the manual page and the shell completion. The names
//! are those of Unbound 1.26 and our own clause `xdp:`; what each takes is what its parser accepts.

mod arg;
mod clause;
mod keyword;
mod lookup;
mod other_clauses;
mod resolver;
mod service;
#[cfg(test)]
mod tests;
mod version;

pub use arg::Arg;
pub use clause::{Clause, Clauses};
pub use keyword::{Keyword, Status};
pub use lookup::{keyword, keywords};
pub use version::{Version, VersionError};
