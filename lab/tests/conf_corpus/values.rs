use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Result, ensure};
use sluicegate_conf::table::{Arg, Clause, Keyword, keywords};
use sluicegate_conf::{LoadOptions, Severity, load_text};

use crate::peer::{VERSION, judge, written};

/// Each is given to every option of `server:` that takes one value.
const VALUES: &[&str] = &[
    "yes",
    "no",
    "Yes",
    "\"\"",
    "0",
    "1",
    "3",
    "10",
    "16",
    "10x",
    "-1",
    "4k",
    "4m",
    "4mb",
    "\"4 m\"",
    "1G",
    "x",
    "4096",
    "70000",
    "99999999999",
    "1.2.3.4",
    "1.2.3.4@53",
    "10.0.0.0/8",
    "::1",
    "example.com",
    "1024-65535",
    "ascii_x",
    "abcd",
];

/// Options whose values the peer does not look at, with the reason.
const UNCHECKED: &[(&str, &str)] = &[
    ("ipsecmod-enabled", "the peer is built without the module"),
    (
        "ipsecmod-ignore-bogus",
        "the peer is built without the module",
    ),
    ("ipsecmod-max-ttl", "the peer is built without the module"),
    ("ipsecmod-strict", "the peer is built without the module"),
    ("max-udp-size", "Unbound takes any text for 0"),
    (
        "trust-anchor",
        "the peer looks at records only when it starts",
    ),
    ("unknown-server-time-limit", "Unbound takes any text for 0"),
];

/// Options of `server:` with one value that the peer knows and checks.
fn rows() -> Result<Vec<&'static Keyword>> {
    let version = VERSION.parse()?;
    let unchecked = |row: &Keyword| UNCHECKED.iter().any(|(name, _)| *name == row.name);
    let fits = |row: &&Keyword| {
        row.clauses.contains(Clause::Server)
            && row.args.len() == 1
            && row.since <= version
            && !unchecked(row)
    };
    Ok(keywords().filter(fits).collect())
}

/// Compares, line by line, what the peer's parser refuses with what we refuse.
pub(crate) fn as_unbound() -> Result<()> {
    let rows = rows()?;
    ensure!(rows.len() > 200, "only {} options", rows.len());
    let mut differences = Vec::new();
    for value in VALUES {
        // The first line opens the clause: the option of row i stands in line i + 2.
        let lines: Vec<String> = rows
            .iter()
            .map(|row| format!(" {}: {value}", row.name))
            .collect();
        // The last line keeps some address family and transport on.
        let on = "do-ip4: yes do-ip6: yes do-udp: yes do-tcp: yes";
        let text = format!("server:\n{}\n{on}\n", lines.join("\n"));
        let judgement = judge(&written("values.conf", &text)?)?;
        let theirs: BTreeSet<usize> = judgement.parse_errors().map(|(line, _)| line).collect();
        let ours = refused(&text);
        for (i, row) in rows.iter().enumerate() {
            let (we_refuse, they_refuse) = (ours.contains(&(i + 2)), theirs.contains(&(i + 2)));
            if we_refuse != they_refuse && !(we_refuse && later_refused(row.args[0], value)) {
                differences.push(format!("{}: {value}: we refuse: {we_refuse}", row.name));
            }
        }
    }
    ensure!(
        differences.is_empty(),
        "{} differences:\n{}",
        differences.len(),
        differences.join("\n")
    );
    Ok(())
}

/// The lines with an error.
fn refused(text: &str) -> BTreeSet<usize> {
    let options = LoadOptions {
        check_files: false,
        ..LoadOptions::default()
    };
    let loaded = load_text(Path::new("values.conf"), text, &options);
    let errors = loaded
        .diagnostics
        .iter()
        .filter(|diagnostic| diagnostic.severity == Severity::Error);
    errors
        .filter_map(|error| Some(loaded.sources.line_column(error.span)?.line))
        .collect()
}

/// Whether it is no matter of the parser there: Unbound takes the value, and fails with it later, or wraps
/// the number silently.
fn later_refused(arg: Arg, value: &str) -> bool {
    let number: Option<i64> = value.parse().ok();
    match arg {
        Arg::Name
        | Arg::Netblock
        | Arg::Interface
        | Arg::Upstream
        | Arg::UpstreamHost
        | Arg::WordsOf(_)
        | Arg::Ports
        | Arg::Record
        | Arg::Reverse => true,
        Arg::Port => !(1..=65_535).contains(&number.unwrap_or(0)),
        Arg::Positive | Arg::Date | Arg::Within { .. } | Arg::Number | Arg::NumberOrNothing => {
            number.is_some_and(|number| {
                number < 1 || i32::try_from(number).is_err() || number > 65_535
            })
        }
        _ => false,
    }
}
