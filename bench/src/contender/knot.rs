use std::fs;

use anyhow::Result;
use sluicegate_lab::peers;
use sluicegate_lab::scene::LINK;

use super::Running;
use super::kind::Setup;
use crate::data::{ORIGIN, zone_file};
use crate::plan::Content;
use crate::site::Site;

/// Knot DNS with the names as a zone, over `AF_XDP` or the kernel's sockets.
///
/// Its XDP workers sit on the processors from the first on, whatever `taskset` says: where the server shall be. It counts
/// the combined channels of the interface, which a veth hasn't, so that it takes the first queue alone (seen with 3.2.6,
/// as in its generator): what the others bring comes to its kernel sockets.
pub(super) fn start(setup: &Setup<'_>, xdp: bool) -> Result<Running> {
    let dir = setup.dir;
    // What it does not serve it refuses.
    let names = match setup.case.content {
        Content::Refused => 0,
        _ => setup.case.queries.names as usize,
    };
    zone_file(&dir.join("zone"), setup.case.queries.all().take(names))?;
    let domain = match setup.case.content {
        Content::Refused => "elsewhere.lab",
        _ => ORIGIN,
    };
    let workers = setup.site.queues;
    let sockets = if xdp && workers == 1 {
        "  listen: 127.0.0.1@53\n".to_owned()
    } else {
        format!(
            "  listen: {}@53\n  listen: {}@53\n",
            Site::address(false),
            Site::address(true)
        )
    };
    let listen = if xdp {
        format!("{sockets}xdp:\n  listen: {LINK}@53\n  tcp: off\n")
    } else {
        sockets
    };
    let path = dir.display();
    let text = format!(
        "server:
  rundir: {path}
  udp-workers: {workers}
  tcp-workers: 1
  background-workers: 1
{listen}
log:
  - target: stderr
    any: info
database:
  storage: {path}
template:
  - id: default
    storage: {path}
    zonefile-sync: -1
    zonefile-load: whole
    journal-content: none
zone:
  - domain: {domain}
    file: zone
"
    );
    let text = if domain == ORIGIN {
        text
    } else {
        fs::write(
            dir.join("zone"),
            fs::read_to_string(dir.join("zone"))?.replace(ORIGIN, domain),
        )?;
        text
    };
    let conf = dir.join("knot.conf");
    fs::write(&conf, text)?;
    let mut command = peers::command("knotd")?;
    command.arg("-c").arg(conf);
    Running::spawn(setup, &command)?.wait_for("loaded, serial")
}
