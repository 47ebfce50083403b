use std::fmt::Write;
use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::signer::file_name;
use crate::netns::{Netns, Process};
use crate::peers;

/// A Knot DNS that serves the zones of one level of delegation.
pub(super) struct Authority {
    _process: Process,
}

/// How long it may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

impl Authority {
    /// Serves `zones`, whose files are in `dir`, on `addresses` of the namespace, and waits until it does.
    pub(super) fn start(
        netns: &Netns,
        dir: &Path,
        name: &str,
        zones: &[&str],
        addresses: &[Ipv4Addr],
    ) -> Result<Self> {
        let own = dir.join(name);
        fs::create_dir(&own)?;
        let conf = own.join("knot.conf");
        fs::write(&conf, configuration(dir, &own, zones, addresses))?;
        let mut command = peers::command("knotd")?;
        command.arg("-c").arg(&conf);
        let process = netns.spawn(&command)?;
        process.wait_for_line("server started", START_LIMIT)?;
        Ok(Self { _process: process })
    }
}

fn configuration(dir: &Path, own: &Path, zones: &[&str], addresses: &[Ipv4Addr]) -> String {
    let listen: Vec<_> = addresses
        .iter()
        .map(|address| format!("{address}@53"))
        .collect();
    let mut text = format!(
        "server:\n  rundir: \"{own}\"\n  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n  listen: [{}]\n\
         log:\n  - target: stderr\n    any: info\n\
         database:\n  storage: \"{own}\"\n\
         template:\n  - id: default\n    storage: \"{}\"\n    semantic-checks: off\n    journal-content: none\n    \
         zonefile-sync: -1\n    zonefile-load: whole\n\
         zone:\n",
        listen.join(", "),
        dir.display(),
        own = own.display()
    );
    for zone in zones {
        let _ = writeln!(text, "  - domain: {zone}\n    file: {}", file_name(zone));
    }
    text
}
