//! The Debian package from its installation to its purge.

use anyhow::{Result, ensure};
use sluicegate_lab::machine::Machine;
use sluicegate_lab::workspace_root;

use super::ground::{answers, bring, install, is_silent, main_process, wait_active};
use super::package::Packages;

const CONFIG: &str = "/etc/sluicegate/sluicegate.conf";

/// Installed, it serves; upgraded, the new program serves, with the configuration that the operator changed; removed, it
/// ends; installed again, it serves as before; purged, nothing is left.
pub(crate) fn from_first_to_last() -> Result<()> {
    let packages = Packages::make("life")?;
    let machine = Machine::boot()?;
    let before = machine.changes()?;
    bring(&machine, &packages.first, "/tmp/first.deb")?;
    bring(&machine, &packages.later()?, "/tmp/later.deb")?;

    install(&machine, "/tmp/first.deb")?;
    wait_active(&machine)?;
    answers(machine.netns(), "127.0.0.1")?;
    answers(machine.netns(), "::1")?;
    is_as_packed(&machine)?;
    is_left_alone(&machine)?;

    machine.shell(&format!("echo '# by the operator' >>{CONFIG}"))?;
    let old = main_process(&machine)?;
    let install_later = "apt-get install -q -y -o Dpkg::Options::=--force-confold /tmp/later.deb";
    machine.shell(install_later)?;
    wait_active(&machine)?;
    ensure!(main_process(&machine)? != old, "still the old process");
    answers(machine.netns(), "127.0.0.1")?;
    let kept = machine.shell(&format!("cat {CONFIG}"))?;
    ensure!(kept.ends_with("# by the operator\n"), "{kept}");
    machine.shell(&format!("grep -q '^# as of 2.0.0' {CONFIG}.dpkg-dist"))?;

    machine.shell("apt-get remove -q -y sluicegate")?;
    ensure!(is_silent(machine.netns(), "127.0.0.1")?, "it still answers");
    machine.shell(&format!(
        "test -s {CONFIG} && test -d /var/lib/sluicegate && ! test -e /run/sluicegate"
    ))?;

    machine.shell(install_later)?;
    is_back(&machine)?;
    let aborted = "export DPKG_MAINTSCRIPT_PACKAGE=sluicegate; cd /var/lib/dpkg/info; ./sluicegate.prerm remove; \
         ! systemctl is-active sluicegate.service && ./sluicegate.postinst abort-remove";
    machine.shell(aborted)?;
    is_back(&machine)?;

    machine.shell("apt-get purge -q -y sluicegate && apt-get autoremove -q -y --purge")?;
    let after = machine.changes()?;
    ensure!(
        after == before,
        "left behind: {after:#?}, before: {before:#?}"
    );
    Ok(())
}

/// What came with the package can be used: configuration, manual, completions, the user's folders.
fn is_as_packed(machine: &Machine) -> Result<()> {
    machine.shell("sluicegate checkconf -q")?;
    let owner = machine.shell("stat -c '%U %a' /var/lib/sluicegate /run/sluicegate")?;
    ensure!(owner == "sluicegate 750\nsluicegate 755\n", "{owner}");
    let health = machine.shell("sluicegate health")?;
    ensure!(health.contains("serving"), "{health}");
    machine.shell("systemctl is-enabled sluicegate.service")?;
    machine.shell("! systemctl is-enabled sluicegate.socket")?;
    machine.shell(
        "for page in man8/sluicegate.8 man8/sluicegate-checkconf.8 man5/sluicegate.conf.5; do \
         zcat /usr/share/man/$page.gz | grep -q '^\\.TH'; done",
    )?;
    let completes = "source /usr/share/bash-completion/completions/sluicegate; \
         COMP_WORDS=(sluicegate check) COMP_CWORD=1; _sluicegate sluicegate check sluicegate; echo ${COMPREPLY[*]}";
    let completed = machine.run(&["bash", "-c", completes])?;
    ensure!(
        completed.stdout == "checkconf\n",
        "{}{}",
        completed.stdout,
        completed.stderr
    );
    Ok(())
}

