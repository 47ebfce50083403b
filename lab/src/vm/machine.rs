use std::env;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::guest;
use super::row::{self, Row};
use crate::private_dir::PrivateDir;
use crate::{peers, workspace_root};

/// A virtual machine that is to be booted.
pub struct Machine {
    suite: String,
    nics: Vec<String>,
    names: Vec<String>,
    wires: usize,
    limit_secs: u32,
    instead_of_veth: Option<String>,
}

/// What came of a command in a virtual machine.
pub struct Ran {
    /// The command's exit code.
    pub code: i32,
    /// All that it printed.
    pub output: String,
    /// The rows that its tests wrote down.
    pub rows: Vec<Row>,
}

/// The Debian suite whose kernel is booted: `$VM_SUITE`, else the newest.
pub fn default_suite() -> String {
    env::var("VM_SUITE").unwrap_or_else(|_| "trixie-backports".to_owned())
}

/// Why no machine with that suite's kernel can be booted; `None` if it can.
pub fn unmet(suite: &str) -> Option<String> {
    let home = home();
    let there = home.join("tools").is_dir() && home.join("kernel").join(suite).is_dir();
    (!there).then(|| format!("needs QEMU and the kernel of {suite}: run lab/vm/run --fetch"))
}

impl Machine {
    /// A machine with the kernel of that suite, and no NIC yet.
    pub fn new(suite: &str) -> Self {
        Self {
            suite: suite.to_owned(),
            nics: Vec::new(),
            names: Vec::new(),
            wires: 0,
            limit_secs: 500,
            instead_of_veth: None,
        }
    }

    /// With two NICs on one wire, `{name}-s{n}` for the server and `{name}-c{n}` for the client, of QEMU's `models`
    /// (`igb`, `virtio-net-pci,iommu_platform=on`).
    #[must_use]
    pub fn wire(mut self, name: &str, n: u32, [server, client]: [&str; 2]) -> Self {
        self.wires += 1;
        for (end, model) in [("s", server), ("c", client)] {
            let (model, properties) = model.split_once(',').unwrap_or((model, ""));
            let comma = if properties.is_empty() { "" } else { "," };
            let nic = format!("{name}-{end}{n}");
            let wire = self.wires;
            self.nics
                .push(format!("{nic}={model}@{wire}{comma}{properties}"));
            self.names.push(nic);
        }
        self
    }

    /// Tests that know how take the NICs of this wire in place of a veth pair.
    #[must_use]
    pub fn instead_of_veth(mut self, wire: &str) -> Self {
        self.instead_of_veth = Some(wire.to_owned());
        self
    }

    /// With so much time in place of 500 seconds.
    #[must_use]
    pub fn limit_secs(mut self, limit_secs: u32) -> Self {
        self.limit_secs = limit_secs;
        self
    }

    /// Boots, runs `program` with `arguments` and ends. The programs of this workspace are found there where they are
    /// found here.
    ///
    /// # Errors
    /// The machine did not boot, or did not end in time; what the command itself made of it is in [`Ran`].
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<Ran> {
        let out = PrivateDir::new()?;
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "TERM", "--"]);
        command.arg(workspace_root().join("lab/vm/run"));
        command.args(["--suite", &self.suite]);
        for nic in &self.nics {
            command.args(["--nic", nic]);
        }
        command.args(["--timeout", &self.limit_secs.to_string(), "--out"]);
        command.arg(&out.path);
        command.arg("--console").arg(out.path.join("console"));
        for (name, value) in self.variables() {
            command.arg("--env").arg(format!("{name}={value}"));
        }
        command.arg("--").arg(program).args(arguments);
        let ran = command.output().context("lab/vm/run")?;
        let output = String::from_utf8_lossy(&ran.stdout).into_owned();
        let why = String::from_utf8_lossy(&ran.stderr).into_owned();
        match ran.status.code() {
            Some(code @ 0..124) => Ok(Ran {
                code,
                output,
                rows: row::read(&out.path.join("rows"))?,
            }),
            code => bail!("no result ({code:?}): {why}\nthe command printed:\n{output}"),
        }
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("SLUICEGATE_VM_NICS", self.names.join(" ")),
            (row::VARIABLE, "/out/rows".to_owned()),
            ("SLUICEGATE_PEERS", peers::root().display().to_string()),
        ];
        if let Some(wire) = &self.instead_of_veth {
            all.push((guest::WIRE, wire.clone()));
        }
        if let Ok(path) = env::var("SLUICEGATE_BIN") {
            all.push(("SLUICEGATE_BIN", path));
        }
        all
    }
}

/// Where `lab/vm/run` keeps what it has fetched.
fn home() -> PathBuf {
    env::var_os("VM_HOME").map_or_else(|| peers::root().join("vm"), PathBuf::from)
}
