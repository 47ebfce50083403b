//! Two hosts and what is built on their NICs.

use std::cell::Cell;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::netns::Netns;
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::vm::{record, take_nic};
use sluicegate_lab::wire::{ask_udp, query, rtype};

use crate::site::{SMALL, dns, driver, kdig, patience};

/// The address that is asked.
pub(crate) const ASKED: &str = "10.11.2.250";
const CLIENT: &str = "10.11.2.2/24";
pub(crate) const POLL: Duration = Duration::from_millis(100);
/// Questions of one trial, each from a port of its own, so that a bond spreads them.
const QUESTIONS: u64 = 8;

/// Two hosts and what stands between the address and the NIC.
pub(crate) struct Tower {
    pub(crate) server: Netns,
    pub(crate) client: Netns,
    /// The server's NICs; the client's have `-c` in place of `-s`.
    pub(crate) nics: Vec<String>,
    /// Whether LACP decides which of them carry packets.
    lacp: Cell<bool>,
}

/// Which path answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Path {
    Xdp,
    Kernel,
    Both,
}

impl Tower {
    /// Both hosts with one NIC for each wire, as they are when a machine has started.
    pub(crate) fn on(wires: &[(&str, u32)]) -> Result<Self> {
        let tower = Self {
            server: Netns::new()?,
            client: Netns::new()?,
            nics: wires
                .iter()
                .map(|(name, n)| format!("{name}-s{n}"))
                .collect(),
            lacp: Cell::new(false),
        };
        // A reply without its tag comes in by the wrong interface: the client shall notice.
        tower.client.sysctl("net/ipv4/conf/all/rp_filter", "1")?;
        for nic in &tower.nics {
            take_nic(&tower.server, nic)?;
            take_nic(&tower.client, &far(nic))?;
        }
        Ok(tower)
    }

    /// Tells the server's NICs to take tags off, or to leave them alone. Such a setting outlives the test.
    pub(crate) fn strip(&self, strip: bool) -> Result<()> {
        let state = if strip { "on" } else { "off" };
        for nic in &self.nics {
            self.server.ethtool(&format!("-K {nic} rxvlan {state}"))?;
        }
        Ok(())
    }

    /// The client's address on `interface`, which is made by `commands` when there are any.
    pub(crate) fn client_on(&self, interface: &str, commands: &[&str]) -> Result<()> {
        for command in commands {
            self.client.ip(command)?;
        }
        self.client
            .ip(&format!("addr add {CLIENT} dev {interface}"))?;
        self.client.ip(&format!("link set {interface} up"))?;
        Ok(())
    }

    /// Runs `ip` commands on the server's host.
    pub(crate) fn build(&self, commands: &[&str]) -> Result<()> {
        commands
            .iter()
            .try_for_each(|words| self.server.ip(words).map(drop))
    }

    /// A server on [`ASKED`] alone.
    pub(crate) fn start(&self, more: &str) -> Result<Server> {
        server(&config(more)).start(&self.server)
    }

    /// Makes a bond of the NICs on each host, `options` the server's; `bond0` is up on both.
    pub(crate) fn bond(&self, options: &str) -> Result<()> {
        for (netns, nics) in [
            (&self.server, self.nics.clone()),
            (&self.client, self.nics.iter().map(|nic| far(nic)).collect()),
        ] {
            netns.ip(&format!("link add bond0 type bond miimon 100 {options}"))?;
            for nic in nics {
                netns.ip(&format!("link set {nic} down"))?;
                netns.ip(&format!("link set {nic} master bond0"))?;
            }
            netns.ip("link set bond0 up")?;
        }
        Ok(())
    }

    /// LACP over all NICs of both hosts, aggregated. The client spreads its questions over them by their ports.
    pub(crate) fn lacp(&self) -> Result<()> {
        self.bond("mode 802.3ad lacp_rate fast xmit_hash_policy layer3+4")?;
        self.lacp.set(true);
        self.aggregated(self.nics.len())
    }

    /// Waits until so many NICs of each host carry its bond's packets both ways, as LACP says of either end.
    pub(crate) fn aggregated(&self, members: usize) -> Result<()> {
        // 63: active, fast, aggregating, in sync, collecting, distributing. One without a link keeps what it had.
        const WHOLE: [&str; 4] = [
            " state ACTIVE ",
            " mii_status UP ",
            " ad_actor_oper_port_state 63 ",
            " ad_partner_oper_port_state 63 ",
        ];
        let until = Instant::now() + patience();
        for netns in [&self.server, &self.client] {
            loop {
                let told = netns.ip("-o -d link show master bond0")?;
                let whole = |line: &&str| WHOLE.iter().all(|state| line.contains(state));
                if told.lines().filter(whole).count() == members {
                    break;
                }
                ensure!(
                    Instant::now() < until,
                    "LACP does not come to {members} NICs: {told}"
                );
                sleep(POLL);
            }
        }
        Ok(())
    }

