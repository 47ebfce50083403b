//! What `sluicegate doctor` says of real drivers and of what is built on them, and that its commands mend it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use sluicegate_lab::netns::Netns;
use sluicegate_lab::server::program;
use sluicegate_lab::vm::record;

use crate::site::driver;
use crate::tower::{ASKED, Tower};
use crate::towers::{IGBS, MEMBERS, VLAN10};

/// A card as its driver leaves it, with a VLAN: igb takes tags off, hashes addresses alone, has short rings.
pub(crate) fn card(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    tower.strip(true)?;
    let nic = &tower.nics[0];
    tower.build(&[
        &format!("link add link {nic} name tagged type vlan id 10"),
        &format!("addr add {ASKED}/24 dev tagged"),
        "link set tagged up",
    ])?;
    let doctor = Doctor::new(&tower.server)?;
    for (check, command) in [
        ("vlan-offload", format!("ethtool -K {nic} rxvlan off")),
        ("rss", format!("ethtool -N {nic} rx-flow-hash udp4 sdfn")),
        ("rings", format!("ethtool -G {nic} rx 2048")),
    ] {
        doctor.mends(&tower, check, &command)?;
    }
    Ok(())
}

/// A card that somebody has given few queues and a large MTU.
pub(crate) fn mistuned(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    tower.server.ethtool(&format!("-L {nic} combined 1"))?;
    tower.build(&[
        &format!("link set {nic} mtu 3600"),
        &format!("addr add {ASKED}/24 dev {nic}"),
    ])?;
    let doctor = Doctor::new(&tower.server)?;
    doctor.mends(&tower, "mtu", &format!("ip link set dev {nic} mtu 1500"))?;
    doctor.mends(&tower, "queues", &format!("ethtool -L {nic} combined 2"))
}

/// A card that joins packets.
pub(crate) fn joins(wire: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    // Whether it does by default hangs on what was attached before: vmxnet3 stops it then, and doesn't say so.
    for state in ["off", "on"] {
        let _ = tower.server.ethtool(&format!("-K {nic} lro {state}"));
    }
    let features = tower.server.ethtool(&format!("-k {nic}"))?;
    ensure!(features.contains("large-receive-offload: on"), "{features}");
    tower.build(&[&format!("addr add {ASKED}/24 dev {nic}")])?;
    let doctor = Doctor::new(&tower.server)?;
    doctor.mends(&tower, "lro", &format!("ethtool -K {nic} lro off"))
}

/// What there is to know of a driver and nothing to type.
pub(crate) fn knows(wire: &str, says: &str) -> Result<()> {
    let tower = Tower::on(&[(wire, 1)])?;
    let nic = &tower.nics[0];
    tower.build(&[&format!("addr add {ASKED}/24 dev {nic}")])?;
    let found = Doctor::new(&tower.server)?.run(&["driver"])?;
    let driver = driver(&tower.server, nic)?;
    let one_line: Vec<&str> = found.split_whitespace().collect();
    ensure!(one_line.join(" ").contains(says), "{found}");
    record("doctor: driver", &driver, "", "named")
}

/// A VLAN on a bond whose members take tags off, and the bond a bridge's port. With what doctor has typed the fast path
/// comes.
pub(crate) fn bond() -> Result<()> {
    let tower = Tower::on(&IGBS)?;
    tower.strip(true)?;
    tower.lacp()?;
    tower.build(&[
        VLAN10,
        &format!("addr add {ASKED}/24 dev bond0.10"),
        "link set bond0.10 up",
        "link add vmbr0 type bridge forward_delay 0",
        "link set bond0 master vmbr0",
        "link set vmbr0 up",
    ])?;
    tower.client_on("bond0.10", &[VLAN10])?;
    let doctor = Doctor::new(&tower.server)?;
    doctor.mends(&tower, "port", "ip link set dev bond0 nomaster")?;
    let server = tower.start("")?;
    let [first, _] = MEMBERS;
    let command = format!("ethtool -K {first} rxvlan off");
    tower.left_to_kernel("doctor: before", &server, &command)?;
    let found = doctor.run(&["vlan-offload"])?;
    for member in MEMBERS {
        let command = format!("mend: ethtool -K {member} rxvlan off");
        ensure!(found.contains(&command), "{found}");
    }
    let fixed = doctor.run(&["--fix", "vlan-offload"])?;
    tower
        .served_at("doctor: after --fix vlan-offload", &server, &MEMBERS)
        .map_err(|error| error.context(fixed))
}

struct Doctor<'n> {
    host: &'n Netns,
    folder: PathBuf,
}

impl<'n> Doctor<'n> {
    fn new(host: &'n Netns) -> Result<Self> {
        let folder = std::env::temp_dir().join(format!("sluicegate-nics-{}", std::process::id()));
        fs::create_dir(&folder)?;
        let doctor = Self { host, folder };
        let config = format!("server:\n  interface: {ASKED}\n  username: \"\"\n");
        fs::write(doctor.file("conf"), config)?;
        Ok(doctor)
    }

    /// The check finds something and shows the command; `--fix` mends it, `--undo` puts it back, and the command as it
    /// was shown mends it too.
    fn mends(&self, tower: &Tower, check: &str, command: &str) -> Result<()> {
        let shown = format!("mend: {command}");
        let found = self.run(&[check])?;
        ensure!(found.contains(&shown), "want {shown}: {found}");
        let fixed = self.run(&["--fix", check])?;
        ensure!(fixed.contains(&format!("changed: {command}")), "{fixed}");
        let well = self.run(&[check])?;
        ensure!(!well.contains(&shown), "{well}");
        let back = self.run(&["--undo"])?;
        ensure!(
            back.contains("put back: ") && !back.contains("failed"),
            "{back}"
        );
        let again = self.run(&[check])?;
        ensure!(again.contains(&shown), "{again}");
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        ensure!(self.host.run(&shell)?.success(), "{command} fails");
        let typed = self.run(&[check])?;
        ensure!(!typed.contains(command), "{typed}");
        let driver = driver(self.host, &tower.nics[0])?;
        record(
            &format!("doctor: {check}"),
            &driver,
            "",
            "named, mended, put back",
        )
    }

    fn file(&self, name: &str) -> PathBuf {
        Path::new(&self.folder).join(name)
    }

    /// What it prints, its errors behind.
    fn run(&self, arguments: &[&str]) -> Result<String> {
        let mut command = Command::new(program()?);
        command
            .args(["doctor", "--no-trial", "-c"])
            .arg(self.file("conf"))
            .arg("--state")
            .arg(self.file("undo.json"))
            .args(arguments);
        let done = self.host.run(&command)?;
        Ok(done.stdout + &done.stderr)
    }
}

impl Drop for Doctor<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
