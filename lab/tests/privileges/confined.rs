//! A unit's restrictions, read from the unit itself and laid on a server: user, capabilities, limits, address families,
//! system calls, and a file system that is read-only but for the service's own folder.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use nix::libc;
use sluicegate_lab::scene::Scene;
use sluicegate_lab::server::{Server, server};

use crate::processes::USER;

/// The section `[Service]` of a unit and its drop-ins: every line of a key, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Unit(BTreeMap<String, Vec<String>>);

impl Unit {
    /// Reads files of `dist/systemd`, the unit first.
    pub(crate) fn read(files: &[&str]) -> Result<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dist/systemd");
        let mut unit = Self::default();
        for file in files {
            let text = fs::read_to_string(folder.join(file)).with_context(|| (*file).to_owned())?;
            let service = text.split("\n[").find(|part| part.contains("Service]\n"));
            for line in service.context("no [Service]")?.lines() {
                if line.starts_with('#') {
                    continue;
                }
                if let Some((key, value)) = line.split_once('=') {
                    unit.add(key, value);
                }
            }
        }
        Ok(unit)
    }

    /// One more line; an empty value forgets those before it.
    fn add(&mut self, key: &str, value: &str) {
        let lines = self.0.entry(key.to_owned()).or_default();
        if value.is_empty() {
            lines.clear();
        } else {
            lines.push(value.to_owned());
        }
    }

    /// The unit with another line of this key in place of all.
    pub(crate) fn with(mut self, key: &str, value: &str) -> Self {
        self.add(key, "");
        self.add(key, value);
        self
    }

    /// The unit without a word, in whatever line of the key it stands.
    pub(crate) fn without(mut self, key: &str, word: &str) -> Self {
        for line in self.0.entry(key.to_owned()).or_default() {
            let kept: Vec<&str> = line.split(' ').filter(|other| *other != word).collect();
            *line = kept.join(" ");
        }
        self
    }

    fn words(&self, key: &str) -> impl Iterator<Item = &str> {
        let lines = self.0.get(key).into_iter().flatten();
        lines.flat_map(|line| line.split(' '))
    }

    fn yes(&self, key: &str) -> bool {
        self.words(key)
            .any(|word| word == "yes" || word == "strict")
    }

    /// Starts the server on a configuration, restricted as the unit says, and waits for nothing.
    pub(crate) fn launch(&self, scene: &Scene, config: &str) -> Result<Server> {
        let mut wrapper = vec![
            "unshare".to_owned(),
            "--mount".to_owned(),
            "sh".to_owned(),
            "-euc".to_owned(),
            self.mounts(),
            "sh".to_owned(),
        ];
        wrapper.extend(self.limits());
        wrapper.extend(self.identity()?);
        wrapper.push(env!("CARGO_BIN_EXE_lab-confine").to_owned());
        wrapper.push(list(&self.families()?));
        wrapper.push(list(&self.calls()?));
        let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
        let no_xdp = self.words("ExecStart").any(|word| word == "--no-xdp");
        let mut server = server(config).behind(&wrapper).arg("-p");
        if no_xdp {
            server = server.arg("--no-xdp");
        }
        server.launch(&scene.server)
    }

    /// A script that sets up the mounts and then becomes its arguments. The folder of the configuration stands for
    /// `RuntimeDirectory=`: the service's own, and writable. Programs stay where they are even below `/tmp`.
    fn mounts(&self) -> String {
        let mut script = String::from(
            r#"mount --make-rprivate /
before=""; folder=""
for word in "$@"; do
    [ "$before" = -c ] && folder=$(dirname "$word")
    before=$word
done
chown USER "$folder"
keep() { mkdir -p "$(dirname "$1")"; [ -e "$1" ] || touch "$1"; mount -c --bind "$2" "$1"; }
exec 6<"$folder" 7<SERVER 8<CONFINE
"#,
        );
        if self.yes("PrivateTmp") {
            script += "mount -t tmpfs tmpfs /tmp\nmkdir -p \"$folder\"\n";
            script += "mount -c --bind /proc/self/fd/6 \"$folder\"\n";
            script += "[ -e SERVER ] || keep SERVER /proc/self/fd/7\n";
            script += "[ -e CONFINE ] || keep CONFINE /proc/self/fd/8\n";
        } else {
            script += "mount --bind \"$folder\" \"$folder\"\n";
        }
        if self.yes("ProtectHome") {
            script += "[ ! -d /home ] || mount -t tmpfs -o ro tmpfs /home\n";
        }
        if self.yes("PrivateDevices") {
            script += "mkdir /tmp/dev; mount -t tmpfs tmpfs /tmp/dev\n";
            script += "for node in null zero full random urandom; do touch /tmp/dev/$node; \
                       mount --bind /dev/$node /tmp/dev/$node; done\n";
            script += "mount --move /tmp/dev /dev; rmdir /tmp/dev\n";
        }
        if self.yes("ProtectKernelTunables") {
            script += "for path in /proc/sys /sys; do mount --rbind $path $path; \
                       mount -o remount,bind,ro $path; done\n";
        }
        if self.yes("ProtectSystem") {
            script += "mount -o remount,bind,ro /\n";
        }
        script += "exec 6<&- 7<&- 8<&-\nexec \"$@\"\n";
        let program = sluicegate_lab::server::program().unwrap_or_default();
        script
            .replace("USER", USER)
            .replace("SERVER", &program.display().to_string())
            .replace("CONFINE", env!("CARGO_BIN_EXE_lab-confine"))
    }

    /// `LimitMEMLOCK=`, where it can be had: more than the limit of this process takes a capability that may be missing.
    fn limits(&self) -> Vec<String> {
        let Some(limit) = self.words("LimitMEMLOCK").last() else {
            return Vec::new();
        };
        let limit = if limit == "infinity" {
            "unlimited"
        } else {
            limit
        };
        let words = ["prlimit".to_owned(), format!("--memlock={limit}:{limit}")];
        let tried = Command::new(&words[0]).arg(&words[1]).arg("true").output();
        if tried.is_ok_and(|tried| tried.status.success()) {
            words.into()
        } else {
            Vec::new()
        }
    }

    /// `User=`, for which another stands that every machine has, and the capabilities.
    fn identity(&self) -> Result<Vec<String>> {
        ensure!(self.words("User").count() == 1, "one User=");
        ensure!(self.yes("NoNewPrivileges"), "NoNewPrivileges=yes");
        let list = |key| {
            let names = self.words(key).filter_map(|word| word.strip_prefix("CAP_"));
            names.fold("-all".to_owned(), |list, name| {
                format!("{list},+{}", name.to_lowercase())
            })
        };
        let (ambient, bounding) = (list("AmbientCapabilities"), list("CapabilityBoundingSet"));
        Ok([
            "setpriv".to_owned(),
            "--no-new-privs".to_owned(),
            format!("--reuid={USER}"),
            "--regid=nogroup".to_owned(),
            "--clear-groups".to_owned(),
            format!("--bounding-set={bounding}"),
            format!("--inh-caps={ambient}"),
            format!("--ambient-caps={ambient}"),
            "--".to_owned(),
        ]
        .into())
    }

    fn families(&self) -> Result<BTreeSet<i64>> {
        let number = |name: &str| match name {
            "AF_UNIX" => Ok(libc::AF_UNIX),
            "AF_INET" => Ok(libc::AF_INET),
            "AF_INET6" => Ok(libc::AF_INET6),
            "AF_NETLINK" => Ok(libc::AF_NETLINK),
            "AF_XDP" => Ok(libc::AF_XDP),
            other => bail!("RestrictAddressFamilies={other} is not known here"),
        };
        let words = self.words("RestrictAddressFamilies");
        words.map(|name| number(name).map(i64::from)).collect()
    }

    /// What `SystemCallFilter=` leaves: the first line allows, one with `~` takes away, a later one gives back.
    fn calls(&self) -> Result<BTreeSet<i64>> {
        let numbers = numbers()?;
        let mut names = expand("@default")?;
        for line in self.0.get("SystemCallFilter").into_iter().flatten() {
            let (taken, words) = match line.strip_prefix('~') {
                Some(words) => (true, words),
                None => (false, &line[..]),
            };
            for word in words.split(' ') {
                for name in expand(word)? {
                    if taken {
                        names.remove(&name);
                    } else {
                        names.insert(name);
                    }
                }
            }
        }
        // Names of other architectures have no number here.
        let known = names.iter().filter_map(|name| numbers.get(name).copied());
        let known: BTreeSet<i64> = known.collect();
        ensure!(known.len() > 100, "only {} calls are known", known.len());
        Ok(known)
    }
}

