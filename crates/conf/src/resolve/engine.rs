use std::collections::BTreeMap;
use std::fmt::Write;

use super::places::Places;
use super::{Resolver, secure};
use crate::lexer::{Quote, Value};
use crate::table::{Arg, Clause, Keyword};
use crate::tree::{ClauseNode, OptionNode};
use crate::{Diagnostic, Span};

/// The engine's part of the configuration: the options that reach it, as they were written and in their
/// order, each with the file and line it comes from.
pub(super) fn text(resolver: &mut Resolver<'_>, places: &Places) -> String {
    let mut writer = Writer {
        text: String::from(PREAMBLE),
        secure: secure::Secure::of(resolver),
        source: u32::MAX,
        too_new: BTreeMap::new(),
    };
    let tree = resolver.tree;
    for clause in &tree.clauses {
        let has_any = clause
            .options
            .iter()
            .any(|option| option.keyword.status.reaches_engine());
        if clause.keyword.status.reaches_engine() || (clause.clause == Clause::Server && has_any) {
            writer.clause(resolver, places, clause);
        }
    }
    for (keyword, (at, count)) in writer
        .too_new
        .into_values()
        .map(|(keyword, at, count)| (keyword, (at, count)))
    {
        if let Some(version) = resolver.options.engine_version {
            let times = if count > 1 {
                format!(" ({count} times)")
            } else {
                String::new()
            };
            let message = format!(
                "{} needs libunbound {}{times}",
                keyword.written(),
                keyword.since
            );
            let label = format!("left out: {version} is installed");
            resolver.report(Diagnostic::warning(at, message).label(label));
        }
    }
    writer.text
}

/// Zones that libunbound answers by itself hide what the configuration says of them: local zones are
/// answered before the engine is asked, and by nobody else.
const PREAMBLE: &str = "\
# Local zones are answered before libunbound is asked: its own are switched off.
server:
    unblock-lan-zones: yes
    local-zone: \"localhost.\" nodefault
    local-zone: \"127.in-addr.arpa.\" nodefault
    local-zone: \"1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.\" nodefault
    local-zone: \"home.arpa.\" nodefault
    local-zone: \"resolver.arpa.\" nodefault
    local-zone: \"service.arpa.\" nodefault
    local-zone: \"onion.\" nodefault
    local-zone: \"test.\" nodefault
    local-zone: \"invalid.\" nodefault
";

struct Writer {
    text: String,
    /// What is asked over TLS.
    secure: secure::Secure,
    /// The file of the last line.
    source: u32,
    /// Options newer than libunbound: the first place, and how many.
    too_new: BTreeMap<&'static str, (&'static Keyword, Span, usize)>,
}

impl Writer {
    fn clause(&mut self, resolver: &mut Resolver<'_>, places: &Places, clause: &ClauseNode) {
        self.origin(resolver, clause.at);
        let line = line(resolver, clause.at);
        let _ = writeln!(self.text, "{}: # line {line}", clause.keyword.name);
        let over_tls = self.secure.has(resolver, clause);
        if over_tls {
            // A line that stands for the zone's own on TLS and TCP.
            let prefix = secure::prefix(clause.clause);
            let _ = writeln!(self.text, "    {prefix}-tcp-upstream: yes # line {line}");
        }
        for option in clause
            .options
            .iter()
            .filter(|option| option.keyword.status.reaches_engine())
        {
            if over_tls && secure::is_replaced(option) {
                continue;
            }
            if !secure::is_relays(option) && is_too_new(resolver, clause, option) {
                let entry = self.too_new.entry(option.keyword.name);
                entry.and_modify(|(_, _, count)| *count += 1).or_insert((
                    option.keyword,
                    option.whole(),
                    1,
                ));
                continue;
            }
            match secure::upstream_option(option).filter(|_| over_tls) {
                Some(name) => self.upstream(resolver, name, option),
                None => self.option(resolver, places, option),
            }
        }
    }

    /// An upstream over TLS.
    fn upstream(&mut self, resolver: &Resolver<'_>, name: &str, option: &OptionNode) {
        self.origin(resolver, option.at);
        let line = line(resolver, option.at);
        let upstream = self.secure.upstream(resolver.text(option, 0));
        let _ = writeln!(self.text, "    {name}: {upstream} # line {line}");
    }

