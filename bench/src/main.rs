//! Measures Sluicegate beside its peers: `bench run`, then `bench report`. See `docs/performance.md`.
//!
//! - `plan`: the cases, and who runs in which;
//! - `site`: two hosts and a cable for each contender; `data`: names, zones, queries; `contender`: the servers;
//! - `inprocess`: what an answer costs without a network;
//! - `load`: kxdpgun, dnsperf and a client of our own; `measure`: processors, rounds, results;
//! - `report`: tables, plots and targets made of the results.
#![forbid(unsafe_code)]

mod cli;
mod contender;
mod data;
mod inprocess;
mod load;
mod measure;
mod plan;
mod report;
mod run;
mod site;

fn main() -> anyhow::Result<()> {
    cli::run()
}
