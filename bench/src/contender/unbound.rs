use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use sluicegate_lab::peers;

use super::Running;
use super::kind::Setup;
use crate::data::local_data;
use crate::plan::Content;
use crate::site::Site;

/// Sluicegate over `AF_XDP`; `more` is appended to its configuration.
pub(super) fn sluicegate(setup: &Setup<'_>, more: &str) -> Result<Running> {
    start_sluicegate(setup, more, &[])?.wait_for("XDP fast path active")
}

/// Sluicegate over the kernel's sockets.
pub(super) fn sluicegate_kernel(setup: &Setup<'_>) -> Result<Running> {
    start_sluicegate(setup, "", &["--no-xdp"])
}

/// Unbound on the same configuration.
pub(super) fn unbound(setup: &Setup<'_>) -> Result<Running> {
    let conf = setup.dir.join("unbound.conf");
    fs::write(&conf, configuration(setup))?;
    let mut command = peers::command("unbound")?;
    command.arg("-d").arg("-c").arg(conf);
    Running::spawn(setup, &command)?.wait_for("start of service")
}

fn start_sluicegate(setup: &Setup<'_>, more: &str, arguments: &[&str]) -> Result<Running> {
    let conf = setup.dir.join("sluicegate.conf");
    let control = setup.dir.join("ctl");
    let control = format!(
        "remote-control:\n  control-enable: yes\n  control-interface: \"{}\"\n",
        control.display()
    );
    fs::write(&conf, format!("{}{control}{more}", configuration(setup)))?;
    let mut command = Command::new(program()?);
    command.arg("-c").arg(conf).arg("-d").args(arguments);
    Running::spawn(setup, &command)
}

/// `$SLUICEGATE_BIN`, else beside this program.
fn program() -> Result<PathBuf> {
    if let Some(path) = env::var_os("SLUICEGATE_BIN") {
        return Ok(path.into());
    }
    let own = env::current_exe()?;
    let path = own
        .parent()
        .context("a program's folder")?
        .join("sluicegate");
    if !path.is_file() {
        bail!("{} is missing: build it in release mode", path.display());
    }
    Ok(path)
}

/// The configuration of both.
fn configuration(setup: &Setup<'_>) -> String {
    let (v4, v6) = (Site::address(false), Site::address(true));
    let access = match setup.case.content {
        Content::Refused => "refuse",
        _ => "allow",
    };
    let local = match setup.case.content {
        Content::Local => local_data(setup.case.queries.all()),
        _ => String::new(),
    };
    let threads = setup.site.queues;
    format!(
        "server:
  interface: {v4}
  interface: {v6}
  access-control: 0.0.0.0/0 {access}
  access-control: ::/0 {access}
  num-threads: {threads}
  so-reuseport: yes
  chroot: \"\"
  directory: \"{directory}\"
  username: \"\"
  pidfile: \"\"
  use-syslog: no
  do-ip6: yes
  msg-cache-size: {cache}
  rrset-cache-size: {cache}
  msg-cache-slabs: 2
  rrset-cache-slabs: 2
  outgoing-range: 4096
  num-queries-per-thread: 2048
  so-rcvbuf: 4m
  so-sndbuf: 4m
  minimal-responses: yes
{local}{resolving}",
        directory = setup.dir.display(),
        cache = cache_size(setup),
        resolving = setup.site.resolver_conf.as_deref().unwrap_or(FORWARDING),
    )
}

/// Everything else is asked of the upstream.
const FORWARDING: &str = "  module-config: \"iterator\"
  qname-minimisation: no
  aggressive-nsec: no
forward-zone:
  name: \".\"
  forward-addr: 198.51.100.53
";

/// Room enough for every name, in the form of `unbound.conf`.
fn cache_size(setup: &Setup<'_>) -> String {
    let bytes = u64::from(setup.case.queries.names) * 600;
    format!("{}m", bytes.div_ceil(1 << 20).max(64))
}
