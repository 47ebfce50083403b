use std::collections::BTreeMap;

use super::Resolver;
use crate::table::{Keyword, Status};
use crate::{Diagnostic, Span};

/// Says what has no effect, once for each keyword.
pub(super) fn report(resolver: &mut Resolver<'_>) {
    let mut seen: BTreeMap<&'static str, Seen> = BTreeMap::new();
    let mut see = |keyword: &'static Keyword, at| {
        seen.entry(keyword.name)
            .and_modify(|seen| seen.count += 1)
            .or_insert(Seen {
                keyword,
                at,
                count: 1,
            });
    };
    for clause in &resolver.tree.clauses {
        if matches!(clause.keyword.status, Status::NotBuilt { .. }) {
            // Shipped examples open clauses for nothing.
            if !clause.options.is_empty() {
                see(clause.keyword, clause.at);
            }
            continue;
        }
        for option in &clause.options {
            let quiet = match option.keyword.status {
                Status::NotBuilt { acts_as, .. } | Status::Partly { acts_as, .. } => {
                    !acts_as.is_empty() && resolver.text(option, 0) == acts_as
                }
                Status::Inert { .. } => resolver.text(option, 0).is_empty(),
                Status::Honoured | Status::Shared | Status::Engine => true,
            };
            if !quiet {
                see(option.keyword, option.at);
            }
        }
    }
    for seen in seen.into_values() {
        if let Some(diagnostic) = seen.diagnostic() {
            resolver.report(diagnostic);
        }
    }
}

/// A keyword that is worth a word.
struct Seen {
    keyword: &'static Keyword,
    at: Span,
    count: usize,
}

impl Seen {
    fn diagnostic(&self) -> Option<Diagnostic> {
        let name = self.keyword.written();
        let times = if self.count > 1 {
            format!(" ({} times)", self.count)
        } else {
            String::new()
        };
        Some(match self.keyword.status {
            Status::NotBuilt { instead, .. } => {
                Diagnostic::warning(self.at, format!("{name} has no effect yet{times}"))
                    .label(instead)
            }
            Status::Partly { missing, .. } => Diagnostic::warning(
                self.at,
                format!("{name} has only a part of its effect yet{times}"),
            )
            .label(missing),
            Status::Inert { why } => {
                Diagnostic::note(self.at, format!("{name} needs no effect{times}")).label(why)
            }
            Status::Honoured | Status::Shared | Status::Engine => return None,
        })
    }
}
