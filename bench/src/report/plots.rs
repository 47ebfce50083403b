//! Which plots are made of the results.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::svg::{Bar, Bars, Line, Lines};
use crate::measure::{CaseResult, Figure, Load, Results};

/// What a plot of bars shows: file, title, case, load, figure, unit, digits.
type Shown = (
    &'static str,
    &'static str,
    &'static str,
    Load,
    Figure,
    &'static str,
    usize,
);

const BARS: [Shown; 13] = [
    (
        "throughput",
        "Hits of 10,000 names, flat out",
        "hits",
        Load::Flat,
        Figure::Rate,
        "answers/s",
        0,
    ),
    (
        "cpu",
        "Processor time for each answer, both processors, 150,000 queries/s offered",
        "hits",
        Load::Paced,
        Figure::CpuUs,
        "us",
        1,
    ),
    (
        "latency-p50",
        "One query at a time: median round trip",
        "latency",
        Load::Single,
        Figure::P50Us,
        "us",
        1,
    ),
    (
        "latency-p99",
        "One query at a time: 99th percentile of the round trip",
        "latency",
        Load::Single,
        Figure::P99Us,
        "us",
        1,
    ),
    (
        "latency-half",
        "Median round trip at half load",
        "latency",
        Load::Half,
        Figure::P50Us,
        "us",
        1,
    ),
    (
        "refused-throughput",
        "REFUSED for all: standard path and AF_XDP, answers",
        "refused",
        Load::Flat,
        Figure::Rate,
        "answers/s",
        0,
    ),
    (
        "refused-cpu",
        "REFUSED for all: standard path and AF_XDP, processor time for each",
        "refused",
        Load::Flat,
        Figure::CpuUs,
        "us",
        1,
    ),
    (
        "large",
        "Answers of 1,200 bytes, flat out",
        "large",
        Load::Flat,
        Figure::Rate,
        "answers/s",
        0,
    ),
    (
        "ipv6",
        "Hits over IPv6, flat out",
        "ipv6",
        Load::Flat,
        Figure::Rate,
        "answers/s",
        0,
    ),
    (
        "latency-polled",
        "One query at a time from a client that polls: median round trip",
        "latency",
        Load::Polled,
        Figure::P50Us,
        "us",
        1,
    ),
    (
        "misses-plain",
        "Misses in an unsigned zone: the server's processor time for each",
        "misses-plain",
        Load::Misses,
        Figure::ServerUs,
        "us",
        1,
    ),
    (
        "misses-signed",
        "Misses in a signed zone: the server's processor time for each",
        "misses-signed",
        Load::Misses,
        Figure::ServerUs,
        "us",
        1,
    ),
    (
        "misses-rate",
        "Misses in a signed zone, one thread",
        "misses-signed",
        Load::Misses,
        Figure::Rate,
        "misses/s",
        0,
    ),
];

/// Writes them below `out`; the names of those that could be made.
pub(super) fn write(results: &Results, out: &Path) -> Result<Vec<(String, String)>> {
    let mut plots: Vec<(String, String, Option<String>)> = Vec::new();
    for (file, title, case, load, figure, unit, digits) in BARS {
        let bars = Bars {
            title: title.to_owned(),
            unit,
            digits,
            values: results
                .case(case)
                .map(|case| bars(case, load, figure))
                .unwrap_or_default(),
        };
        plots.push((file.to_owned(), title.to_owned(), bars.svg()));
    }
    let first = "First hit (asked of the upstream) and cache hit: median round trip";
    plots.push((
        "first-hit".to_owned(),
        first.to_owned(),
        first_hits(results, first).svg(),
    ));
    let sizes = "Processor time for each answer by the number of names, 150,000 queries/s offered";
    plots.push((
        "cache-size".to_owned(),
        sizes.to_owned(),
        by_size(results, sizes).svg(),
    ));
    let alone = "A whole hit without a network by the number of names";
    plots.push((
        "cache-size-alone".to_owned(),
        alone.to_owned(),
        alone_by_size(results, alone).svg(),
    ));
    let mut written = Vec::new();
    for (file, title, svg) in plots {
        let name = format!("{file}.svg");
        match svg {
            Some(svg) => {
                fs::write(out.join(&name), svg)?;
                written.push((name, title));
            }
            // One of an earlier run would not be of these results.
            None if out.join(&name).exists() => fs::remove_file(out.join(&name))?,
            None => {}
        }
    }
    Ok(written)
}

fn bars(case: &CaseResult, load: Load, figure: Figure) -> Vec<Bar> {
    case.rows
        .iter()
        .filter_map(|row| {
            let spread = row.spread(load, figure)?;
            Some(Bar {
                label: row.contender.clone(),
                value: spread.median,
                min: spread.min,
                max: spread.max,
            })
        })
        .collect()
}

fn first_hits(results: &Results, title: &str) -> Bars {
    let mut all = Vec::new();
    let named = |case: &'static str, what: &str| {
        let rows = results
            .case(case)
            .map(|case| bars(case, Load::Single, Figure::P50Us));
        let label = format!(", {what}");
        rows.unwrap_or_default().into_iter().map(move |bar| Bar {
            label: bar.label + &label,
            ..bar
        })
    };
    all.extend(named("first-hit", "first hit"));
    let asked: Vec<String> = all
        .iter()
        .map(|bar: &Bar| bar.label.replace(", first hit", ""))
        .collect();
    let again = named("latency", "cache hit");
    all.extend(again.filter(|bar| asked.contains(&bar.label.replace(", cache hit", ""))));
    all.sort_by(|a, b| a.label.cmp(&b.label));
    Bars {
        title: title.to_owned(),
        unit: "us",
        digits: 1,
        values: all,
    }
}

fn by_size(results: &Results, title: &str) -> Lines {
    let mut lines: Vec<Line> = Vec::new();
    let sized = |case: &&CaseResult| case.name.starts_with("names-") || case.name == "hits";
    for case in results.cases.iter().filter(sized) {
        let zipf = if case.name.ends_with("zipf") {
            ", Zipf"
        } else {
            ""
        };
        for row in &case.rows {
            let label = format!("{}{zipf}", row.contender);
            let Some(spread) = row.spread(Load::Paced, Figure::CpuUs) else {
                continue;
            };
            let point = (f64::from(case.names), spread.median);
            match lines.iter_mut().find(|line| line.label == label) {
                Some(line) => line.points.push(point),
                None => lines.push(Line {
                    label,
                    points: vec![point],
                }),
            }
        }
    }
    lines.retain(|line| line.points.len() > 1);
    for line in &mut lines {
        line.points.sort_by(|a, b| a.0.total_cmp(&b.0));
    }
    Lines {
        title: title.to_owned(),
        x_label: "names",
        unit: "us for each answer",
        series: lines,
    }
}

fn alone_by_size(results: &Results, title: &str) -> Lines {
    let sizes = [
        ("1k", 1e3),
        ("10k", 1e4),
        ("100k", 1e5),
        ("1m", 1e6),
        ("10m", 1e7),
    ];
    let line = |draw: &str| Line {
        label: draw.replace("zipf", "Zipf"),
        points: sizes
            .iter()
            .filter_map(|(label, names)| {
                let cost = results
                    .in_process
                    .get(&format!("ns whole {label} {draw}"))?;
                Some((*names, *cost))
            })
            .collect(),
    };
    Lines {
        title: title.to_owned(),
        x_label: "names",
        unit: "ns for each answer",
        series: vec![
            line("uniform"),
            line("zipf"),
            line("uniform, in batches"),
            line("zipf, in batches"),
        ],
    }
}