    fn option(&mut self, resolver: &mut Resolver<'_>, places: &Places, option: &OptionNode) {
        let mut values = Vec::new();
        for (arg, value) in option.keyword.args.iter().zip(option.values()) {
            values.push(match arg {
                _ if option.keyword.name == "module-config" => {
                    Ok(modules(resolver, option, *value))
                }
                Arg::Path | Arg::ReadFile | Arg::ReadFiles => file(resolver, places, *value),
                _ => Ok(as_written(resolver, *value)),
            });
        }
        match values
            .into_iter()
            .collect::<Result<Vec<_>, Box<Diagnostic>>>()
        {
            Ok(values) => {
                self.origin(resolver, option.at);
                let line = line(resolver, option.at);
                // libunbound is not told what concerns TLS: without OpenSSL it takes none of it.
                let (hidden, name) = if secure::is_relays(option) {
                    ("#", option.keyword.canonical)
                } else {
                    ("", option.keyword.name)
                };
                let values = values.join(" ");
                let _ = writeln!(self.text, "    {hidden}{name}: {values} # line {line}");
            }
            Err(error) => resolver.report(*error),
        }
    }

    /// Says which file the next lines come from, when it is another.
    fn origin(&mut self, resolver: &Resolver<'_>, at: Span) {
        if at.source != self.source {
            self.source = at.source;
            let path = resolver
                .sources
                .source(at)
                .map(|source| source.path.display().to_string());
            let path: String = path
                .unwrap_or_default()
                .chars()
                .filter(|c| !c.is_control())
                .collect();
            let _ = writeln!(self.text, "# {path}");
        }
    }
}

/// Whether libunbound would stumble over an option.
fn is_too_new(resolver: &Resolver<'_>, clause: &ClauseNode, option: &OptionNode) -> bool {
    let newer = |version| option.keyword.since > version;
    let of_server = clause.clause == Clause::Server;
    resolver.options.engine_version.is_some_and(newer)
        && !(of_server && (resolver.options.engine_knows)(option.keyword.name))
}

fn line(resolver: &Resolver<'_>, at: Span) -> usize {
    resolver.sources.line_column(at).map_or(0, |at| at.line)
}

/// A value with the quotes it had.
fn as_written(resolver: &Resolver<'_>, value: Value) -> String {
    let text = resolver.sources.text(value.span);
    match value.quote {
        Quote::None => text.to_owned(),
        Quote::Single => format!("'{text}'"),
        Quote::Double => format!("\"{text}\""),
    }
}

/// A file name as libunbound finds it: it neither changes its root nor its directory.
fn file(resolver: &Resolver<'_>, places: &Places, value: Value) -> Result<String, Box<Diagnostic>> {
    let text = resolver.sources.text(value.span);
    if text.is_empty() || places.is_plain(text) {
        return Ok(as_written(resolver, value));
    }
    let path = places.locate(text).display().to_string();
    quoted(&path).ok_or_else(|| {
        Diagnostic::error(
            value.span,
            format!("`{path}` cannot be written for libunbound"),
        )
        .help("use a path without quotes and line ends")
        .into()
    })
}

fn quoted(text: &str) -> Option<String> {
    // A backslash stays as it is, but keeps a quote behind it from closing.
    if text.contains(['\n', '\r']) || text.ends_with('\\') {
        return None;
    }
    ['"', '\'']
        .into_iter()
        .find(|quote| !text.contains(*quote))
        .map(|quote| format!("{quote}{text}{quote}"))
}

/// The modules, without those that the engine does not have.
fn modules(resolver: &mut Resolver<'_>, option: &OptionNode, value: Value) -> String {
    let words: Vec<&str> = resolver
        .sources
        .text(value.span)
        .split_ascii_whitespace()
        .collect();
    let available = resolver.options.engine_modules.as_deref();
    let has = |word: &str| {
        let here = available.is_none_or(|modules| modules.iter().any(|module| module == word));
        here && !matches!(word, "python" | "dynlib" | "ipsecmod")
    };
    let (kept, dropped): (Vec<&str>, Vec<&str>) = words.into_iter().partition(|word| has(word));
    if dropped.is_empty() {
        return as_written(resolver, value);
    }
    let warning = Diagnostic::warning(
        option.first(),
        format!("the engine has no module {}", dropped.join(", ")),
    )
    .label(format!("taken as \"{}\"", kept.join(" ")));
    resolver.report(warning);
    format!("\"{}\"", kept.join(" "))
}
