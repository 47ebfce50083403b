use std::fs;

use anyhow::Result;
use sluicegate_lab::peers;

use super::Running;
use super::kind::Setup;
use crate::site::{Site, UPSTREAM};

/// dnsdist with a packet cache in front of the upstream.
pub(super) fn dnsdist(setup: &Setup<'_>) -> Result<Running> {
    let conf = setup.dir.join("dnsdist.conf");
    let entries = u64::from(setup.case.queries.names) * 2;
    let text = format!(
        "setLocal('{}:53')
addLocal('[{}]:53')
setACL({{'0.0.0.0/0', '::/0'}})
setSecurityPollSuffix('')
setMaxUDPOutstanding(65535)
newServer({{address='{UPSTREAM}', healthCheckMode='up', sockets=4}})
getPool(''):setCache(newPacketCache({entries}, {{maxTTL=86400, numberOfShards=20}}))
",
        Site::address(false),
        Site::address(true),
    );
    fs::write(&conf, text)?;
    let mut command = peers::command("dnsdist")?;
    command
        .args(["--supervised", "--disable-syslog", "-C"])
        .arg(conf);
    Running::spawn(setup, &command)
}

/// `PowerDNS` Recursor, forwarding to the upstream.
pub(super) fn recursor(setup: &Setup<'_>) -> Result<Running> {
    let dir = setup.dir.display();
    let entries = u64::from(setup.case.queries.names) * 2;
    let text = format!(
        "local-address={}, {}
allow-from=0.0.0.0/0, ::/0
forward-zones-recurse=.={UPSTREAM}
threads=1
pdns-distributes-queries=no
reuseport=yes
dnssec=off
daemon=no
disable-syslog=yes
write-pid=no
socket-dir={dir}
chroot=
security-poll-suffix=
hint-file=no
max-packetcache-entries={entries}
max-cache-entries={entries}
packetcache-ttl=86400
max-negative-ttl=60
",
        Site::address(false),
        Site::address(true),
    );
    fs::write(setup.dir.join("recursor.conf"), text)?;
    let mut command = peers::command("pdns_recursor")?;
    command.arg(format!("--config-dir={dir}"));
    Running::spawn(setup, &command)
}
