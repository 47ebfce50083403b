use std::env;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::netns::{Netns, VethEnd};

/// How much slower than a real machine the emulated one may be.
const SLOWNESS: u32 = 10;
/// How much slower than a quiet machine one with other work may be.
const BUSYNESS: u32 = 5;
/// How long the whole machine may stand still, its clock running, while somebody measures something beside it.
const STANDSTILL: Duration = Duration::from_secs(70);

/// How long a NIC may take to come back from the namespace of the test before.
const RETURN_LIMIT: Duration = Duration::from_secs(10);

/// Whether this process runs in the virtual machine.
pub fn inside() -> bool {
    env::var_os("SLUICEGATE_VM").is_some()
}

/// The longest to wait for what takes less than `limit` on a quiet machine. A wait that ends with what it waits for costs
/// no more for that; who waits for nothing to happen takes another time.
pub fn lenient(limit: Duration) -> Duration {
    if inside() {
        limit * SLOWNESS + STANDSTILL
    } else {
        limit * BUSYNESS
    }
}

/// The running kernel's release, as `uname -r` says it.
///
/// # Errors
/// `/proc` is not to be read.
pub fn kernel() -> Result<String> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(release.trim().to_owned())
}

/// Whether the virtual machine was given a NIC of that name. Interfaces of a real machine are never looked at.
pub fn has_nic(name: &str) -> bool {
    inside()
        && env::var("SLUICEGATE_VM_NICS").is_ok_and(|all| all.split(' ').any(|nic| nic == name))
}

/// The wire whose NICs shall take a veth's place, as [`Machine::instead_of_veth`](super::Machine::instead_of_veth) said.
pub fn wire() -> Option<String> {
    env::var(WIRE).ok().filter(|_| inside())
}

/// Moves a NIC of the virtual machine into `netns`, up and without addresses. It comes back when the namespace ends.
///
/// # Errors
/// There is no such NIC, or it does not come back from the test before.
pub fn take_nic<'n>(netns: &'n Netns, name: &str) -> Result<VethEnd<'n>> {
    take_nic_as(netns, name, name)
}

/// The same under another name there.
///
/// # Errors
/// As of [`take_nic`].
pub fn take_nic_as<'n>(netns: &'n Netns, name: &str, there: &str) -> Result<VethEnd<'n>> {
    ensure!(has_nic(name), "the virtual machine has no NIC {name}");
    let end = Instant::now() + lenient(RETURN_LIMIT);
    let (here, mac) = loop {
        if let Some(found) = find_nic(name)? {
            break found;
        }
        ensure!(Instant::now() < end, "{name} is not back");
        thread::sleep(Duration::from_millis(20));
    };
    let moved = Command::new("ip")
        .args(["link", "set", &here, "mtu", "1500", "address", &mac])
        .args(["name", there, "netns"])
        .arg(netns.path())
        .output()
        .context("ip link set")?;
    if !moved.status.success() {
        bail!(
            "{name} can't be moved: {}",
            String::from_utf8_lossy(&moved.stderr).trim()
        );
    }
    VethEnd::adopt(netns, there)
}

/// What a NIC is called outside of the namespaces, and its own MAC address: one that was renamed in one, or given another
/// address, comes back so.
fn find_nic(name: &str) -> Result<Option<(String, String)>> {
    let nics = std::fs::read_to_string(NICS).context(NICS)?;
    let mut all = nics.lines().filter_map(|line| line.split_once(' '));
    let (mac, _) = all
        .find(|(_, nic)| *nic == name)
        .with_context(|| format!("{NICS} has no {name}"))?;
    let devices = Path::new("/sys/class/net");
    if devices.join(name).exists() {
        return Ok(Some((name.to_owned(), mac.to_owned())));
    }
    for device in std::fs::read_dir(devices)? {
        let device = device?;
        let Ok(here) = device.file_name().into_string() else {
            continue;
        };
        let address = std::fs::read_to_string(device.path().join("address")).unwrap_or_default();
        if address.trim() == mac || permanent_mac(&here)? == mac {
            return Ok(Some((here, mac.to_owned())));
        }
    }
    Ok(None)
}

/// The MAC address that a card was made with.
fn permanent_mac(interface: &str) -> Result<String> {
    let told = Command::new("ethtool")
        .args(["-P", interface])
        .output()
        .context("ethtool -P")?;
    let told = String::from_utf8_lossy(&told.stdout);
    Ok(told.trim().rsplit(' ').next().unwrap_or("").to_owned())
}

/// The name of the wire.
pub(super) const WIRE: &str = "SLUICEGATE_VM_WIRE";
/// MAC address and name of each NIC, as `lab/vm/run` gave them.
const NICS: &str = "/run/lab/nics";
