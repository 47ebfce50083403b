//! Faults that no test can make on a machine that is others' too: files of the patient's own stand where the kernel's do.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::patient::{Patient, Said};

/// A folder of the patient's own in the place of one of the kernel's, for one command at a time: in a mount namespace that
/// ends with it. What the command writes there stays in the folder.
struct Pretence<'p> {
    patient: &'p Patient,
    folder: PathBuf,
    script: String,
}

impl<'p> Pretence<'p> {
    /// Nothing is pretended yet.
    fn new(patient: &'p Patient) -> Result<Self> {
        let folder = patient.file("pretence");
        fs::create_dir(&folder)?;
        Ok(Self {
            patient,
            folder,
            script: "exec \"$@\"".to_owned(),
        })
    }

    /// Puts a folder or file in the place of one that is there.
    fn put(&mut self, place: &str) {
        let own = self.at(place);
        self.script = format!(
            "mount --bind '{}' '{place}' && {}",
            own.display(),
            self.script
        );
    }

    /// Where what stands for a path is kept.
    fn at(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    /// Takes a capability from the command, and for good.
    fn lower(&mut self, capability: &str) {
        let lowered =
            format!("exec setpriv --bounding-set -{capability} --inh-caps -all -- \"$@\"");
        self.script = self.script.replace("exec \"$@\"", &lowered);
    }

    /// Writes a file that stands, or will, for another.
    fn write(&self, path: &str, text: &str) -> Result<()> {
        let own = self.at(path);
        let parent = own.parent().context("a file is in a folder")?;
        fs::create_dir_all(parent)?;
        fs::write(&own, text).with_context(|| path.to_owned())
    }

    fn read(&self, path: &str) -> Result<String> {
        let text = fs::read_to_string(self.at(path)).with_context(|| path.to_owned())?;
        Ok(text.trim().to_owned())
    }

    fn wrapper(&self) -> [&str; 6] {
        ["unshare", "--mount", "sh", "-c", &self.script, "sh"]
    }

    fn ask(&self, check: &str) -> Result<Said> {
        self.patient.ask_behind(&self.wrapper(), check)
    }

    fn type_in(&self, command: &str) -> Result<()> {
        let typed = self.patient.type_in_behind(&self.wrapper(), command);
        typed.map(drop)
    }

    /// `--fix` mends the check, `--undo` makes it as bad as before, and so it is mended by the commands that are shown.
    fn heals(&self, check: &str, verdict: &str) -> Result<()> {
        let said = self.ask(check)?.expect(verdict)?;
        self.patient.fix_behind(&self.wrapper(), check)?;
        self.ask(check)?.expect("ok")?;
        self.patient.undo_behind(&self.wrapper())?;
        self.ask(check)?.expect(verdict)?;
        ensure!(!said.commands.is_empty(), "no command for: {}", said.says);
        for command in &said.commands {
            self.type_in(command)?;
        }
        self.ask(check)?.expect("ok").map(drop)
    }
}

/// Processors that save power.
pub(crate) fn governor() -> Result<()> {
    const FOLDER: &str = "/sys/devices/system/cpu";
    let patient = Patient::new()?;
    let mut pretence = Pretence::new(&patient)?;
    pretence.write(&format!("{FOLDER}/online"), "0-1\n")?;
    let file = |cpu: u32| format!("{FOLDER}/cpu{cpu}/cpufreq/scaling_governor");
    for cpu in 0..2 {
        pretence.write(&file(cpu), "powersave\n")?;
    }
    pretence.put(FOLDER);
    pretence.heals("governor", "info")?;
    ensure!(
        pretence.read(&file(0))? == "performance" && pretence.read(&file(1))? == "performance",
        "one was forgotten"
    );
    Ok(())
}

/// BPF programs that are interpreted, and a small limit of receive buffers for a server that may not exceed it.
pub(crate) fn sysctls() -> Result<()> {
    const FOLDER: &str = "/proc/sys/net/core";
    let patient = Patient::new()?;
    let mut pretence = Pretence::new(&patient)?;
    pretence.write(&format!("{FOLDER}/bpf_jit_enable"), "0\n")?;
    pretence.write(&format!("{FOLDER}/rmem_max"), "212992\n")?;
    pretence.put(FOLDER);
    pretence.heals("bpf-jit", "warn")?;
    // Root exceeds the limit.
    pretence.ask("receive-buffer")?.expect("ok")?;
    pretence.lower("net_admin");
    pretence.heals("receive-buffer", "info")
}

/// All interrupts of a device on one processor: of one that has them itself, and of one on virtio, whose carrier has them.
pub(crate) fn interrupts() -> Result<()> {
    let patient = Patient::with_queues(2)?;
    for layout in ["device", "pci0"] {
        interrupts_in(&patient, layout).context(layout)?;
    }
    Ok(())
}

fn interrupts_in(patient: &Patient, layout: &str) -> Result<()> {
    let mut pretence = Pretence::new(patient)?;
    let shown = patient.host.ip("-o link show eth0")?;
    let (index, _) = shown.split_once(':').context("ip shows no number")?;
    let device = "/sys/class/net/eth0";
    pretence.write(&format!("{device}/ifindex"), &format!("{index}\n"))?;
    pretence.write("/sys/devices/system/cpu/online", "0-3\n")?;
    for number in [31, 32] {
        pretence.write(&format!("{device}/{layout}/msi_irqs/{number}"), "msix\n")?;
        pretence.write(&format!("/proc/irq/{number}/smp_affinity_list"), "0\n")?;
        // The kernel follows the setting.
        let effective = pretence.at(&format!("/proc/irq/{number}/effective_affinity_list"));
        std::os::unix::fs::symlink(Path::new("smp_affinity_list"), effective)?;
    }
    if layout != "device" {
        pretence.write(&format!("{device}/{layout}/virtio3/features"), "")?;
        let link = pretence.at(&format!("{device}/device"));
        std::os::unix::fs::symlink(format!("{layout}/virtio3"), link)?;
    }
    for place in [
        "/sys/class/net",
        "/sys/devices/system/cpu/online",
        "/proc/irq",
    ] {
        pretence.put(place);
    }
    pretence.heals("interrupts", "warn")?;
    ensure!(
        pretence.read("/proc/irq/32/smp_affinity_list")? == "1",
        "the second interrupt is where it was"
    );
    Ok(fs::remove_dir_all(&pretence.folder)?)
}

/// What only another kernel, another start or another place mends is named, and gone with it.
pub(crate) fn places() -> Result<()> {
    const RELEASE: &str = "/proc/sys/kernel/osrelease";
    let patient = Patient::new()?;
    let with = |check: &str, place: &str, file: &str, text: &str| -> Result<Said> {
        let mut pretence = Pretence::new(&patient)?;
        pretence.write(&format!("{place}{file}"), text)?;
        pretence.put(place);
        let said = pretence.ask(check)?;
        fs::remove_dir_all(&pretence.folder)?;
        Ok(said)
    };
    let kernel = |release| with("kernel", RELEASE, "", release);
    for (release, verdict) in [("5.4.0-1", "fail"), ("6.17.2", "warn")] {
        let said = kernel(release)?.expect(verdict)?;
        ensure!(said.command()?.contains("then a restart"), "{}", said.says);
    }
    kernel("6.18.1")?.expect("ok")?;
    let lockdown = |modes| with("lockdown", "/sys/kernel/security", "/lockdown", modes);
    let said = lockdown("none integrity [confidentiality]")?.expect("warn")?;
    ensure!(
        said.command()?.contains("lockdown=integrity"),
        "{}",
        said.says
    );
    lockdown("none [integrity] confidentiality")?.expect("ok")?;
    // The machine of this test may be a container of its own.
    let said = with("container", "/run", "/.containerenv", "")?.expect("info")?;
    ensure!(
        said.says.contains("(podman)") && said.command()?.contains("--network host"),
        "{}",
        said.says
    );
    // Root of a user namespace is root of nothing that matters.
    let inside = ["unshare", "--user", "--map-root-user"];
    let said = patient
        .ask_behind(&inside, "capabilities")?
        .expect("warn")?;
    ensure!(said.says.contains("user namespace"), "{}", said.says);
    patient.ask("capabilities")?.expect("ok").map(drop)
}
