//! `unbound.conf`, read as Unbound reads it, with every mistake named by file, line and column.
//!
//! [`load()`] reads a file with all that it includes, in two stages: first a tree of clauses and options, each
//! with its [`Span`]; then one immutable [`Config`], together with the [`Diagnostic`]s. [`table::keywords`]
//! has a row for every keyword: where it may stand, what it takes, and what becomes of it.

#![forbid(unsafe_code)]

mod config;
mod defaults;
mod diagnostic;
mod lexer;
mod load;
mod origin;
mod outdated;
mod parse;
mod pattern;
mod reader;
mod render;
mod resolve;
mod responses;
mod source;
mod span;
mod suggest;
pub mod table;
mod tags;
mod tree;
mod value;

pub use config::*;
pub use diagnostic::{Diagnostic, Severity, has_errors};
pub use load::{LoadOptions, Loaded, check, load, load_text};
pub use outdated::Outdated;
pub use render::{MAX_SHOWN, render};
pub use responses::{ResponseRule, ResponseTrait};
pub use source::{LineColumn, Source, SourceMap};
pub use span::{At, Span};
pub use table::Version;
pub use tags::{ClientRule, ClientTrait, TagConfig, TagSet, ZoneOverride};
