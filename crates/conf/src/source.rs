use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Span;

/// Every file that was read, in the order of reading.
#[derive(Clone, Debug, Default)]
pub struct SourceMap {
    sources: Vec<Source>,
}

/// One file, or one text that stands for a file.
#[derive(Clone, Debug)]
pub struct Source {
    /// What the file was opened as.
    pub path: PathBuf,
    /// Its text. Bytes that are not UTF-8 were replaced by U+FFFD.
    pub text: Arc<str>,
    /// The `include:` that brought it in; [`Span::NONE`] for the first file.
    pub included_at: Span,
    /// Where each line but the first begins.
    line_starts: Vec<u32>,
}

/// A place as people count it: both from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineColumn {
    /// The line.
    pub line: usize,
    /// The character in the line.
    pub column: usize,
}

impl SourceMap {
    /// Takes a file in.
    pub(crate) fn add(&mut self, path: &Path, bytes: &[u8], included_at: Span) -> u32 {
        let text: Arc<str> = Arc::from(String::from_utf8_lossy(bytes));
        let newlines = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let line_starts = newlines.map(|(index, _)| index as u32 + 1).collect();
        self.sources.push(Source {
            path: path.to_owned(),
            text,
            included_at,
            line_starts,
        });
        (self.sources.len() - 1) as u32
    }

    /// The file that a span stands in; `None` for [`Span::NONE`].
    pub fn source(&self, span: Span) -> Option<&Source> {
        self.sources.get(span.source as usize)
    }

    /// All files, in the order of reading.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// The text of a span; empty for [`Span::NONE`].
    pub fn text(&self, span: Span) -> &str {
        self.source(span)
            .and_then(|s| s.text.get(span.start as usize..span.end as usize))
            .unwrap_or_default()
    }

    /// Line and column where a span begins; `None` for [`Span::NONE`].
    pub fn line_column(&self, span: Span) -> Option<LineColumn> {
        let source = self.source(span)?;
        let lines_before = source
            .line_starts
            .partition_point(|&start| start <= span.start);
        let line_start = lines_before
            .checked_sub(1)
            .map_or(0, |last| source.line_starts[last]);
        let before = source.text.get(line_start as usize..span.start as usize)?;
        Some(LineColumn {
            line: lines_before + 1,
            column: before.chars().count() + 1,
        })
    }

    /// `file:line:column`, as compilers write it; empty for [`Span::NONE`].
    pub fn place(&self, span: Span) -> String {
        match (self.source(span), self.line_column(span)) {
            (Some(source), Some(at)) => {
                format!("{}:{}:{}", source.path.display(), at.line, at.column)
            }
            _ => String::new(),
        }
    }
}
