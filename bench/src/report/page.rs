use std::fmt::Write;

use super::table::number;
use crate::measure::Results;

/// The page of the documentation: what was measured, how, and what came of it.
pub(super) fn page(results: &Results, tables: &str, plots: &[(String, String)]) -> String {
    let mut text = "# Performance

Made by `make bench`; all of it is measured anew on your machine by that command (root, Linux, no network card needed).

Two hosts (network namespaces) are joined by one veth pair for each server. The server is bound to processor 0, the
generator to processor 1. Each server is filled, asked for fifty names and its answers compared with what they must be;
then the servers are measured in turn, round by round. Shown is the median of the rounds (least to most).

- CPU is all that the machine's processors did, generator included, divided by the answers; \"of it server\" is the time
  that the server's own threads were on a processor, \"of it softirq\" what the kernel counts as software interrupts. The
  two overlap: packets are often handled in the time of whoever sends.
- Flat out means kxdpgun at 3,000,000 queries/s, more than any server here can answer; what is not answered is lost on
  the way. With two queues dnsperf asks from 32 sockets, since kxdpgun 3.2 uses one queue of a veth only. So
  does knotd 3.2: what the other queue brings, it answers by its kernel sockets.
- Round trips are measured twice: by a client that sleeps until its answer comes, whose own waking up on a virtual machine
  is most of the time, and by one that polls its socket.
- `XDP_TX reflector` sends each query back in the driver and `xsk echo` in the simplest program on AF_XDP: the testbed's
  limits, not servers.
- Misses are resolved in a small Internet of Knot DNS servers on the generator's processor: a signed root, a signed top
  level, and below it 16 zones of 75,000 names together. dnsperf asks for 20,000 of them, each once and at most 100 at a
  time, one zone after the other. With two threads server, generator and that Internet share both processors. CPU and
  memory are of the server's processes, Sluicegate's engine included. Of memory that processes share (libraries,
  Sluicegate's own program in its two processes) each one's part is counted (PSS).

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
    text += &servers(results);
    text
}

/// What was measured without a network.
pub(super) fn in_process(results: &Results) -> String {
    if results.in_process.is_empty() {
        return String::new();
    }
    let mut text = "### Without a network\n\n\
        Instructions are counted by callgrind; nanoseconds are the least of nine rounds on one processor. A whole hit \
        begins with the query's frame and ends with the reply's.\n\
        \"repeated\" is that of a query that has come before in the same octets, which the workers' memory of whole\n\
        replies (`answer::packets`) serves; all others go by way of the answer cache.\n\n| | |\n|---|--:|\n".to_owned();
    for (name, value) in &results.in_process {
        let digits = usize::from(!name.starts_with("instructions"));
        let _ = writeln!(text, "| {name} | {} |", number(*value, digits));
    }
    text.push('\n');
    text
}

/// How the servers were started, in the first of the cases that each was in.
fn servers(results: &Results) -> String {
    let mut text = "### Servers\n\nEach in the first case that it takes part in; `DIR` is a folder of its own.\n\n".to_owned();
    let mut seen = Vec::new();
    for case in &results.cases {
        for row in &case.rows {
            let told = row.server.as_deref();
            if let Some(told) = told.filter(|_| !seen.contains(&&row.contender)) {
                seen.push(&row.contender);
                let _ = writeln!(
                    text,
                    "{}, in {}:\n\n```\n{}\n```\n",
                    row.contender,
                    case.name,
                    told.trim_end()
                );
            }
        }
    }
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
