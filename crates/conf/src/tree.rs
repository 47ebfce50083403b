use crate::lexer::Value;
use crate::table::{Clause, Keyword};
use crate::{SourceMap, Span};

/// The configuration as it was written: clauses in order, each with its options in order.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    pub(crate) clauses: Vec<ClauseNode>,
}

/// A clause as it was written.
#[derive(Debug)]
pub(crate) struct ClauseNode {
    pub(crate) clause: Clause,
    pub(crate) keyword: &'static Keyword,
    pub(crate) at: Span,
    pub(crate) options: Vec<OptionNode>,
}

/// An option as it was written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptionNode {
    pub(crate) keyword: &'static Keyword,
    pub(crate) at: Span,
    values: [Value; MAX_VALUES],
    count: u8,
}

/// No keyword takes more values.
pub(crate) const MAX_VALUES: usize = 3;

impl OptionNode {
    /// An option with its values, of which only the first three are kept.
    pub(crate) fn new(keyword: &'static Keyword, at: Span, values: &[Value]) -> Option<Self> {
        let mut kept = [*values.first()?; MAX_VALUES];
        let count = values.len().min(MAX_VALUES);
        kept[..count].copy_from_slice(&values[..count]);
        Some(Self {
            keyword,
            at,
            values: kept,
            count: count as u8,
        })
    }

    /// Its values.
    pub(crate) fn values(&self) -> &[Value] {
        &self.values[..usize::from(self.count)]
    }

    /// From the keyword to the last value.
    pub(crate) fn whole(&self) -> Span {
        self.values()
            .last()
            .map_or(self.at, |value| self.at.to(value.span))
    }

    /// Where the first value stands.
    pub(crate) fn first(&self) -> Span {
        self.values[0].span
    }

    /// The text of a value; empty when there are fewer.
    pub(crate) fn text<'s>(&self, index: usize, sources: &'s SourceMap) -> &'s str {
        self.values()
            .get(index)
            .map_or("", |value| sources.text(value.span))
    }
}

impl Tree {
    /// All options of the clauses of one kind, in order.
    pub(crate) fn options(&self, clause: Clause) -> impl Iterator<Item = &OptionNode> {
        self.clauses
            .iter()
            .filter(move |node| node.clause == clause)
            .flat_map(|node| &node.options)
    }
}
