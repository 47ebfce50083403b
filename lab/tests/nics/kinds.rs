//! Interfaces above a NIC: VLAN, bridge, bond, macvlan, ipvlan, and the towers that people build of them.
//!
//! Whatever the server decides about them, three things must hold: every query is answered, an interface that is
//! called served by AF_XDP is, and other servers on the host keep their traffic.

use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::netns::{Netns, Process};
use sluicegate_lab::peers;
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::vm::{record, take_nic};
use sluicegate_lab::wire::{ask_udp, query, rtype};

use crate::site::{SMALL, dns, driver, kdig, patience, standing_of_any};

/// Two hosts and what stands between the address and the NIC.
struct Tower {
    server: Netns,
    client: Netns,
    nics: Vec<String>,
}

/// The address that is asked.
const ASKED: &str = "10.11.2.250";
const CLIENT: &str = "10.11.2.2/24";
/// A plain server's address on the same host.
const BESIDE: &str = "10.11.2.201";

impl Tower {
    /// Both hosts with one NIC for each wire.
    fn on(wires: &[(&str, u32)]) -> Result<Self> {
        let tower = Self {
            server: Netns::new()?,
            client: Netns::new()?,
            nics: wires
                .iter()
                .map(|(name, n)| format!("{name}-s{n}"))
                .collect(),
        };
        tower.client.sysctl("net/ipv4/conf/all/rp_filter", "1")?;
        for (name, n) in wires {
            take_nic(&tower.server, &format!("{name}-s{n}"))?;
            take_nic(&tower.client, &format!("{name}-c{n}"))?;
        }
        Ok(tower)
    }

    /// The client's address on `interface`, which is made by `command` when that isn't empty.
    fn client_on(&self, interface: &str, command: &str) -> Result<()> {
        if !command.is_empty() {
            self.client.ip(command)?;
        }
        self.client
            .ip(&format!("addr add {CLIENT} dev {interface}"))?;
        self.client.ip(&format!("link set {interface} up"))?;
        Ok(())
    }

    /// Runs `ip` commands on the server's host.
    fn build(&self, commands: &[&str]) -> Result<()> {
        commands
            .iter()
            .try_for_each(|words| self.server.ip(words).map(drop))
    }

    /// A server on [`ASKED`] alone.
    fn start(&self, more: &str) -> Result<Server> {
        server(&format!(
            "server:\n  interface: {ASKED}\n  access-control: 0.0.0.0/0 allow\n  \
             local-zone: \"test.\" static\n  local-data: \"host.test. 60 A 192.0.2.7\"\n{SMALL}{more}\n"
        ))
        .start(&self.server)
    }

    /// Asks until it is answered, then five more times, each of which must be answered, and says by which path.
    fn ask(&self, server: &Server) -> Result<&'static str> {
        let asked = query("host.test", rtype::A).build();
        let address = dns(ASKED)?;
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
        for n in 1..=5 {
            let answer = self.client.enter(|| ask_udp(address, &asked, patience()))?;
            ensure!(answer.is_some(), "query {n} of 5 is not answered");
        }
        let until = Instant::now() + patience();
        loop {
            let xdp = server.sum("xdp.", ".replied")? - before.0;
            let udp = server.sum("udp.", ".replied")? - before.1;
            match (xdp, udp) {
                (5.., 0) => return Ok("AF_XDP"),
                (0, 5..) => return Ok("the kernel"),
                (1.., 1..) if xdp + udp >= 5 => return Ok("both paths"),
                _ if Instant::now() < until => std::thread::sleep(POLL),
                seen => bail!("replies by (AF_XDP, kernel): {seen:?}"),
            }
        }
    }

    /// What must hold for every tower, written down as a row; which path answered.
    fn judge(&self, kind: &str, server: &Server) -> Result<&'static str> {
        let mode = standing_of_any(server);
        let path = self.seen(kind, &mode, server)?;
        ensure!(
            mode.starts_with("kernel") == (path == "the kernel"),
            "the log says {mode}, but {path} answered"
        );
        Ok(path)
    }

    /// The same without a look at what the log promised.
    fn seen(&self, kind: &str, mode: &str, server: &Server) -> Result<&'static str> {
        let driver = driver(&self.server, &self.nics[0])?;
        let seen = self.ask(server);
        let verdict = match &seen {
            Ok(path) => format!("answered by {path}"),
            Err(error) => format!("FAILS: {error:#}"),
        };
        record(kind, &driver, mode, &verdict)?;
        let path = seen.with_context(|| {
            let log = server.process().lines_with("").join("\n");
            format!("{mode}; log:\n{log}")
        })?;
        kdig(&self.client, ASKED, &["+tcp"])?;
        Ok(path)
    }

    /// LACP over the NICs of one host.
    fn lacp(netns: &Netns, nics: &[String]) -> Result<()> {
        netns.ip("link add bond0 type bond mode 802.3ad miimon 100 lacp_rate fast")?;
        for nic in nics {
            netns.ip(&format!("link set {nic} down"))?;
            netns.ip(&format!("link set {nic} master bond0"))?;
        }
        netns.ip("link set bond0 up")?;
        Ok(())
    }

    /// LACP on both hosts, aggregated.
    fn bond(&self) -> Result<()> {
        let there: Vec<String> = self
            .nics
            .iter()
            .map(|nic| nic.replace("-s", "-c"))
            .collect();
        Self::lacp(&self.server, &self.nics)?;
        Self::lacp(&self.client, &there)?;
        let until = Instant::now() + patience();
        for netns in [&self.server, &self.client] {
            while !netns.ip("-d link show bond0")?.contains("ad_num_ports 2") {
                ensure!(Instant::now() < until, "LACP does not aggregate both NICs");
                std::thread::sleep(POLL);
            }
        }
        Ok(())
    }
}

