//! Faults of what the process may do.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use anyhow::{Result, ensure};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use sluicegate_lab::server::program;

use crate::patient::{Patient, behind, said};

/// Without root, and then with what `setcap` gives. The command names whatever `sluicegate` is found first, so it is
/// typed in where that is the test's own copy.
pub(crate) fn capabilities() -> Result<()> {
    let patient = Patient::new()?;
    let folder = patient.file("bin");
    fs::create_dir(&folder)?;
    let copy = folder.join("sluicegate");
    fs::copy(program()?, &copy)?;
    for path in [folder.as_path(), copy.as_path()] {
        fs::set_permissions(path, PermissionsExt::from_mode(0o755))?;
    }
    let nobody = [
        "setpriv",
        "--reuid",
        "65534",
        "--regid",
        "65534",
        "--clear-groups",
        "--",
    ];
    let mut command = Command::new(&copy);
    command.args(["doctor", "--json", "--no-trial"]);
    let command = behind(&nobody, &command);
    let ask = || said(&patient.host.run(&command)?, "capabilities");
    let missing = ask()?.expect("fail")?;
    ensure!(
        missing.says.contains("CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF"),
        "{}",
        missing.says
    );
    said(&patient.host.run(&command)?, "af-xdp")?.expect("fail")?;
    said(&patient.host.run(&command)?, "program")?.expect("fail")?;
    patient.type_in(&format!(
        "PATH={}:$PATH; {}",
        folder.display(),
        missing.command()?
    ))?;
    ask()?.expect("ok")?;
    said(&patient.host.run(&command)?, "af-xdp")?.expect("ok")?;
    said(&patient.host.run(&command)?, "program")?.expect("ok")?;
    Ok(())
}

/// A limit below what the queues need, without the capability that lifts it.
pub(crate) fn memlock() -> Result<()> {
    let patient = Patient::new()?;
    let wrapper = [
        "prlimit",
        "--memlock=65536:8388608",
        "setpriv",
        "--bounding-set",
        "-ipc_lock,-sys_resource",
        "--inh-caps",
        "-all",
        "--",
    ];
    let said = patient.ask_behind(&wrapper, "memlock")?.expect("info")?;
    ensure!(said.command()? == "ulimit -l 8192", "{}", said.says);
    ensure!(said.says.contains("only 65536 bytes"), "{}", said.says);
    let script = format!("{}; exec \"$@\"", said.command()?);
    let mended = [
        "prlimit",
        "--memlock=65536:8388608",
        "sh",
        "-c",
        &script,
        "sh",
        "setpriv",
        "--bounding-set",
        "-ipc_lock,-sys_resource",
        "--inh-caps",
        "-all",
        "--",
    ];
    patient.ask_behind(&mended, "memlock")?.expect("ok")?;
    // `checkconf` says it too.
    let mut command = Command::new(program()?);
    command.arg("checkconf").arg(patient.config());
    let checked = patient.host.run(&behind(&wrapper, &command))?;
    ensure!(
        checked.success() && checked.stdout.contains("[INFO] memlock: only 65536 bytes"),
        "{}{}",
        checked.stdout,
        checked.stderr
    );
    Ok(())
}

/// In a mount namespace of its own, where the file system is missing and then mounted.
pub(crate) fn bpffs() -> Result<()> {
    let patient = Patient::new()?;
    let hide = "mount -t tmpfs none /sys/fs/bpf && exec \"$@\"";
    let hidden = ["unshare", "--mount", "sh", "-c", hide, "sh"];
    // A mount over the place hides what is below, but it is still in the list of mounts.
    let bare = "while umount /sys/fs/bpf 2>/dev/null; do :; done; exec \"$@\"";
    let bare = ["unshare", "--mount", "sh", "-c", bare, "sh"];
    let said = patient.ask_behind(&bare, "bpffs")?.expect("info")?;
    let mount = format!(
        "{} {}; exec \"$@\"",
        "while umount /sys/fs/bpf 2>/dev/null; do :; done;",
        said.command()?
    );
    let mended = ["unshare", "--mount", "sh", "-c", &mount, "sh"];
    patient.ask_behind(&mended, "bpffs")?.expect("ok")?;
    patient.ask_behind(&hidden, "bpffs")?.expect("info")?;
    closed_bpffs(&patient)
}

