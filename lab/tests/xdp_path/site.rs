//! A server and a client, joined by veth.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::netns::{Netns, VethEnd, veth_pair};
use sluicegate_lab::server::{Builder, Server, server};
use sluicegate_lab::upstream::Upstream;
use sluicegate_lab::vm::{lenient, take_nic_as, wire};
use sluicegate_lab::wire::{Message, ask_udp, query, rtype};

/// The server's addresses and the client's, those of the stub resolver's report.
pub(crate) const SERVER4: &str = "10.11.1.1";
pub(crate) const SERVER6: &str = "fc00:dead:cafe:1::1";
pub(crate) const CLIENT4: &str = "10.11.1.2";
pub(crate) const CLIENT6: &str = "fc00:dead:cafe:1::2";

/// Within this an interface that came back must be served by AF_XDP again: five seconds on a quiet machine.
pub(crate) fn resume() -> Duration {
    lenient(Duration::from_secs(5))
}
/// How long one question waits for its answer.
pub(crate) fn patience() -> Duration {
    lenient(Duration::from_secs(2))
}
/// How long a question waits that may have been lost, or that nobody shall answer.
pub(crate) const GLIMPSE: Duration = Duration::from_secs(2);

/// Two hosts.
pub(crate) struct Site {
    pub(crate) here: Netns,
    pub(crate) there: Netns,
}

/// Which path replied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Xdp,
    Kernel,
}

impl Site {
    /// Two hosts and no link between them.
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            here: Netns::new()?,
            there: Netns::new()?,
        })
    }

    /// Two hosts with a link of `queues` queues.
    pub(crate) fn joined(queues: u32) -> Result<Self> {
        let site = Self::new()?;
        site.join(queues)?;
        Ok(site)
    }

    /// Joins the hosts by `eth0` on each side, with addresses; in the virtual machine it may be a NIC.
    pub(crate) fn join(&self, queues: u32) -> Result<()> {
        let (server, client) = match wire() {
            // As many queues as it has.
            Some(wire) => (
                take_nic_as(&self.there, &format!("{wire}-s1"), "eth0")?,
                take_nic_as(&self.here, &format!("{wire}-c1"), "eth0")?,
            ),
            None => veth_pair(&self.there, "eth0", &self.here, "eth0", queues)?,
        };
        for (end, v4, v6) in [(&server, SERVER4, SERVER6), (&client, CLIENT4, CLIENT6)] {
            end.add_address(&format!("{v4}/24"))?;
            end.add_address(&format!("{v6}/64"))?;
        }
        Ok(())
    }

    /// The server's end of the link.
    pub(crate) fn eth0(&self) -> VethEnd<'_> {
        VethEnd {
            netns: &self.there,
            name: "eth0".to_owned(),
        }
    }

    /// Listens everywhere, answers `host.test`, and has these lines too.
    pub(crate) fn config(more: &str) -> String {
        format!(
            "server:\n  interface: 0.0.0.0\n  interface: ::0\n  access-control: 0.0.0.0/0 allow\n  \
             access-control: ::/0 allow\n  local-zone: \"test.\" static\n  \
             local-data: \"host.test. 60 A 192.0.2.7\"\n{more}\n"
        )
    }

    /// A server with that configuration.
    pub(crate) fn server(more: &str) -> Builder {
        server(&Self::config(more))
    }

    /// Such a server, running, its fast path active.
    pub(crate) fn start(&self) -> Result<Server> {
        let server = Self::server("").start(&self.there)?;
        self.wait_for_start(&server)?;
        if wire().is_some() {
            // A card's link may come and go once more, and the kernel answers meanwhile.
            self.wait_for_xdp(&server, &[SERVER4, SERVER6])?;
        }
        Ok(server)
    }

    /// Waits until the fast path of `eth0` is active, and the link is there.
    pub(crate) fn wait_for_start(&self, server: &Server) -> Result<()> {
        server.wait_for_line("XDP fast path active interface=eth0", resume())?;
        self.wait_for_link()
    }

    /// Waits until the server's end has a link: attaching resets some NICs.
    pub(crate) fn wait_for_link(&self) -> Result<()> {
        let until = Instant::now() + resume();
        while !self.there.ip("link show dev eth0")?.contains("LOWER_UP") {
            ensure!(Instant::now() < until, "the link does not come back");
            thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Asks `server` for `host.test` and says which path replied.
    pub(crate) fn ask(&self, server: &Server, address: &str) -> Result<Path> {
        self.ask_within(server, address, patience())
    }

    /// The same, waiting so long for the answer.
    pub(crate) fn ask_within(
        &self,
        server: &Server,
        address: &str,
        limit: Duration,
    ) -> Result<Path> {
        let asked = query("host.test", rtype::A).build();
        let address = SocketAddr::new(address.parse::<IpAddr>()?, 53);
        let before = replied(server)?;
        let answer = self.here.enter(|| ask_udp(address, &asked, limit))?;
        let answer = answer.with_context(|| format!("no answer from {address}"))?;
        ensure!(
            Message::parse(&answer)?.answer.len() == 1,
            "another answer than the local data"
        );
        which(server, before)
    }

    /// Asks until the fast path answers at all the addresses.
    pub(crate) fn wait_for_xdp(&self, server: &Server, addresses: &[&str]) -> Result<()> {
        self.wait_for(server, addresses, Path::Xdp)
    }

    /// Asks until this path answers at all the addresses.
    pub(crate) fn wait_for(&self, server: &Server, addresses: &[&str], path: Path) -> Result<()> {
        let until = Instant::now() + resume();
        for address in addresses {
            loop {
                match self.ask_within(server, address, GLIMPSE) {
                    Ok(seen) if seen == path => break,
                    seen if Instant::now() > until => {
                        bail!("{address} is not answered by {path:?} in time: {seen:?}")
                    }
                    _ => thread::sleep(Duration::from_millis(20)),
                }
            }
        }
        Ok(())
    }

    /// That the address is answered, and by this path.
    pub(crate) fn expect(&self, server: &Server, address: &str, path: Path) -> Result<()> {
        let seen = self.ask(server, address)?;
        ensure!(
            seen == path,
            "{address} was answered by {seen:?}, not by {path:?}"
        );
        Ok(())
    }
}

/// Configuration that sends everything that is not local to `upstream`.
pub(crate) fn forward_to(upstream: &Upstream) -> String {
    format!(
        "server:\n  do-not-query-localhost: no\nforward-zone:\n  name: \".\"\n  forward-addr: 127.0.0.1@{}",
        upstream.address().port()
    )
}

/// Replies by AF_XDP workers, and by the kernel's UDP workers.
pub(crate) fn replied(server: &Server) -> Result<(u64, u64)> {
    let all = server.stats()?;
    Ok((sum(&all, "xdp.", ".replied"), sum(&all, "udp.", ".replied")))
}

/// Which path has replied, exactly once, since `before`. A worker may count a reply just after sending it.
pub(crate) fn which(server: &Server, before: (u64, u64)) -> Result<Path> {
    let until = Instant::now() + patience();
    loop {
        let after = replied(server)?;
        match (after.0 - before.0, after.1 - before.1) {
            (1, 0) => return Ok(Path::Xdp),
            (0, 1) => return Ok(Path::Kernel),
            (0, 0) if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            other => bail!("replies by (AF_XDP, kernel): {other:?}"),
        }
    }
}

fn sum(all: &BTreeMap<String, u64>, start: &str, end: &str) -> u64 {
    all.iter()
        .filter(|(name, _)| name.starts_with(start) && name.ends_with(end))
        .map(|(_, value)| value)
        .sum()
}
