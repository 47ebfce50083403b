//! What people build on two NICs: bonds, VLANs on them, bridges, and Proxmox's reference architecture.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use sluicegate_lab::netns::{Netns, Process, veth_pair};
use sluicegate_lab::peers;
use sluicegate_lab::server::{Server, server};
use sluicegate_lab::vm::record;

use crate::site::{expect_at_least, patience};
use crate::tower::{ASKED, Path, Tower, config, far};

/// A plain server's address on the same host.
const BESIDE: &str = "10.11.2.201";
pub(crate) const VLAN10: &str = "link add link bond0 name bond0.10 type vlan id 10";
/// Two wires between igb NICs, two between virtio ones.
pub(crate) const IGBS: [(&str, u32); 2] = [("lag", 1), ("lag", 2)];
const VIRTIOS: [(&str, u32); 2] = [("vlag", 1), ("vlag", 2)];
pub(crate) const MEMBERS: [&str; 2] = ["lag-s1", "lag-s2"];

/// An address on an LACP bond: taken at both members, each of which answers what comes in by it; then one of them fails.
pub(crate) fn bond() -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.lacp()?;
    tower.build(&[&format!("addr add {ASKED}/24 dev bond0")])?;
    tower.client_on("bond0", &[])?;
    let server = tower.start("")?;
    tower.served_at("LACP bond of two NICs", &server, &MEMBERS)?;
    let silent = |member: &str| -> Result<bool> {
        Ok(server.sum(&format!("xdp.{member}."), ".replied")? == 0)
    };
    let until = Instant::now() + patience();
    for member in MEMBERS {
        while silent(member)? {
            ensure!(Instant::now() < until, "{member} answers nothing");
            ensure!(tower.ask(&server)? == Path::Xdp, "not by AF_XDP");
        }
    }
    fails_over(&tower, &server, "LACP bond")
}

/// Each member in turn loses its partner: the other one answers, by AF_XDP, also while the lost one is made ready.
fn fails_over(tower: &Tower, server: &Server, kind: &str) -> Result<()> {
    for (lost, left) in [(0, 1), (1, 0)] {
        let (lost, left) = (&tower.nics[lost], &tower.nics[left]);
        tower.client.ip(&format!("link set {} down", far(lost)))?;
        tower.aggregated(1)?;
        let counter = format!("xdp.{left}.");
        let before = server.sum(&counter, ".replied")?;
        let path = tower.judge(&format!("{kind}, {lost} cut off"), server)?;
        ensure!(path == Path::Xdp, "{lost} cut off: answered by {path:?}");
        expect_at_least(server, &counter, ".replied", before + 1)?;
        tower.client.ip(&format!("link set {} up", far(lost)))?;
        tower.aggregated(2)?;
    }
    tower.served_at(&format!("{kind}, whole again"), server, &MEMBERS)
}

/// The bond with a backup: all is ready there, and it takes over when the active member goes.
pub(crate) fn backup() -> Result<()> {
    let tower = Tower::on(&VIRTIOS)?;
    tower.bond("mode active-backup")?;
    tower.build(&[&format!("addr add {ASKED}/24 dev bond0")])?;
    tower.client_on("bond0", &[])?;
    let server = tower.start("")?;
    let (first, second) = (&tower.nics[0], &tower.nics[1]);
    tower.served_at("bond with a backup", &server, &[first])?;
    let ready = format!("XDP fast path active interface={second}");
    server.wait_for_line(&ready, patience())?;
    for (netns, second) in [
        (&tower.server, second.clone()),
        (&tower.client, far(second)),
    ] {
        netns.ip(&format!("link set bond0 type bond active_slave {second}"))?;
    }
    tower.served_at("bond, the backup has taken over", &server, &[second])
}

/// Modes in which packets may come in by a member whose MAC address is not the bond's.
pub(crate) fn unusable_mode() -> Result<()> {
    let tower = Tower::on(&VIRTIOS)?;
    tower.bond("mode balance-tlb")?;
    tower.build(&[&format!("addr add {ASKED}/24 dev bond0")])?;
    tower.client_on("bond0", &[])?;
    let server = tower.start("")?;
    tower.left_to_kernel(
        "bond of mode balance-tlb",
        &server,
        "is of mode balance-tlb",
    )
}