const POLL: std::time::Duration = std::time::Duration::from_millis(100);

/// A VLAN on a NIC. A NIC that strips tags must not make us answer without one.
pub(crate) fn vlan(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    tower.build(&[
        &format!("link add link {nic} name vlan10 type vlan id 10"),
        &format!("addr add {ASKED}/24 dev vlan10"),
        "link set vlan10 up",
    ])?;
    let far = nic.replace("-s", "-c");
    tower.client_on(
        "vlan10",
        &format!("link add link {far} name vlan10 type vlan id 10"),
    )?;
    let stripped = tower.server.ethtool(&format!("-k {nic}"))?;
    let stripped = stripped.contains("rx-vlan-offload: on");
    let tags = if stripped {
        "stripped by the NIC"
    } else {
        "left in the frame"
    };
    let server = tower.start("")?;
    let kind = format!("VLAN, tags {tags}");
    if !stripped {
        return tower.judge(&kind, &server).map(drop);
    }
    // The program can't know which VLAN the frame came from: only the kernel answers with the tag.
    let path = tower.seen(&kind, &standing_of_any(&server), &server)?;
    ensure!(
        path == "the kernel",
        "a stripped query was answered by {path}"
    );
    Ok(())
}

/// The same with the NIC told to leave tags alone.
pub(crate) fn vlan_unstripped(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = tower.nics[0].clone();
    tower.server.ethtool(&format!("-K {nic} rxvlan off"))?;
    tower.build(&[
        &format!("link add link {nic} name vlan10 type vlan id 10"),
        &format!("addr add {ASKED}/24 dev vlan10"),
        "link set vlan10 up",
    ])?;
    let far = nic.replace("-s", "-c");
    tower.client_on(
        "vlan10",
        &format!("link add link {far} name vlan10 type vlan id 10"),
    )?;
    let server = tower.start("")?;
    let outcome = tower.judge("VLAN, after ethtool -K rxvlan off", &server);
    tower.server.ethtool(&format!("-K {nic} rxvlan on"))?;
    outcome.map(drop)
}

/// A bridge whose one port is the NIC.
pub(crate) fn bridge(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    tower.build(&[
        "link add br0 type bridge forward_delay 0",
        &format!("link set {nic} master br0"),
        &format!("addr add {ASKED}/24 dev br0"),
        "link set br0 up",
    ])?;
    tower.client_on(&nic.replace("-s", "-c"), "")?;
    let server = tower.start("")?;
    tower.judge("bridge, the NIC its port", &server).map(drop)
}

/// macvlan or ipvlan on the NIC.
pub(crate) fn sharing(wire: &str, kind: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    tower.build(&[
        &format!("link add link {nic} name shared0 type {kind}"),
        &format!("addr add {ASKED}/24 dev shared0"),
        "link set shared0 up",
    ])?;
    tower.client_on(&nic.replace("-s", "-c"), "")?;
    let server = tower.start("")?;
    tower.judge(kind, &server).map(drop)
}

/// An address on the bond itself: a bind there succeeds and never receives.
pub(crate) fn bond() -> Result<()> {
    let tower = Tower::on(&[("igb", 1), ("igb", 2)])?;
    tower.bond()?;
    tower.build(&[&format!("addr add {ASKED}/24 dev bond0")])?;
    tower.client_on("bond0", "")?;
    let server = tower.start("")?;
    tower.judge("LACP bond of two NICs", &server).map(drop)
}

