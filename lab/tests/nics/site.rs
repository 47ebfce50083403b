//! A server and a client, joined by two NICs of the virtual machine.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::netns::{Netns, VethEnd};
use sluicegate_lab::peers;
use sluicegate_lab::server::{Builder, Server, server};
use sluicegate_lab::vm::{lenient, take_nic};

pub(crate) const SERVER4: &str = "10.11.1.1";
pub(crate) const SERVER6: &str = "fc00:dead:cafe:1::1";
const CLIENT4: &str = "10.11.1.2";
const CLIENT6: &str = "fc00:dead:cafe:1::2";

/// How long a state may take to be reached.
pub(crate) fn patience() -> Duration {
    lenient(Duration::from_secs(10))
}

/// Two hosts, each with one NIC.
pub(crate) struct Site {
    pub(crate) client: Netns,
    pub(crate) server: Netns,
    nic: String,
}

impl Site {
    /// Two hosts joined by the wire `{wire}-s1`, `{wire}-c1`, with addresses.
    pub(crate) fn on(wire: &str) -> Result<Self> {
        let site = Self {
            client: Netns::new()?,
            server: Netns::new()?,
            nic: format!("{wire}-s1"),
        };
        // Clients that drop what comes from where it should not: a reply without its tag, say.
        site.client.sysctl("net/ipv4/conf/all/rp_filter", "1")?;
        let near = take_nic(&site.server, &site.nic)?;
        near.add_address(&format!("{SERVER4}/24"))?;
        near.add_address(&format!("{SERVER6}/64"))?;
        let far = take_nic(&site.client, &format!("{wire}-c1"))?;
        far.add_address(&format!("{CLIENT4}/24"))?;
        far.add_address(&format!("{CLIENT6}/64"))?;
        Ok(site)
    }

    /// The server's NIC.
    pub(crate) fn nic(&self) -> VethEnd<'_> {
        VethEnd {
            netns: &self.server,
            name: self.nic.clone(),
        }
    }

    /// What `ethtool -i` calls the driver of the server's NIC.
    pub(crate) fn driver(&self) -> Result<String> {
        driver(&self.server, &self.nic)
    }

    /// Asks the server for `host.test` from the client by `kdig`, once, and expects the local data.
    pub(crate) fn kdig(&self, address: &str, options: &[&str]) -> Result<()> {
        kdig(&self.client, address, options)
    }
}

/// What `ethtool -i` calls the driver of an interface.
pub(crate) fn driver(netns: &Netns, interface: &str) -> Result<String> {
    let text = netns.ethtool(&format!("-i {interface}"))?;
    let name = text.lines().find_map(|line| line.strip_prefix("driver: "));
    Ok(name.context("no driver")?.to_owned())
}

/// The guest has little memory, and touches it slowly.
pub(crate) const SMALL: &str = "xdp:\n  frames: 1024\nserver:\n";

/// A configuration that listens everywhere, answers `host.test`, and has these lines too.
pub(crate) fn config(more: &str) -> String {
    format!(
        "server:\n  interface: 0.0.0.0\n  interface: ::0\n  access-control: 0.0.0.0/0 allow\n  \
         access-control: ::/0 allow\n  local-zone: \"test.\" static\n  \
         local-data: \"host.test. 60 A 192.0.2.7\"\n{SMALL}{more}\n"
    )
}

/// A server with that configuration.
pub(crate) fn answering(more: &str) -> Builder {
    server(&config(more))
}

/// Asks for `host.test` from `client` by `kdig`, once, and expects the local data.
pub(crate) fn kdig(client: &Netns, address: &str, options: &[&str]) -> Result<()> {
    let timeout = format!("+timeout={}", patience().as_secs());
    let mut kdig = peers::command("kdig")?;
    kdig.args(["+short", "+retry=0", &timeout, &format!("@{address}")]);
    kdig.args(options).args(["host.test", "A"]);
    let finished = client.run(&kdig)?;
    ensure!(
        finished.success() && finished.stdout.trim() == "192.0.2.7",
        "kdig {address} {options:?}: {}{}",
        finished.stdout,
        finished.stderr
    );
    Ok(())
}

/// How the server serves an interface, by its log: the mode, or the reason why only the kernel does.
pub(crate) fn standing(server: &Server, interface: &str) -> Result<Standing> {
    let limit = Instant::now() + patience();
    let interface = format!(" interface={interface} ");
    loop {
        for line in server.process().lines_with(&interface) {
            let after = |mark: &str| line.split_once(mark).map(|(_, rest)| rest.to_owned());
            if line.contains("XDP fast path active") {
                let mode = after("mode=").context("no mode")?;
                let mode = mode.split_whitespace().next().context("no mode")?;
                return Ok(Standing::Active(mode.to_owned()));
            }
            if let Some(reason) = after("reason=") {
                return Ok(Standing::Kernel(reason));
            }
        }
        ensure!(Instant::now() < limit, "the log does not name{interface}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// How an interface is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// By AF_XDP in this mode.
    Active(String),
    /// By the kernel, for this reason.
    Kernel(String),
}

/// Waits until the program that was on the interface is gone.
pub(crate) fn expect_no_program(end: &VethEnd<'_>) -> Result<()> {
    let limit = Instant::now() + patience();
    while let Some(id) = end.xdp_program()? {
        if Instant::now() >= limit {
            bail!("program {id} is still on {}", end.name);
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Waits until the statistics that start and end like this have grown to `least` in sum.
pub(crate) fn expect_at_least(server: &Server, start: &str, end: &str, least: u64) -> Result<()> {
    server
        .wait_for_stats(patience(), |all| {
            let chosen = all
                .iter()
                .filter(|(name, _)| name.starts_with(start) && name.ends_with(end));
            chosen.map(|(_, value)| value).sum::<u64>() >= least
        })
        .with_context(|| format!("{start}*{end} does not reach {least}"))
}

/// That address, at the DNS port.
pub(crate) fn dns(address: &str) -> Result<SocketAddr> {
    Ok(SocketAddr::new(address.parse()?, 53))
}
