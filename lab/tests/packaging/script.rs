//! `install.sh`, in a machine with systemd and into a folder.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use sluicegate_lab::machine::Machine;
use sluicegate_lab::server::program;
use sluicegate_lab::workspace_root;

use super::ground::{answers, bring, here, is_silent, main_process, wait_active};
use super::package::folder;

/// Where the sources lie in the machine: in memory, so that they don't count as changed.
const SOURCES: &str = "/tmp/sluicegate";
const CONFIG: &str = "/etc/sluicegate/sluicegate.conf";

/// A dry run changes nothing; installed, it serves; a second run changes nothing; a changed configuration is kept;
/// uninstalled, it ends; purged, nothing is left.
pub(crate) fn from_first_to_last() -> Result<()> {
    let machine = Machine::boot()?;
    machine.shell("apt-get install -q -y --no-install-recommends libunbound8")?;
    bring_sources(&machine)?;
    let script = |words: &str| {
        machine.shell(&format!(
            "cd {SOURCES} && ./install.sh --binary ./sluicegate {words}"
        ))
    };
    let clean = machine.changes()?;
    let said = script("--dry-run --enable")?;
    ensure!(said.contains("systemctl enable --now"), "{said}");
    ensure!(
        machine.changes()? == clean,
        "a dry run changed {:#?}",
        machine.changes()?
    );

    script("--enable")?;
    wait_active(&machine)?;
    answers(machine.netns(), "127.0.0.1")?;
    machine.shell(
        "sluicegate checkconf -q && sluicegate health && systemctl is-enabled sluicegate.service",
    )?;

    machine.shell("systemctl disable sluicegate.service")?;
    script("--enable")?;
    machine.shell("systemctl is-enabled sluicegate.service")?;

    let installed = stamps(&machine)?;
    let again = script("--enable")?;
    ensure!(again.contains(&format!("kept: {CONFIG}")), "{again}");
    ensure!(
        stamps(&machine)? == installed,
        "a second run changed something:\n{again}"
    );

    machine.shell(&format!("echo '# by the operator' >>{CONFIG}"))?;
    script("")?;
    machine.shell(&format!("grep -q '^# by the operator' {CONFIG}"))?;
    answers(machine.netns(), "127.0.0.1")?;
    minds_what_runs(&machine, &script)?;

    let installed = stamps(&machine)?;
    script("--uninstall --dry-run")?;
    script("--purge --dry-run")?;
    ensure!(
        stamps(&machine)? == installed,
        "a dry run removed something"
    );
    script("--uninstall")?;
    ensure!(is_silent(machine.netns(), "127.0.0.1")?, "it still answers");
    machine.shell(&format!(
        "test -s {CONFIG} && test -d /var/lib/sluicegate && getent passwd sluicegate"
    ))?;
    machine.shell("! test -e /usr/sbin/sluicegate && ! systemctl cat sluicegate.service")?;
    script("--purge")?;
    ensure!(
        machine.changes()? == clean,
        "left behind: {:#?}, before: {clean:#?}",
        machine.changes()?
    );
    script("--purge").map(drop)
}

/// A unit that changed asks for a restart; a configuration that can't be used leaves the running server in place.
fn minds_what_runs(machine: &Machine, script: &dyn Fn(&str) -> Result<String>) -> Result<()> {
    let change_unit = "echo '# before' >>/usr/lib/systemd/system/sluicegate.service";
    machine.shell(change_unit)?;
    let said = script("")?;
    ensure!(
        said.contains("+ systemctl daemon-reload")
            && said.contains("Next: systemctl restart sluicegate"),
        "{said}"
    );
    let before = main_process(machine)?;
    machine.shell(&format!("{change_unit}; echo nonsense >>{CONFIG}"))?;
    let Err(refused) = script("--enable") else {
        bail!("it took a configuration that can't be used");
    };
    ensure!(
        refused.to_string().contains("can't use"),
        "refused for another reason: {refused}"
    );
    ensure!(main_process(machine)? == before, "the server was ended");
    machine.shell(&format!("{change_unit}; sed -i '$d' {CONFIG}"))?;
    script("--enable")?;
    wait_active(machine)?;
    ensure!(main_process(machine)? != before, "no restart");
    answers(machine.netns(), "127.0.0.1")
}

/// Every file of the machine that is not the base's, with its inode, size and times: what a second run must not touch.
fn stamps(machine: &Machine) -> Result<String> {
    machine.shell(
        "find /usr/sbin /usr/share /usr/lib/systemd /usr/lib/sysusers.d /usr/lib/tmpfiles.d /etc /var/lib/sluicegate \
         -name '*sluicegate*' -printf '%p %i %s %m %U %T@\\n' | sort; cat /etc/passwd",
    )
}