    /// Waits until the server serves by AF_XDP at just these interfaces, in the best mode that the driver of the first
    /// NIC has; then that it answers by them. Writes down a row.
    pub(crate) fn served_at(&self, kind: &str, server: &Server, places: &[&str]) -> Result<()> {
        let outcome = wait_for_places(server, places).and_then(|()| {
            // The client's end of a bond, too: it goes on sending to a member that has been reset, or takes it out later.
            if self.lacp.get() {
                self.aggregated(self.nics.len())?;
                wait_for_places(server, places)?;
            }
            Ok(())
        });
        let path = self.judge(kind, server)?;
        outcome.with_context(|| {
            let log = server.process().lines_with("").join("\n");
            format!("{path:?}; {places:?} are wanted; log:\n{log}")
        })?;
        ensure!(path == Path::Xdp, "answered by {path:?}");
        Ok(())
    }

    /// That the kernel alone answers, for a reason with these words. Writes down a row.
    pub(crate) fn left_to_kernel(&self, kind: &str, server: &Server, why: &str) -> Result<()> {
        let until = Instant::now() + patience();
        while !place(server)?.contains(why) {
            ensure!(
                Instant::now() < until,
                "not the reason {why:?}: {}",
                place(server)?
            );
            sleep(POLL);
        }
        let path = self.judge(kind, server)?;
        ensure!(path == Path::Kernel, "answered by {path:?}");
        Ok(())
    }

    /// Asks until all questions of a trial are answered by the same path, and says by which. None may be lost once one
    /// was answered.
    pub(crate) fn ask(&self, server: &Server) -> Result<Path> {
        let address = dns(ASKED)?;
        let asked = query("host.test", rtype::A).build();
        let until = Instant::now() + patience();
        // Neighbours, LACP and the NIC's own reset take their time.
        while self
            .client
            .enter(|| ask_udp(address, &asked, patience() / 20))?
            .is_none()
        {
            ensure!(Instant::now() < until, "nothing is answered");
        }
        let before = (
            server.sum("xdp.", ".replied")?,
            server.sum("udp.", ".replied")?,
        );
        for n in 1..=QUESTIONS {
            let answer = self.client.enter(|| ask_udp(address, &asked, patience()))?;
            ensure!(answer.is_some(), "query {n} of {QUESTIONS} is not answered");
        }
        let until = Instant::now() + patience();
        loop {
            let xdp = server.sum("xdp.", ".replied")? - before.0;
            let udp = server.sum("udp.", ".replied")? - before.1;
            match (xdp, udp) {
                (QUESTIONS.., 0) => return Ok(Path::Xdp),
                (0, QUESTIONS..) => return Ok(Path::Kernel),
                (1.., 1..) if xdp + udp >= QUESTIONS => return Ok(Path::Both),
                _ if Instant::now() < until => sleep(POLL),
                seen => bail!("replies by (AF_XDP, kernel): {seen:?}"),
            }
        }
    }

    /// What must hold for every tower, written down as a row; which path answered.
    pub(crate) fn judge(&self, kind: &str, server: &Server) -> Result<Path> {
        let mode = place(server)?;
        let mode = mode.split_once("): ").map_or(&*mode, |(_, mode)| mode);
        let nic = self.nics.first().map_or("tap0", String::as_str);
        let driver = driver(&self.server, nic)?;
        let seen = self.ask(server);
        let verdict = match &seen {
            Ok(Path::Xdp) => "answered by AF_XDP".to_owned(),
            Ok(Path::Kernel) => "answered by the kernel".to_owned(),
            Ok(Path::Both) => "answered by both paths".to_owned(),
            Err(error) => format!("FAILS: {error:#}"),
        };
        record(kind, &driver, mode, &verdict)?;
        let path = seen.with_context(|| {
            let log = server.process().lines_with("").join("\n");
            format!("{mode}; log:\n{log}")
        })?;
        kdig(&self.client, ASKED, &["+tcp"])?;
        ensure!(
            mode.contains("XDP at") == (path != Path::Kernel),
            "the server says {mode}, but {path:?} answered"
        );
        Ok(path)
    }
}

/// The configuration of a server on [`ASKED`].
pub(crate) fn config(more: &str) -> String {
    format!(
        "server:\n  interface: {ASKED}\n  access-control: 0.0.0.0/0 allow\n  local-zone: \"test.\" static\n  \
         local-data: \"host.test. 60 A 192.0.2.7\"\n{SMALL}{more}\n"
    )
}

/// The client's NIC of the same wire.
pub(crate) fn far(nic: &str) -> String {
    nic.replace("-s", "-c")
}

/// What the server tells of [`ASKED`] now.
pub(crate) fn place(server: &Server) -> Result<String> {
    let text = server.stats_text()?;
    let start = format!("place.{ASKED}@53=");
    let line = text.lines().find_map(|line| line.strip_prefix(&start));
    Ok(line.unwrap_or("nothing").to_owned())
}

fn wait_for_places(server: &Server, places: &[&str]) -> Result<()> {
    let until = Instant::now() + patience();
    loop {
        let told = place(server)?;
        let at: Vec<&str> = told
            .split("XDP at ")
            .skip(1)
            .filter_map(|rest| rest.split([' ', ';']).next())
            .collect();
        if at == places {
            return Ok(());
        }
        ensure!(Instant::now() < until, "the server says {told:?}");
        sleep(POLL);
    }
}