/// A VLAN on a bond; `bridged`: the bond is a bridge's port as well, whose handler sees the frames first.
pub(crate) fn vlan_on_bond(bridged: bool) -> Result<()> {
    let tower = Tower::on(&[("igb", 1), ("igb", 2)])?;
    tower.bond()?;
    tower.build(&[
        "link add link bond0 name bond0.10 type vlan id 10",
        &format!("addr add {ASKED}/24 dev bond0.10"),
        "link set bond0.10 up",
    ])?;
    if bridged {
        tower.build(&[
            "link add vmbr0 type bridge forward_delay 0",
            "link set bond0 master vmbr0",
            "link set vmbr0 up",
        ])?;
    }
    tower.client_on(
        "bond0.10",
        "link add link bond0 name bond0.10 type vlan id 10",
    )?;
    let server = tower.start("")?;
    let kind = if bridged {
        "VLAN on a bond that a bridge has as its port"
    } else {
        "VLAN on an LACP bond"
    };
    tower.judge(kind, &server).map(drop)
}

/// The reference architecture for Proxmox: LACP bond, VLAN 10, bridge, veth with our address; beside it a plain server
/// on the bridge's own address, which keeps its traffic; then one member of the bond fails.
pub(crate) fn proxmox() -> Result<()> {
    let tower = Tower::on(&[("igb", 1), ("igb", 2)])?;
    tower.bond()?;
    for (knob, value) in [
        ("arp_ignore", "1"),
        ("arp_announce", "2"),
        ("rp_filter", "0"),
    ] {
        tower
            .server
            .sysctl(&format!("net/ipv4/conf/all/{knob}"), value)?;
    }
    tower.build(&[
        "link add link bond0 name bond0.10 type vlan id 10",
        "link add br-rb type bridge forward_delay 0",
        "link set bond0.10 master br-rb",
        "link add veth-rb type veth peer name veth-bnd",
        "link set veth-bnd master br-rb",
        &format!("addr add {BESIDE}/24 dev br-rb"),
        &format!("addr add {ASKED}/24 dev veth-rb"),
        "link set bond0.10 up",
        "link set br-rb up",
        "link set veth-bnd up",
        "link set veth-rb up",
    ])?;
    tower.client_on(
        "bond0.10",
        "link add link bond0 name bond0.10 type vlan id 10",
    )?;
    let plain = knotd(&tower.server)?;
    let server = tower.start("")?;
    tower.judge("Proxmox: LACP bond, VLAN, bridge, veth", &server)?;
    keeps_its_traffic(&tower, &plain)?;
    tower.client.ip("link set igb-c1 down")?;
    let path = tower
        .ask(&server)
        .context("after a member of the bond failed")?;
    record(
        "Proxmox, a member of the bond down",
        "igb",
        &standing_of_any(&server),
        &format!("answered by {path}"),
    )?;
    keeps_its_traffic(&tower, &plain)
}

/// Knot's own server on the bridge's address answers by itself.
fn keeps_its_traffic(tower: &Tower, _plain: &Process) -> Result<()> {
    let mut kdig = peers::command("kdig")?;
    let timeout = format!("+timeout={}", patience().as_secs());
    kdig.args([
        "+short",
        "+retry=0",
        &timeout,
        &format!("@{BESIDE}"),
        "beside.example",
        "A",
    ]);
    let finished = tower.client.run(&kdig)?;
    ensure!(
        finished.stdout.trim() == "192.0.2.201",
        "the server beside ours: {}{}",
        finished.stdout,
        finished.stderr
    );
    Ok(())
}

fn knotd(netns: &Netns) -> Result<Process> {
    let dir = std::env::temp_dir().join("knot-beside");
    std::fs::create_dir_all(&dir)?;
    let path = dir.display();
    std::fs::write(
        dir.join("knot.conf"),
        format!(
            "server:\n  listen: {BESIDE}@53\n  rundir: {path}\ndatabase:\n  storage: {path}\n\
             template:\n  - id: default\n    storage: {path}\nzone:\n  - domain: example\n"
        ),
    )?;
    std::fs::write(
        dir.join("example.zone"),
        "@ 60 SOA ns hostmaster 1 3600 600 86400 60\n@ 60 NS ns\nns 60 A 192.0.2.201\nbeside 60 A 192.0.2.201\n",
    )?;
    let mut knotd = peers::command("knotd")?;
    knotd.arg("-c").arg(dir.join("knot.conf"));
    netns.spawn(&knotd)
}
