use std::fmt::Write;

use super::table::number;
use crate::measure::Results;

/// The page of the documentation: what was measured, how, and what came of it.
pub(super) fn page(results: &Results, tables: &str, plots: &[(String, String)]) -> String {
    let mut text = "# Performance

Made by `make bench`; all of it is measured anew on your machine by that command (root, Linux, no network card needed).

Two hosts (network namespaces) are joined by one veth pair for each server. The server is bound to processor 0, the
generator to processor 1. Each server is filled, asked for fifty names and its answers compared with what they must be;
then the servers are measured in turn, round by round. Shown is the median of the rounds (least to most). CPU is all
that the machine's processors did, generator included, divided by the answers; \"of it server\" is what the server's own
processes were charged, \"of it softirq\" what the kernel counts as software interrupts. `XDP_TX reflector` sends each query
back in the driver and `xsk echo` in the simplest program on AF_XDP: the testbed's limits, not servers.

On veth the kernel copies frames, and client and server share one machine: the numbers compare servers with each other;
they say little of what a network card would give.

".to_owned();
    text += tables;
    text += &in_process(results);
    if !plots.is_empty() {
        text += "### Plots\n\n";
    }
    for (file, title) in plots {
        let _ = writeln!(text, "![{title}](performance/{file})\n");
    }
    text += &commands(results);
    text
}

/// What was measured without a network.
pub(super) fn in_process(results: &Results) -> String {
    if results.in_process.is_empty() {
        return String::new();
    }
    let mut text = "### Without a network\n\n\
        Instructions are counted by callgrind; nanoseconds are the least of nine rounds on one processor. A whole hit \
        begins with the query's frame and ends with the reply's.\n\n| | |\n|---|--:|\n".to_owned();
    for (name, value) in &results.in_process {
        let digits = usize::from(!name.starts_with("instructions"));
        let _ = writeln!(text, "| {name} | {} |", number(*value, digits));
    }
    text.push('\n');
    text
}

/// What was run, once for each case and load.
fn commands(results: &Results) -> String {
    let mut text = "### Commands\n\n```\n".to_owned();
    for case in &results.cases {
        let mut seen = Vec::new();
        for round in case.rows.iter().flat_map(|row| &row.rounds) {
            if !seen.contains(&round.load) {
                seen.push(round.load);
                let _ = writeln!(text, "{}: {}", case.name, round.command);
            }
        }
    }
    text += "```\n";
    text
}