fn bring_sources(machine: &Machine) -> Result<()> {
    let root = workspace_root();
    for file in files(&root.join("dist"))? {
        let inside = Path::new(SOURCES).join(file.strip_prefix(&root)?);
        let outside = machine.path(&inside.display().to_string());
        fs::create_dir_all(outside.parent().context("a file is in a folder")?)?;
        fs::copy(&file, outside)?;
    }
    bring(
        machine,
        &root.join("install.sh"),
        &format!("{SOURCES}/install.sh"),
    )?;
    bring(machine, &program()?, &format!("{SOURCES}/sluicegate"))
}

/// Into a folder: the same files, twice; a configuration that was changed is kept, also when all else is taken off; a
/// driver known for XDP is told; nothing of the machine itself is touched, so that it needs no root.
pub(crate) fn into_a_folder() -> Result<()> {
    let folder = folder("install")?;
    let outcome = in_folder(&folder);
    fs::remove_dir_all(&folder)?;
    outcome
}

fn in_folder(folder: &Path) -> Result<()> {
    let root = folder.join("root");
    fs::create_dir(&root)?;
    let script = |words: &[&str]| {
        let mut command = Command::new(workspace_root().join("install.sh"));
        command
            .arg("--root")
            .arg(&root)
            .arg("--binary")
            .arg(program()?);
        here(command.args(words))
    };
    let said = script(&["--dry-run"])?;
    ensure!(said.contains("+ install"), "{said}");
    ensure!(
        files(&root)?.is_empty(),
        "a dry run made {:?}",
        files(&root)?
    );

    script(&[])?;
    let first = contents(&root)?;
    for file in [
        "usr/sbin/sluicegate",
        "etc/sluicegate/sluicegate.conf",
        "usr/share/man/man8/sluicegate.8",
    ] {
        ensure!(
            first.contains_key(Path::new(file)),
            "no {file} in {:?}",
            first.keys()
        );
    }
    script(&[])?;
    ensure!(contents(&root)? == first, "a second run changed something");

    let config = root.join("etc/sluicegate/sluicegate.conf");
    fs::write(&config, "# by the operator\n")?;
    script(&[])?;
    script(&["--uninstall"])?;
    ensure!(
        fs::read_to_string(&config)? == "# by the operator\n",
        "not kept"
    );
    let left: Vec<_> = contents(&root)?.into_keys().collect();
    let kept = [
        "etc/sluicegate/conf.d/README",
        "etc/sluicegate/sluicegate.conf",
    ]
    .map(PathBuf::from);
    ensure!(left == kept, "left by --uninstall: {left:?}");
    script(&["--purge"])?;
    ensure!(
        contents(&root)?.is_empty(),
        "left by --purge: {:?}",
        contents(&root)?
    );
    tells_the_mode(folder, &script)
}

/// The interfaces that the script sees are those of a made-up /sys.
fn tells_the_mode(folder: &Path, script: &dyn Fn(&[&str]) -> Result<String>) -> Result<()> {
    let sys = folder.join("net");
    let net = sys.display().to_string();
    for (name, driver) in [
        ("eth7", "ice"),
        ("end0", "dwmac-sun8i"),
        ("wlan0", "iwlwifi"),
    ] {
        let device = sys.join(name).join("device");
        let drivers = folder.join("drivers").join(driver);
        fs::create_dir_all(&device)?;
        fs::create_dir_all(&drivers)?;
        symlink(&drivers, device.join("driver"))?;
    }
    fs::create_dir_all(sys.join("lo"))?;
    let said = script(&["--dry-run", "--interfaces", &net])?;
    ensure!(
        said.contains("eth7 (ice): native XDP since Linux 5.5, zero-copy since 6.10.4"),
        "{said}"
    );
    ensure!(said.contains("end0 (dwmac-sun8i): native XDP"), "{said}");
    ensure!(said.contains("wlan0 (iwlwifi): no XDP"), "{said}");
    ensure!(!said.contains("lo ("), "{said}");
    for name in ["eth7", "end0"] {
        fs::remove_dir_all(sys.join(name))?;
    }
    let said = script(&["--dry-run", "--interfaces", &net])?;
    ensure!(said.contains("no-xdp.conf"), "{said}");
    Ok(())
}

/// All files below a folder, in order.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

/// Mode and content of each file.
fn contents(root: &Path) -> Result<BTreeMap<PathBuf, (u32, Vec<u8>)>> {
    let about = |path: PathBuf| {
        let mode = path.metadata()?.permissions().mode();
        Ok((
            path.strip_prefix(root)?.to_owned(),
            (mode, fs::read(&path)?),
        ))
    };
    files(root)?.into_iter().map(about).collect()
}
