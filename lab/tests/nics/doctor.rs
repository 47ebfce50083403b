//! What `sluicegate doctor` says of a real driver's settings, and that its commands mend them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};
use sluicegate_lab::netns::Netns;
use sluicegate_lab::server::program;

use crate::site::Site;

/// igb takes tags off and hashes addresses alone. Each is found, mended by `--fix`, put back by `--undo`, and mended by
/// the command that was shown.
pub(crate) fn mends(wire: &str) -> Result<()> {
    let site = Site::on(wire)?;
    let nic = site.nic().name;
    let host = &site.server;
    host.ip(&format!("link add link {nic} name tagged type vlan id 10"))?;
    host.ip("addr add 10.11.2.1/24 dev tagged")?;
    host.ip("link set tagged up")?;
    let doctor = Doctor::new(host)?;
    for (check, command) in [
        ("vlan-offload", format!("ethtool -K {nic} rxvlan off")),
        ("rss", format!("ethtool -N {nic} rx-flow-hash udp4 sdfn")),
        ("rings", format!("ethtool -G {nic} rx 2048")),
    ] {
        let found = doctor.run(&[check])?;
        ensure!(found.contains(&format!("mend: {command}")), "{found}");
        let fixed = doctor.run(&["--fix", check])?;
        ensure!(fixed.contains(&format!("changed: {command}")), "{fixed}");
        let well = doctor.run(&[check])?;
        ensure!(!well.contains("mend:"), "{well}");
        let back = doctor.run(&["--undo"])?;
        ensure!(
            back.contains("put back: ethtool") && !back.contains("failed"),
            "{back}"
        );
        let again = doctor.run(&[check])?;
        ensure!(again.contains(&format!("mend: {command}")), "{again}");
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]);
        ensure!(host.run(&shell)?.success(), "{command} fails");
        let typed = doctor.run(&[check])?;
        ensure!(!typed.contains(&command), "{typed}");
    }
    Ok(())
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
        let config = "server:\n  interface: 10.11.2.1\n  username: \"\"\n";
        fs::write(doctor.file("conf"), config)?;
        Ok(doctor)
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