/// As systemd mounts it: for root alone, so that the maps which another user is to find there can't be found.
fn closed_bpffs(patient: &Patient) -> Result<()> {
    patient.configure("127.0.0.1", "  pinned-maps: /sys/fs/bpf/maps\n")?;
    let text = fs::read_to_string(patient.config())?;
    let text = text.replace("username: \"\"", "username: \"nobody\"");
    ensure!(text.contains("nobody"), "{text}");
    fs::write(patient.config(), text)?;
    let mount = "mount -t bpf -o mode=700 bpf /sys/fs/bpf && mkdir -m 711 /sys/fs/bpf/maps";
    let behind = |more: &str| format!("{mount} && {more}");
    let ask = |more: &str| {
        let script = behind(&format!("{more}exec \"$@\""));
        patient.ask_behind(&["unshare", "--mount", "sh", "-c", &script, "sh"], "bpffs")
    };
    let said = ask("")?.expect("warn")?;
    ensure!(said.says.contains("/sys/fs/bpf,"), "{}", said.says);
    let command = said.command()?;
    let sought = "setpriv --reuid nobody --regid \"$(id -g nobody)\" --clear-groups test -d /sys/fs/bpf/maps";
    let find = |first: &str| {
        let script = behind(&format!("{first}\nif {sought}; then echo found; fi"));
        patient.type_in_behind(&["unshare", "--mount"], &script)
    };
    ensure!(find("true")?.is_empty(), "the fault is not made");
    ensure!(find(command)?.contains("found"), "mended, and not found");
    ask(&format!("{command}\n"))?.expect("ok").map(drop)
}

/// As systemd's `RestrictAddressFamilies=` without AF_XDP does it: `socket` fails with EAFNOSUPPORT.
pub(crate) fn families() -> Result<()> {
    let patient = Patient::new()?;
    let command = patient.doctor(&["--json", "af-xdp"])?;
    let forbidden = patient.host.enter(|| -> Result<_> {
        const AF_XDP: u64 = 44;
        const EAFNOSUPPORT: u32 = 97;
        let family = SeccompCondition::new(0, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, AF_XDP)?;
        let rules = [(nix::libc::SYS_socket, vec![SeccompRule::new(vec![family])?])].into();
        let action = SeccompAction::Errno(EAFNOSUPPORT);
        let filter = SeccompFilter::new(
            rules,
            SeccompAction::Allow,
            action,
            std::env::consts::ARCH.try_into()?,
        )?;
        // It holds for this thread, which `enter` made, and what it starts.
        let program: BpfProgram = filter.try_into()?;
        seccompiler::apply_filter(&program)?;
        let mut command = Command::new(command.get_program());
        command.args(patient.doctor(&["--json"])?.get_args());
        Ok(command.output()?)
    })?;
    let all: serde_json::Value = serde_json::from_slice(&forbidden.stdout)?;
    let of = |name: &str| {
        all["checks"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|one| one["check"] == name)
            .cloned()
            .unwrap_or_default()
    };
    let socket = of("af-xdp");
    ensure!(socket["verdict"] == "fail", "{socket}");
    let mend = socket["mend"][0]["command"].as_str().unwrap_or_default();
    ensure!(mend.contains("RestrictAddressFamilies=AF_XDP"), "{socket}");
    ensure!(of("seccomp")["verdict"] == "warn", "{}", of("seccomp"));
    patient.ask("af-xdp")?.expect("ok")?;
    Ok(())
}

/// systemd is asked what the service may do; here a script answers in its place.
pub(crate) fn service() -> Result<()> {
    let patient = Patient::new()?;
    patient.ask("service")?;
    let folder = patient.file("bin");
    fs::create_dir(&folder)?;
    let ask = |lines: &str| {
        let script =
            format!("#!/bin/sh\ncat <<END\nLoadState=loaded\nUser=sluicegate\n{lines}\nEND\n");
        let path = folder.join("systemctl");
        fs::write(&path, script)?;
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755))?;
        let path = format!("PATH={}:{}", folder.display(), std::env::var("PATH")?);
        patient.ask_behind(&["env", &path], "service")
    };
    let able = "AmbientCapabilities=cap_net_bind_service cap_net_admin cap_net_raw cap_bpf";
    let said = ask(&format!("{able}\nRestrictAddressFamilies=AF_INET AF_UNIX"))?.expect("warn")?;
    ensure!(
        said.command()?.contains("RestrictAddressFamilies=AF_XDP"),
        "{}",
        said.says
    );
    ask(&format!(
        "{able}\nRestrictAddressFamilies=AF_INET AF_UNIX AF_XDP"
    ))?
    .expect("ok")?;
    let said = ask(&format!("{able}\nLimitMEMLOCK=8388608"))?.expect("warn")?;
    ensure!(
        said.command()?.contains("LimitMEMLOCK=infinity"),
        "{}",
        said.says
    );
    let said = ask(&format!("{able}\nSystemCallFilter=accept brk socket"))?.expect("warn")?;
    ensure!(
        said.command()?.contains("SystemCallFilter=bpf"),
        "{}",
        said.says
    );
    ask(&format!("{able}\nSystemCallFilter=accept bpf socket"))?.expect("ok")?;
    let said = ask("AmbientCapabilities=cap_net_admin cap_net_raw cap_bpf")?.expect("warn")?;
    ensure!(
        said.command()?
            .contains("AmbientCapabilities=CAP_NET_BIND_SERVICE"),
        "{}",
        said.says
    );
    let said = ask("AmbientCapabilities=cap_net_bind_service")?.expect("warn")?;
    ensure!(
        said.command()?
            .contains("AmbientCapabilities=CAP_NET_ADMIN"),
        "{}",
        said.says
    );
    Ok(())
}