/// After a removal, or the beginning of one, the server runs again, now and with the machine, as it was configured.
fn is_back(machine: &Machine) -> Result<()> {
    wait_active(machine)?;
    answers(machine.netns(), "127.0.0.1")?;
    machine.shell("systemctl is-enabled sluicegate.service")?;
    machine.shell(&format!("grep -q '^# by the operator' {CONFIG}"))?;
    machine
        .shell("! test -e /var/lib/sluicegate/.removed && ! test -e /run/sluicegate.stopped")
        .map(drop)
}

/// `install.sh` touches nothing that is the package's, and names the command that does what was asked for.
fn is_left_alone(machine: &Machine) -> Result<()> {
    let script = workspace_root().join("install.sh");
    bring(machine, &script, "/tmp/install.sh")?;
    for (option, command) in [
        ("", "remove"),
        ("--uninstall", "remove"),
        ("--purge", "purge"),
    ] {
        let line = format!("! bash /tmp/install.sh {option} 2>&1");
        let said = machine.shell(&line)?;
        ensure!(
            said.contains(&format!("apt-get {command} sluicegate")),
            "{option}: {said}"
        );
    }
    answers(machine.netns(), "127.0.0.1")
}

/// Where another server has port 53, the package takes it from nobody, neither now nor at the next start, and says so.
/// What was not enabled stays so when the package comes back; what the message says to type starts the server. With a
/// configuration of the operator's own it comes back whoever is beside it; else it gives way, its socket unit too.
pub(crate) fn beside_another_server() -> Result<()> {
    let packages = Packages::make("beside")?;
    let machine = Machine::boot()?;
    bring(&machine, &packages.first, "/tmp/first.deb")?;
    let begin_other = || {
        machine
            .netns()
            .enter(|| std::net::UdpSocket::bind("0.0.0.0:53"))
    };
    let other = begin_other()?;
    let said = gives_way(&machine)?;
    drop(other);
    let remove = "apt-get remove -q -y sluicegate";
    machine.shell(remove)?;
    let command = "systemctl enable --now sluicegate";
    let again = install(&machine, "/tmp/first.deb")?;
    ensure!(
        again.contains("was not enabled before") && again.contains(command),
        "{again}"
    );
    is_off(&machine)?;
    ensure!(said.contains(command), "{said}");
    machine.shell(command)?;
    wait_active(&machine)?;
    answers(machine.netns(), "127.0.0.1")?;

    // A configuration of the operator's own: what others have at the addresses of the first one is no reason.
    machine.shell(&format!(
        "sed -i 's/^    interface: 127.0.0.1$/    interface: 127.0.0.9/; /^    interface: ::1$/d' {CONFIG} && {remove}"
    ))?;
    let other = machine
        .netns()
        .enter(|| std::net::UdpSocket::bind("127.0.0.1:53"))?;
    install(&machine, "/tmp/first.deb")?;
    wait_active(&machine)?;
    answers(machine.netns(), "127.0.0.9")?;
    machine.shell("systemctl is-enabled sluicegate.service")?;
    drop(other);

    machine.shell(&format!(
        "sed -i 's/^    interface: 127.0.0.9$/    interface: 127.0.0.1\\n    interface: ::1/' {CONFIG} && \
         systemctl enable sluicegate.socket && {remove}"
    ))?;
    let _other = begin_other()?;
    gives_way(&machine).map(drop)
}

/// Installed, it is neither started nor enabled; returns what was said.
fn gives_way(machine: &Machine) -> Result<String> {
    let said = install(machine, "/tmp/first.deb")?;
    ensure!(
        said.contains("NOT started and NOT enabled: port 53 is taken"),
        "{said}"
    );
    is_off(machine)?;
    Ok(said)
}

/// Neither the server nor its sockets are there, now or at the next start.
fn is_off(machine: &Machine) -> Result<()> {
    for unit in ["sluicegate.service", "sluicegate.socket"] {
        machine.shell(&format!(
            "! systemctl is-active {unit} && ! systemctl is-enabled {unit}"
        ))?;
    }
    Ok(())
}
