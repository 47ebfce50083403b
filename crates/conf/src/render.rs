use annotate_snippets::{Annotation, AnnotationKind, Element, Group, Level, Renderer, Snippet};

use crate::{Diagnostic, Severity, SourceMap, Span};

/// Diagnostics as text for a person, in the form of rustc's; errors first, each kind in the order of the
/// files.
///
/// At most [`MAX_SHOWN`] of each kind are shown; a line tells how many more there are. Empty when there is
/// nothing to say; otherwise ends in a newline.
pub fn render(diagnostics: &[Diagnostic], sources: &SourceMap, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let mut out = String::new();
    for severity in [Severity::Error, Severity::Warning, Severity::Note] {
        let mut kind: Vec<&Diagnostic> = diagnostics
            .iter()
            .filter(|d| d.severity == severity)
            .collect();
        kind.sort_by_key(|d| d.span);
        for diagnostic in kind.iter().take(MAX_SHOWN) {
            out.push_str(&renderer.render(&groups(diagnostic, sources)));
            out.push_str("\n\n");
        }
        if let Some(more @ 1..) = kind.len().checked_sub(MAX_SHOWN) {
            out.push_str(
                &renderer.render(&[title(severity, &format!("and {more} more like these"))]),
            );
            out.push_str("\n\n");
        }
    }
    if out.ends_with("\n\n") {
        out.pop();
    }
    out
}

/// How many diagnostics of one kind [`render`] shows.
pub const MAX_SHOWN: usize = 20;

/// A line longer than this is shown cut: a blocklist may stand on one line.
const MAX_LINE_BYTES: usize = 400;

/// Two places further apart than this are shown one by one.
const MAX_EXCERPT_BYTES: u32 = 16 << 10;

fn title(severity: Severity, message: &str) -> Group<'static> {
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    Group::with_title(level.primary_title(printable(message)))
}

fn groups(diagnostic: &Diagnostic, sources: &SourceMap) -> Vec<Group<'static>> {
    let mut group = title(diagnostic.severity, &diagnostic.message);
    let primary = Mark {
        span: diagnostic.span,
        kind: AnnotationKind::Primary,
        label: diagnostic.label.as_deref(),
    };
    let related = diagnostic.related.as_ref();
    let related = related.map(|(span, label)| Mark {
        span: *span,
        kind: AnnotationKind::Context,
        label: Some(label),
    });
    match related {
        Some(related) if primary.is_near(&related) => {
            group = group.elements(snippet(sources, &[primary, related]));
        }
        _ => {
            group = group.elements(snippet(sources, &[primary]));
            group = group.elements(related.and_then(|related| snippet(sources, &[related])));
        }
    }
    if let Some(source) = sources.source(diagnostic.span)
        && source.included_at != Span::NONE
    {
        let from = format!("included from {}", sources.place(source.included_at));
        group = group.element(Element::from(Level::NOTE.message(printable(&from))));
    }
    if let Some(help) = &diagnostic.help {
        group = group.element(Element::from(Level::HELP.message(printable(help))));
    }
    vec![group]
}

/// A place to underline.
struct Mark<'a> {
    span: Span,
    kind: AnnotationKind,
    label: Option<&'a str>,
}

impl Mark<'_> {
    /// Whether one excerpt can show both.
    fn is_near(&self, other: &Self) -> bool {
        self.span.source == other.span.source
            && self.span.start.abs_diff(other.span.start) < MAX_EXCERPT_BYTES
    }
}

/// The lines from the first mark to the last, which must stand in one file; nothing for places in no file.
/// Only those lines are given to the renderer, so that a long file costs nothing.
fn snippet(
    sources: &SourceMap,
    marks: &[Mark<'_>],
) -> Option<Snippet<'static, Annotation<'static>>> {
    let first = marks.iter().map(|mark| mark.span).min()?;
    let last = marks.iter().map(|mark| mark.span).max()?;
    let source = sources.source(first)?;
    let text = &*source.text;
    let (start, end) = (first.start as usize, last.end as usize);
    let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = text[end..]
        .find('\n')
        .map_or(text.len(), |newline| end + newline);
    let from = floor(
        text,
        line_start.max(start.saturating_sub(MAX_LINE_BYTES / 2)),
    );
    let to = floor(
        text,
        line_end.min(end.min(start + MAX_EXCERPT_BYTES as usize) + MAX_LINE_BYTES / 2),
    );
    let excerpt = text[from..to].trim_end_matches('\r');
    let mut snippet = Snippet::source(excerpt.to_owned())
        .line_start(sources.line_column(first)?.line)
        .path(printable(&source.path.display().to_string()));
    for mark in marks {
        let within = |index: u32| floor(excerpt, index as usize - from);
        let range = within(mark.span.start)..within(mark.span.end);
        snippet = snippet.annotation(mark.kind.span(range).label(mark.label.map(printable)));
    }
    Some(snippet)
}

/// The char boundary at or before `index`.
fn floor(text: &str, index: usize) -> usize {
    (0..=index.min(text.len()))
        .rev()
        .find(|&i| text.is_char_boundary(i))
        .unwrap_or(0)
}

/// Control characters in a message would move the terminal's cursor.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| {
            if c.is_control() && c != '\n' {
                '\u{fffd}'
            } else {
                c
            }
        })
        .collect()
}
