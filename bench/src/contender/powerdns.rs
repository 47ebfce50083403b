use std::fs;

use anyhow::{Context, Result};
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
    let resolving = match &setup.site.resolver_conf {
        Some(conf) => resolving(setup, conf)?,
        None => format!("forward-zones-recurse=.={UPSTREAM}\ndnssec=off\nhint-file=no\n"),
    };
    let text = format!(
        "local-address={}, {}
allow-from=0.0.0.0/0, ::/0
threads={threads}
pdns-distributes-queries=no
reuseport=yes
daemon=no
disable-syslog=yes
write-pid=no
socket-dir={dir}
chroot=
security-poll-suffix=
max-packetcache-entries={entries}
max-cache-entries={entries}
packetcache-ttl=86400
max-negative-ttl=60
{resolving}",
        Site::address(false),
        Site::address(true),
        threads = setup.site.queues,
    );
    fs::write(setup.dir.join("recursor.conf"), text)?;
    let mut command = peers::command("pdns_recursor")?;
    command.arg(format!("--config-dir={dir}"));
    Running::spawn(setup, &command)
}

/// The lines that make it live in the world whose `unbound.conf` has these: with its hints and its trust anchor, and with
/// leave to ask private addresses.
fn resolving(setup: &Setup<'_>, conf: &str) -> Result<String> {
    let path = |keyword: &str| {
        let line = conf.lines().find(|line| line.contains(keyword))?;
        line.split('"').nth(1)
    };
    let hints = path("root-hints").context("the world's hints")?;
    let anchor = path("trust-anchor-file").context("the world's trust anchor")?;
    let script = setup.dir.join("recursor.lua");
    fs::write(
        &script,
        format!("clearTA('.')\nreadTrustAnchorsFromFile('{anchor}')\n"),
    )?;
    Ok(format!(
        "hint-file={hints}\ndnssec=validate\nlua-config-file={}\ndont-query=\n",
        script.display()
    ))
}
