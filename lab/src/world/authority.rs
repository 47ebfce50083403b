use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;

use super::place::Place;
use super::signer::file_name;
use crate::netns::{Netns, Process};
use crate::peers;

/// A Knot DNS that serves the zones of one level of delegation.
pub(super) struct Authority {
    process: Process,
}

/// How long it may take to start on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(20);

impl Authority {
    /// Serves the zones of `places`, whose files are in `dir`, on their addresses in the namespace.
    pub(super) fn start(netns: &Netns, dir: &Path, name: &str, places: &[&Place]) -> Result<Self> {
        let own = dir.join(name);
        fs::create_dir(&own)?;
        let conf = own.join("knot.conf");
        fs::write(&conf, configuration(dir, &own, places))?;
        let mut command = peers::command("knotd")?;
        command.arg("-c").arg(&conf);
        let process = netns.spawn(&command)?;
        Ok(Self { process })
    }

    /// Waits until it answers.
    pub(super) fn wait_until_ready(&self) -> Result<()> {
        self.process.wait_for_line("server started", START_LIMIT)?;
        Ok(())
    }
}

fn configuration(dir: &Path, own: &Path, places: &[&Place]) -> String {
    let servers = places.iter().flat_map(|place| place.name_servers());
    let listen: Vec<_> = servers
        .filter(|server| server.manners.knows_zone())
        .flat_map(|server| server.behind)
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
    for place in places {
        let name = &place.zone.name;
        let _ = writeln!(text, "  - domain: {name}\n    file: {}", file_name(name));
    }
    text
}