/// The calls that a word of `SystemCallFilter=` stands for, as systemd has it.
fn expand(word: &str) -> Result<BTreeSet<String>> {
    if !word.starts_with('@') {
        return Ok([word.to_owned()].into());
    }
    let told = Command::new("systemd-analyze")
        .args(["syscall-filter", word])
        .output()?;
    ensure!(told.status.success(), "systemd-analyze knows no {word}");
    let text = String::from_utf8(told.stdout)?;
    let mut names = BTreeSet::new();
    for line in text.lines().skip(1).map(str::trim) {
        if !line.is_empty() && !line.starts_with('#') {
            names.extend(expand(line)?);
        }
    }
    ensure!(!names.is_empty(), "{word} is empty");
    Ok(names)
}

/// System calls by their names, from the C library's header.
fn numbers() -> Result<BTreeMap<String, i64>> {
    let path = format!(
        "/usr/include/{}-linux-gnu/asm/unistd_64.h",
        std::env::consts::ARCH
    );
    let text = fs::read_to_string(&path).with_context(|| path.clone())?;
    let numbers = text.lines().filter_map(|line| {
        let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
        Some((name.to_owned(), number.trim().parse().ok()?))
    });
    Ok(numbers.collect())
}

fn list(numbers: &BTreeSet<i64>) -> String {
    let numbers: Vec<String> = numbers.iter().map(i64::to_string).collect();
    numbers.join(",")
}
