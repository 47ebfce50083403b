//! A host to be looked at, and what doctor says of it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use sluicegate_lab::netns::{Finished, Netns, veth_pair};
use sluicegate_lab::server::program;

/// The host's address and its neighbour's.
pub(crate) const HERE: &str = "10.11.1.1";
pub(crate) const THERE: &str = "10.11.1.2";

/// A host with `eth0`, and its neighbour.
pub(crate) struct Patient {
    pub(crate) host: Netns,
    pub(crate) neighbour: Netns,
    folder: Folder,
}

/// What doctor said of one check.
pub(crate) struct Said {
    pub(crate) verdict: String,
    pub(crate) says: String,
    pub(crate) commands: Vec<String>,
}

impl Patient {
    pub(crate) fn new() -> Result<Self> {
        Self::with_queues(1)
    }

    /// One whose `eth0` has so many queues.
    pub(crate) fn with_queues(queues: u32) -> Result<Self> {
        let patient = Self {
            host: Netns::new()?,
            neighbour: Netns::new()?,
            folder: Folder::new()?,
        };
        let (here, there) = veth_pair(&patient.host, "eth0", &patient.neighbour, "eth0", queues)?;
        here.add_address(&format!("{HERE}/24"))?;
        there.add_address(&format!("{THERE}/24"))?;
        patient.configure(HERE, "")?;
        Ok(patient)
    }

    /// Gives the server another address to listen on, and more lines in its clause `xdp:`.
    pub(crate) fn configure(&self, address: &str, xdp: &str) -> Result<()> {
        let text = configuration(&self.socket(), address, xdp);
        Ok(fs::write(self.config(), text)?)
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.0.join("conf")
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.folder.0.join("control")
    }

    /// A file in the patient's own folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.0.join(name)
    }

    /// The command line of doctor with these arguments, without a trial.
    pub(crate) fn doctor(&self, arguments: &[&str]) -> Result<Command> {
        let mut command = Command::new(program()?);
        command
            .args(["doctor", "--no-trial", "-c"])
            .arg(self.config())
            .arg("--state")
            .arg(self.file("undo.json"))
            .args(arguments);
        Ok(command)
    }

    /// What doctor says of a check, run behind a command that becomes it.
    pub(crate) fn ask_behind(&self, wrapper: &[&str], check: &str) -> Result<Said> {
        let doctor = self.doctor(&["--json", check])?;
        let command = behind(wrapper, &doctor);
        said(&self.host.run(&command)?, check)
    }

    /// What doctor says of a check.
    pub(crate) fn ask(&self, check: &str) -> Result<Said> {
        self.ask_behind(&[], check)
    }

    /// Lets doctor mend a check, and returns what it printed.
    pub(crate) fn fix(&self, check: &str) -> Result<String> {
        self.fix_behind(&[], check)
    }

    /// Lets doctor mend a check behind a command that becomes it.
    pub(crate) fn fix_behind(&self, wrapper: &[&str], check: &str) -> Result<String> {
        let doctor = self.doctor(&["--fix", check])?;
        let done = self.host.run(&behind(wrapper, &doctor))?;
        ensure!(
            done.stdout.contains("changed:"),
            "{}{}",
            done.stdout,
            done.stderr
        );
        ensure!(
            matches!(done.status.code(), Some(0 | 1)) && done.stderr.is_empty(),
            "{:?}: {}",
            done.status.code(),
            done.stderr
        );
        Ok(done.stdout)
    }

    /// Lets doctor put back what it changed.
    pub(crate) fn undo(&self) -> Result<()> {
        self.undo_behind(&[])
    }

    /// Lets doctor put back what it changed, behind a command that becomes it.
    pub(crate) fn undo_behind(&self, wrapper: &[&str]) -> Result<()> {
        let doctor = self.doctor(&["--undo"])?;
        let done = self.host.run(&behind(wrapper, &doctor))?;
        ensure!(
            done.success() && done.stdout.contains("put back:"),
            "{}{}",
            done.stdout,
            done.stderr
        );
        ensure!(
            !self.file("undo.json").exists(),
            "something is left to put back"
        );
        Ok(())
    }

    /// Copies a command into a shell on the host.
    pub(crate) fn type_in(&self, command: &str) -> Result<String> {
        self.type_in_behind(&[], command)
    }

    /// Copies a command into a shell behind a command that becomes it.
    pub(crate) fn type_in_behind(&self, wrapper: &[&str], command: &str) -> Result<String> {
        let mut shell = Command::new("sh");
        shell.args(["-c", command]);
        let done = self.host.run(&behind(wrapper, &shell))?;
        ensure!(done.success(), "{command}: {}", done.stderr);
        Ok(done.stdout)
    }
}

impl Said {
    /// That the verdict is this one.
    pub(crate) fn expect(self, verdict: &str) -> Result<Self> {
        ensure!(
            self.verdict == verdict,
            "{}, not {verdict}: {}",
            self.verdict,
            self.says
        );
        Ok(self)
    }

    /// The first command that mends it.
    pub(crate) fn command(&self) -> Result<&str> {
        self.commands
            .first()
            .map(String::as_str)
            .with_context(|| format!("no command for: {}", self.says))
    }
}

/// A command behind one that becomes it.
pub(crate) fn behind(wrapper: &[&str], command: &Command) -> Command {
    let mut words: Vec<_> = wrapper.iter().map(Into::into).collect();
    words.push(command.get_program().to_owned());
    words.extend(command.get_args().map(ToOwned::to_owned));
    let mut behind = Command::new(&words[0]);
    behind.args(&words[1..]);
    behind
}

/// The finding of a check in doctor's JSON.
pub(crate) fn said(done: &Finished, check: &str) -> Result<Said> {
    let all: Value = serde_json::from_str(&done.stdout)
        .with_context(|| format!("{}{}", done.stdout, done.stderr))?;
    let checks = all["checks"].as_array().context("no checks")?;
    let Some(found) = checks.iter().find(|one| one["check"] == check) else {
        bail!("no finding of {check}: {all}");
    };
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    let status = match text("verdict").as_str() {
        "fail" => 2,
        "warn" => 1,
        _ => 0,
    };
    ensure!(
        checks.len() > 1 || done.status.code() == Some(status),
        "exit status {:?} of {}",
        done.status.code(),
        done.stdout
    );
    let mend = found["mend"].as_array().context("no mend")?;
    Ok(Said {
        verdict: text("verdict"),
        says: text("says"),
        commands: mend
            .iter()
            .filter_map(|one| one["command"].as_str().map(ToOwned::to_owned))
            .collect(),
    })
}

fn configuration(socket: &std::path::Path, address: &str, xdp: &str) -> String {
    format!(
        "server:\n  interface: {address}\n  access-control: 0.0.0.0/0 allow\n  pidfile: \"\"\n  username: \"\"\n  chroot: \"\"\n  \
         use-syslog: no\n  num-threads: 1\n  local-zone: \"test.\" static\n  local-data: \"host.test. 60 A 192.0.2.7\"\n\
         remote-control:\n  control-enable: yes\n  control-interface: \"{}\"\nxdp:\n  frames: 4096\n{xdp}",
        socket.display()
    )
}

/// A folder of one test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Result<Self> {
        static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let number = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!(
            "sluicegate-patient-{}-{number}",
            std::process::id()
        ));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