/// A VLAN on a bond; `bridged`: the bond is a bridge's port as well, whose handler sees the frames first (after the
/// VLANs). The NICs take tags off until they are told not to.
pub(crate) fn vlan_on_bond(bridged: bool) -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.strip(true)?;
    tower.lacp()?;
    tower.build(&[
        VLAN10,
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
    tower.client_on("bond0.10", &[VLAN10])?;
    let server = tower.start("")?;
    let kind = if bridged {
        "VLAN on a bond that a bridge has as its port"
    } else {
        "VLAN on an LACP bond"
    };
    let command = format!("ethtool -K {} rxvlan off", MEMBERS[0]);
    tower.left_to_kernel(kind, &server, &command)?;
    tower.strip(false)?;
    tower.served_at(&format!("{kind}, rxvlan off"), &server, &MEMBERS)
}

/// A bridge on a bond, as Proxmox's installer makes it, with the host's address; a guest's veth beside. `filtering`: the
/// bridge is VLAN-aware.
pub(crate) fn bridge_on_bond(filtering: bool) -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.strip(false)?;
    tower.lacp()?;
    let filter = u8::from(filtering);
    tower.build(&[
        &format!("link add vmbr0 type bridge forward_delay 0 vlan_filtering {filter}"),
        "link set bond0 master vmbr0",
        &format!("addr add {ASKED}/24 dev vmbr0"),
        "link set vmbr0 up",
    ])?;
    let guest = Netns::new()?;
    veth_pair(&tower.server, "veth100", &guest, "eth0", 1)?;
    tower.build(&["link set veth100 master vmbr0"])?;
    tower.client_on("bond0", &[])?;
    let server = tower.start("")?;
    if filtering {
        tower.left_to_kernel("VLAN-aware bridge on a bond", &server, "filters VLANs")
    } else {
        tower.served_at("bridge on an LACP bond", &server, &MEMBERS)
    }
}

/// A bridge for one VLAN of the bond (`vmbr10` on `bond0.10`), with the host's address.
pub(crate) fn bridge_on_vlan() -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.strip(false)?;
    tower.lacp()?;
    tower.build(&[
        VLAN10,
        "link add vmbr10 type bridge forward_delay 0",
        "link set bond0.10 master vmbr10",
        &format!("addr add {ASKED}/24 dev vmbr10"),
        "link set bond0.10 up",
        "link set vmbr10 up",
    ])?;
    tower.client_on("bond0.10", &[VLAN10])?;
    let server = tower.start("")?;
    tower.served_at("bridge on a VLAN on a bond", &server, &MEMBERS)
}

/// The server in a container, behind a VLAN-aware bridge that tags what its veth sends.
pub(crate) fn container() -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.lacp()?;
    tower.build(&[
        "link add vmbr0 type bridge forward_delay 0 vlan_filtering 1",
        "link set bond0 master vmbr0",
        "link set vmbr0 up",
    ])?;
    let inside = Netns::new()?;
    let (_, eth0) = veth_pair(&tower.server, "veth101", &inside, "eth0", 1)?;
    eth0.add_address(&format!("{ASKED}/24"))?;
    tower.build(&["link set veth101 master vmbr0"])?;
    for words in [
        "vlan add dev bond0 vid 10",
        "vlan add dev veth101 vid 10 pvid untagged",
        "vlan del dev veth101 vid 1",
    ] {
        let mut bridge = std::process::Command::new("bridge");
        bridge.args(words.split(' '));
        let done = tower.server.run(&bridge)?;
        ensure!(done.success(), "bridge {words}: {}", done.stderr);
    }
    tower.client_on("bond0.10", &[VLAN10])?;
    let server = server(&config("")).start(&inside)?;
    tower.served_at("container on a VLAN-aware bridge", &server, &["eth0"])
}

/// The reference architecture for Proxmox: LACP bond, VLAN 10, bridge, veth with our address; beside it a plain server
/// on the bridge's own address, which keeps its traffic; then one member of the bond fails.
pub(crate) fn proxmox() -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.strip(true)?;
    tower.lacp()?;
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
        VLAN10,
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
    tower.client_on("bond0.10", &[VLAN10])?;
    let plain = knotd(&tower.server)?;
    let server = tower.start("")?;
    let kind = "Proxmox: LACP bond, VLAN, bridge, veth";
    tower.served_at(kind, &server, &["veth-rb"])?;
    keeps_its_traffic(&tower, &plain)?;
    tower.client.ip("link set lag-c1 down")?;
    tower.aggregated(1)?;
    let path = tower.judge("Proxmox, a member of the bond cut off", &server)?;
    ensure!(path == Path::Xdp, "answered by {path:?}");
    keeps_its_traffic(&tower, &plain)
}

/// Knot's own server on the bridge's address answers by itself.
fn keeps_its_traffic(tower: &Tower, plain: &Process) -> Result<()> {
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
        "the server beside ours: {}{}\n{}",
        finished.stdout,
        finished.stderr,
        plain.lines_with("").join("\n")
    );
    record("a plain server beside", "", "", "keeps its traffic")
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
    let knotd = netns.spawn(&knotd)?;
    knotd
        .wait_for_line("server started", patience())
        .with_context(|| knotd.lines_with("").join("\n"))?;
    Ok(knotd)
}
