//! Says what the tests with real packets would need and this machine lacks; prints nothing where all is there. Fails with
//! `SLUICEGATE_ALL_NEEDS=1` where something is missing that the project could provide.
#![forbid(unsafe_code)]

use std::io::Write;
use std::process::ExitCode;

use sluicegate_lab::harness::{Need, all_wanted};

const NEEDS: [Need; 19] = [
    Need::Root,
    Need::Netns,
    Need::Tool("ethtool"),
    Need::Peer("unbound"),
    Need::Peer("unbound-checkconf"),
    Need::Peer("unbound-host"),
    Need::Peer("knotd"),
    Need::Peer("dnssec-keygen"),
    Need::Peer("dnssec-signzone"),
    Need::Peer("kdig"),
    Need::Peer("kxdpgun"),
    Need::Peer("dig"),
    Need::Peer("dnsperf"),
    Need::Vm,
    Need::Debian,
    Need::Machine,
    Need::CargoDeb,
    Need::SharedData("confs"),
    Need::SharedData("rpl"),
];

fn main() -> std::io::Result<ExitCode> {
    let missing: Vec<(Need, String)> = NEEDS
        .iter()
        .filter_map(|need| Some((*need, need.unmet()?)))
        .collect();
    let mut out = std::io::stdout().lock();
    if !missing.is_empty() {
        writeln!(
            out,
            "Not everything can be tested here. Tests that lack something are skipped, not passed:"
        )?;
    }
    for (_, reason) in &missing {
        writeln!(out, "  {reason}")?;
    }
    let fails = all_wanted() && missing.iter().any(|(need, _)| need.is_ours());
    Ok(ExitCode::from(u8::from(fails)))
}
