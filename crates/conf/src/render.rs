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

fn title(severity: Severity, message: &str) -> Group<'static> {
    let level = match severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Note => Level::NOTE,
    };
    Group::with_title(level.primary_title(printable(message)))
}

fn groups<'a>(diagnostic: &'a Diagnostic, sources: &'a SourceMap) -> Vec<Group<'a>> {
    let mut group = title(diagnostic.severity, &diagnostic.message);
    let primary = Excerpt::of(sources, diagnostic.span);
    if let Some(excerpt) = &primary {
        group =
            group.element(excerpt.snippet(AnnotationKind::Primary, diagnostic.label.as_deref()));
    }
    if let Some((span, label)) = &diagnostic.related
        && let Some(excerpt) = Excerpt::of(sources, *span)
    {
        group = group.element(excerpt.snippet(AnnotationKind::Context, Some(label)));
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

/// The line a span stands in, as the renderer wants it: only that line, so that a long file costs nothing.
struct Excerpt {
    path: String,
    line: String,
    number: usize,
    start: usize,
    end: usize,
}

impl Excerpt {
    fn of(sources: &SourceMap, span: Span) -> Option<Self> {
        let source = sources.source(span)?;
        let at = sources.line_column(span)?;
        let text = &source.text;
        let (start, end) = (span.start as usize, span.end as usize);
        let line_start = text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = text[start..]
            .find('\n')
            .map_or(text.len(), |newline| start + newline);
        let from = floor(
            text,
            line_start.max(start.saturating_sub(MAX_LINE_BYTES / 2)),
        );
        let to = floor(text, line_end.min(from + MAX_LINE_BYTES)).max(start);
        let line = &text[from..to];
        Some(Self {
            path: printable(&source.path.display().to_string()),
            line: line.trim_end_matches('\r').to_owned(),
            number: at.line,
            start: start - from,
            end: end.min(to).max(start) - from,
        })
    }

    fn snippet<'a>(
        &self,
        kind: AnnotationKind,
        label: Option<&'a str>,
    ) -> Snippet<'a, Annotation<'a>> {
        let length = self.line.len();
        let range = self.start.min(length)..self.end.min(length);
        Snippet::source(self.line.clone())
            .line_start(self.number)
            .path(self.path.clone())
            .annotation(kind.span(range).label(label))
    }
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
